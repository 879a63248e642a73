/* SPDX-License-Identifier: BSD-2-Clause */
/* The number and the ABI belong to the call, not to the program: facts F8 and F9. */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/net.h>
#include <linux/seccomp.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- F8: exec rewrites the number that is seen at exit ---- */

static void execveat_victim(void *path)
{
	char *const argv[] = { path, NULL };
	int fd = open(path, O_RDONLY | O_CLOEXEC);

	(void)syscall(SYS_execveat, fd, "", argv, argv + 1, AT_EMPTY_PATH);
	victim_fail(__FILE__, __LINE__, "execveat");
}

static void f8_execveat_stays_execveat(void **state)
{
	struct lab *lab = *state;
	char path[512];

	lab_helper("trivial", path);
	(void)lab_run(lab, execveat_victim, path);
	lab_expect(lab, .call = "execveat", .count = 1);
	lab_expect(lab, .call = "execve");
	lab_expect(lab, .call = "getppid", .count = 3);
}

static void failed_exec_victim(void *path)
{
	char *const argv[] = { path, NULL };

	victim_check(syscall(SYS_execve, "/missing", argv, argv + 1) == -1);
}

static void f8_failed_exec(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, failed_exec_victim, NULL);
	lab_expect(lab, .call = "execve", .count = 1, .errors = 1);
	assert_int_equal(lab_errno(lab, ENOENT, .call = "execve"), 1);
}

#if defined(__x86_64__)

#define X32_BIT 0x40000000

/* By the 32-bit gate, whose arguments are 32 bits wide. */
static long int80(long nr, long a, long b, long c, long d, long e)
{
	long ret;

	__asm__ volatile("int $0x80"
			 : "=a"(ret)
			 : "a"(nr), "b"(a), "c"(b), "d"(c), "S"(d), "D"(e)
			 : "r8", "r9", "r10", "r11", "memory");
	return (int)ret;
}

/* Numbers of the 32-bit table. */
enum {
	IA32_READ = 3,
	IA32_GETPID = 20,
	IA32_SOCKETCALL = 102,
	IA32_RECVMMSG = 337,
	IA32_SENDMMSG = 345,
	IA32_RECVFROM = 371,
};

/* What a 32-bit call can point to. */
static char *low_memory(void)
{
	char *memory = mmap(NULL, 65536, PROT_READ | PROT_WRITE,
			    MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);

	victim_check(memory != MAP_FAILED);
	return memory;
}

static long low(const void *pointer)
{
	return (long)(uintptr_t)pointer;
}

static void probe_ia32(void *data)
{
	_exit(int80(IA32_GETPID, 0, 0, 0, 0, 0) > 0 ? 0 : 1);
}

/* Kernels without IA32 emulation, or booted with ia32_emulation=0, kill who tries. */
static void need_ia32(struct lab *lab)
{
	pid_t pid = lab_start(lab, probe_ia32, NULL);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (status != 0)
		lab_leave_out("32-bit calls: this kernel takes none (int 0x80)");
	lab_settle(lab);
	lab_clear(lab);
}

static void need_ia32_program(struct lab *lab, char path[static 512])
{
	need_ia32(lab);
	lab_helper("ia32", path);
}

static void f8_exec_of_a_32_bit_program(void **state)
{
	struct lab *lab = *state;
	char path[512];

	need_ia32_program(lab, path);
	(void)lab_run(lab, victim_exec, path);
	lab_expect(lab, .call = "execve", .count = 1);
	lab_expect(lab, .call = "getpid[ia32]", .comm = "ia32", .count = 1);
	lab_expect(lab, .call = "exit[ia32]", .comm = "ia32", .count = 1);
	lab_assert(lab, lab_sum(lab, .call = NULL).count == 3);
}

static void exec_with_argument(void *data)
{
	char **paths = data;
	char *const argv[] = { paths[0], paths[1], NULL };

	(void)syscall(SYS_execve, paths[0], argv, argv + 2);
	victim_fail(__FILE__, __LINE__, "execve");
}

static void f8_and_back_again(void **state)
{
	struct lab *lab = *state;
	char ia32[512], trivial[512];
	char *paths[] = { ia32, trivial };

	need_ia32_program(lab, ia32);
	lab_helper("trivial", trivial);
	(void)lab_run(lab, exec_with_argument, paths);
	lab_expect(lab, .call = "execve", .count = 1);
	lab_expect(lab, .call = "getpid[ia32]", .comm = "ia32", .count = 1);
	lab_expect(lab, .call = "execve[ia32]", .comm = "ia32", .count = 1);
	lab_expect(lab, .call = "getppid", .comm = "trivial", .count = 3);
	lab_expect(lab, .call = "exit_group", .comm = "trivial", .count = 1);
	lab_assert(lab, lab_sum(lab, .call = NULL).count == 7);
}

/* ---- F9: every call has its own ABI ---- */

static void mixed_victim(void *data)
{
	for (int i = 0; i < 3; i++)
		victim_check(int80(IA32_GETPID, 0, 0, 0, 0, 0) == getpid());
	victim_check(int80(IA32_READ, -1, 0, 0, 0, 0) == -EBADF);
	victim_check(int80(9999, 0, 0, 0, 0, 0) == -ENOSYS);
	victim_check(int80(-1, 0, 0, 0, 0, 0) == -ENOSYS);
	(void)syscall(SYS_getppid);
}

static void f9_int80_in_a_64_bit_program(void **state)
{
	struct lab *lab = *state;

	need_ia32(lab);
	(void)lab_run(lab, mixed_victim, NULL);
	lab_expect(lab, .call = "getpid[ia32]", .count = 3);
	lab_expect(lab, .call = "read[ia32]", .count = 1, .errors = 1);
	lab_expect(lab, .call = "sys_9999[ia32]", .count = 1, .errors = 1);
	lab_expect(lab, .call = "sys_-1[ia32]", .count = 1, .errors = 1);
	lab_expect(lab, .call = "getppid", .count = 1);
	lab_expect(lab, .call = "close");
	lab_expect(lab, .call = "writev");
}

static void x32_victim(void *data)
{
	bool built_in = *(bool *)data;

	victim_check((syscall(X32_BIT | SYS_getpid) == getpid()) == built_in);
	victim_check(syscall(X32_BIT | 9999) == -1 && errno == ENOSYS);
}

static void f9_x32(void **state)
{
	struct lab *lab = *state;
	bool built_in = syscall(X32_BIT | SYS_getpid) == getpid();

	(void)lab_run(lab, x32_victim, &built_in);
	lab_expect(lab, .call = "getpid[x32]", .count = 1, .errors = built_in ? 0 : 1);
	lab_expect(lab, .call = "sys_9999[x32]", .count = 1, .errors = 1);
}

static void denied_victim(void *data)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, IA32_GETPID, 1, 0),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, X32_BIT | SYS_getpid, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | EPERM),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = N_ELEMENTS(filter), .filter = filter };

	victim_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	victim_check(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
	/* 20 is writev to a 64-bit program. */
	victim_check(int80(IA32_GETPID, 0, 0, 0, 0, 0) == -EPERM);
	(void)syscall(X32_BIT | SYS_getpid);
}

static void f9_denied_calls_have_an_abi_too(void **state)
{
	struct lab *lab = *state;

	need_ia32(lab);
	(void)lab_run(lab, denied_victim, NULL);
	lab_expect(lab, .call = "getpid[ia32]", .denied = 1);
	lab_expect(lab, .call = "getpid[x32]", .denied = 1);
	lab_assert(lab, lab_sum(lab, .call = NULL).denied == 2);
}

/* ---- F14 to F16 by the 32-bit table ---- */

static long socketcall(uint32_t *args, long call, long a, long b, long c, long d)
{
	args[0] = (uint32_t)a;
	args[1] = (uint32_t)b;
	args[2] = (uint32_t)c;
	args[3] = (uint32_t)d;
	args[4] = 0;
	args[5] = 0;
	return int80(IA32_SOCKETCALL, call, low(args), 0, 0, 0);
}

static void socketcall_victim(void *data)
{
	char *memory = low_memory();
	uint32_t *args = (uint32_t *)memory, *fds = args + 8, *iov = args + 16;
	/* struct msghdr: name, its length, iov, its length, control, its length, flags. */
	uint32_t *message = args + 24;
	char *text = memory + 4096;

	victim_check(socketcall(args, SYS_SOCKETPAIR, AF_UNIX, SOCK_DGRAM, 0, low(fds)) == 0);
	iov[0] = (uint32_t)low(text);
	iov[1] = 300;
	message[2] = (uint32_t)low(iov);
	message[3] = 1;
	victim_check(socketcall(args, SYS_SEND, fds[0], low(text), 100, 0) == 100);
	victim_check(socketcall(args, SYS_SENDTO, fds[0], low(text), 200, 0) == 200);
	victim_check(socketcall(args, SYS_SENDMSG, fds[0], low(message), 0, 0) == 300);
	/* Sent: 600. Of the first: peeked, cut and truncated, 50; of the others 200 and 300. */
	victim_check(socketcall(args, SYS_RECV, fds[1], low(text), 50, MSG_PEEK) == 50);
	victim_check(socketcall(args, SYS_RECV, fds[1], low(text), 50, MSG_TRUNC) == 100);
	victim_check(socketcall(args, SYS_RECVFROM, fds[1], low(text), 1000, 0) == 200);
	victim_check(socketcall(args, SYS_RECVMSG, fds[1], low(message), MSG_PEEK, 0) == 300);
	victim_check(socketcall(args, SYS_RECVMSG, fds[1], low(message), 0, 0) == 300);
	victim_check(socketcall(args, SYS_SOCKET, AF_UNIX, SOCK_DGRAM, 0, 0) > 2);
}

static void f14_socketcall(void **state)
{
	struct lab *lab = *state;

	need_ia32(lab);
	(void)lab_run(lab, socketcall_victim, NULL);
	lab_expect(lab, .call = "socketcall[ia32]", .count = 10, .bytes = 600 + 50 + 200 + 300);
}

#define MESSAGES 5

/* struct mmsghdr has 32 bytes there, and the length at 28. */
static void compat_messages(uint32_t *messages, uint32_t *iovs, const char *text, uint32_t step)
{
	for (uint32_t i = 0; i < MESSAGES; i++) {
		iovs[2 * i] = (uint32_t)low(text);
		iovs[2 * i + 1] = step ? step * (i + 1) : 1000;
		memset(messages + 8ul * i, 0, 32);
		messages[8 * i + 2] = (uint32_t)low(iovs + 2ul * i);
		messages[8 * i + 3] = 1;
		messages[8 * i + 7] = 7777;
	}
}

static void mmsg_victim(void *data)
{
	char *memory = low_memory();
	uint32_t *messages = (uint32_t *)memory, *iovs = messages + 8ul * MESSAGES;
	char *text = memory + 4096;
	int fds[2];

	victim_check(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
	compat_messages(messages, iovs, text, 100);
	victim_check(int80(IA32_SENDMMSG, fds[0], low(messages), MESSAGES, 0, 0) == MESSAGES);
	compat_messages(messages, iovs, text, 0);
	victim_check(int80(IA32_RECVMMSG, fds[1], low(messages), MESSAGES, 0, 0) == MESSAGES);
	victim_check(syscall(SYS_sendto, fds[0], text, 1000, 0, NULL, 0) == 1000);
	victim_check(int80(IA32_RECVFROM, fds[1], low(text), 100, MSG_TRUNC, 0) == 1000);
}

static void f15_message_lengths_of_32_bit_calls(void **state)
{
	struct lab *lab = *state;

	need_ia32(lab);
	(void)lab_run(lab, mmsg_victim, NULL);
	lab_expect(lab, .call = "sendmmsg[ia32]", .count = 1, .bytes = 1500);
	lab_expect(lab, .call = "recvmmsg[ia32]", .count = 1, .bytes = 1500);
	lab_expect(lab, .call = "recvfrom[ia32]", .count = 1, .bytes = 100);
	assert_int_equal(lab_lost(lab, LOSS_BYTES_UNREAD), 0);
}

#endif /* __x86_64__ */

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f8_execveat_stays_execveat),
		lab_test(f8_failed_exec),
#if defined(__x86_64__)
		lab_test(f8_exec_of_a_32_bit_program),
		lab_test(f8_and_back_again),
		lab_test(f9_int80_in_a_64_bit_program),
		lab_test(f9_x32),
		lab_test(f9_denied_calls_have_an_abi_too),
		lab_test(f14_socketcall),
		lab_test(f15_message_lengths_of_32_bit_calls),
#endif
	};

	return lab_main(tests, NULL);
}
