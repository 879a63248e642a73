/* SPDX-License-Identifier: BSD-2-Clause */
/* What a returned value means: facts F12 and F13. */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/shm.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

/* ---- F12: a call that a signal cuts short is neither done nor failed ---- */

struct interrupted {
	int fds[2];
	int flags;
	unsigned *handled;
};

static unsigned *handled;

static void on_signal(int signal)
{
	(void)signal;
	__atomic_add_fetch(handled, 1, __ATOMIC_RELEASE);
}

static void f12_read_victim(void *data)
{
	const struct interrupted *how = data;
	char byte;
	long n;

	handled = how->handled;
	victim_handle(SIGUSR1, on_signal, how->flags);
	n = syscall(SYS_read, how->fds[0], &byte, 1);
	victim_check(how->flags & SA_RESTART ? n == 1 : n == -1 && errno == EINTR);
}

static void interrupt_read(struct lab *lab, int flags)
{
	struct interrupted how = { .flags = flags, .handled = lab_shared(sizeof(*how.handled)) };
	pid_t pid;

	assert_int_equal(pipe(how.fds), 0);
	pid = lab_start(lab, f12_read_victim, &how);
	lab_wait_blocked(pid, pid, SYS_read);
	assert_int_equal(kill(pid, SIGUSR1), 0);
	if (flags & SA_RESTART) {
		lab_wait_for(lab, how.handled, 1);
		lab_wait_blocked(pid, pid, SYS_read);
		assert_int_equal(write(how.fds[1], "", 1), 1);
	}
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	close(how.fds[0]);
	close(how.fds[1]);
}

static void f12_restarted(void **state)
{
	struct lab *lab = *state;

	interrupt_read(lab, SA_RESTART);
	lab_expect(lab, .call = "read", .count = 2, .interrupted = 1, .bytes = 1);
	lab_expect(lab, .call = "rt_sigreturn", .count = 1);
}

static void f12_not_restarted(void **state)
{
	struct lab *lab = *state;

	interrupt_read(lab, 0);
	lab_expect(lab, .call = "read", .count = 1, .interrupted = 1);
	lab_expect(lab, .call = "rt_sigreturn", .count = 1);
}

static void f12_nanosleep_victim(void *data)
{
	struct timespec time = { .tv_sec = 1 };

	victim_check(syscall(SYS_nanosleep, &time, NULL) == 0);
}

/* Stopped and continued with no handler run, the sleep goes on as another call. */
static void f12_restart_syscall(void **state)
{
	struct lab *lab = *state;
	pid_t pid = lab_start(lab, f12_nanosleep_victim, NULL);
	int status;

	lab_wait_blocked(pid, pid, SYS_nanosleep);
	assert_int_equal(kill(pid, SIGSTOP), 0);
	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	usleep(30000);
	assert_int_equal(kill(pid, SIGCONT), 0);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_expect(lab, .call = "nanosleep", .count = 1, .interrupted = 1);
	lab_expect(lab, .call = "restart_syscall", .count = 1);
	/* All of the sleep but the stop, which on a busy machine takes its time. */
	lab_assert(lab, lab_sum(lab, .call = NULL).time_ns >= 500 * MS);
}

static void f12_epoll_victim(void *data)
{
	struct epoll_event event;
	int fd = epoll_create1(0);

	handled = data;
	victim_handle(SIGUSR1, on_signal, SA_RESTART);
	victim_check(syscall(SYS_epoll_pwait, fd, &event, 1, -1, NULL, 8) == -1 && errno == EINTR);
}

/* The call itself says EINTR, whatever the handler's flags. */
static void f12_literal_eintr(void **state)
{
	struct lab *lab = *state;
	pid_t pid = lab_start(lab, f12_epoll_victim, lab_shared(sizeof(*handled)));

	lab_wait_blocked(pid, pid, SYS_epoll_pwait);
	assert_int_equal(kill(pid, SIGUSR1), 0);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_expect(lab, .call = "epoll_pwait", .count = 1, .errors = 1);
	assert_int_equal(lab_errno(lab, EINTR, .call = "epoll_pwait"), 1);
}

/* ---- F13: what is negative need not be an error ---- */

static void f13_addresses_victim(void *data)
{
	long page = sysconf(_SC_PAGESIZE);
	int id;

	for (int i = 0; i < 10000; i++) {
		long address =
			syscall(SYS_mmap, 0, page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);

		victim_check(address != -1);
		victim_check(syscall(SYS_munmap, address, page) == 0);
	}
	id = (int)syscall(SYS_shmget, IPC_PRIVATE, page, 0600);
	victim_check(id >= 0);
	for (int i = 0; i < 1000; i++) {
		long address = syscall(SYS_shmat, id, NULL, SHM_RDONLY);

		victim_check(address != -1);
		victim_check(syscall(SYS_shmdt, address) == 0);
	}
	victim_check(syscall(SYS_shmctl, id, IPC_RMID, NULL) == 0);
}

static void f13_addresses(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f13_addresses_victim, NULL);
	lab_expect(lab, .call = "mmap", .count = 10000);
	lab_expect(lab, .call = "munmap", .count = 10000);
	lab_expect(lab, .call = "shmat", .count = 1000);
	lab_expect(lab, .call = "shmdt", .count = 1000);
}

#define F13_OFFSETS 4

/* The memory of a process can be sought to any offset, and what lseek returns is the offset. */
static void f13_offset_victim(void *data)
{
	static const long offsets[F13_OFFSETS] = { -4096, -5000, -(1l << 40), 1l << 40 };
	int fd = open("/proc/self/mem", O_RDONLY);

	for (int i = 0; i < F13_OFFSETS; i++)
		victim_check(syscall(SYS_lseek, fd, offsets[i], SEEK_SET) == offsets[i]);
	victim_check(syscall(SYS_lseek, -1, 0, SEEK_SET) == -1);
}

static void f13_huge_offsets(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f13_offset_victim, NULL);
	lab_expect(lab, .call = "lseek", .count = F13_OFFSETS + 1, .errors = 1);
	assert_int_equal(lab_errno(lab, EBADF, .call = "lseek"), 1);
}

static void f13_errnos_victim(void *data)
{
	char buffer[16];
	int fds[2];

	for (int i = 0; i < 7; i++)
		victim_check(syscall(SYS_openat, AT_FDCWD, "/missing/path", O_RDONLY) == -1);
	victim_check(pipe2(fds, O_NONBLOCK) == 0);
	for (int i = 0; i < 3; i++)
		victim_check(syscall(SYS_read, fds[0], buffer, sizeof(buffer)) == -1);
}

static void f13_errnos(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f13_errnos_victim, NULL);
	lab_expect(lab, .call = "openat", .count = 7, .errors = 7);
	assert_int_equal(lab_errno(lab, ENOENT, .call = "openat"), 7);
	lab_expect(lab, .call = "read", .count = 3, .errors = 3);
	assert_int_equal(lab_errno(lab, EAGAIN, .call = "read"), 3);
}

static const struct {
	int fd;
	const char *path;
	int flags;
	int number;
} failures[] = {
	{ AT_FDCWD, "/missing/path", O_RDONLY, ENOENT },
	{ AT_FDCWD, "/dev/null/path", O_RDONLY, ENOTDIR },
	{ AT_FDCWD, "/", O_WRONLY, EISDIR },
	{ AT_FDCWD, "/proc/self/exe", O_RDONLY | O_NOFOLLOW, ELOOP },
	{ AT_FDCWD, "/dev/null", O_CREAT | O_EXCL, EEXIST },
	{ AT_FDCWD, NULL, O_RDONLY, EFAULT },
	{ -1, "path", O_RDONLY, EBADF },
	{ AT_FDCWD, "/", O_RDONLY | O_TMPFILE, EINVAL },
};

#define F13_ROUNDS 100

/* More kinds of failure than a record has room for, in turns. */
static void f13_many_errnos_victim(void *data)
{
	for (int round = 0; round < F13_ROUNDS; round++) {
		for (size_t i = 0; i < N_ELEMENTS(failures); i++)
			victim_check(syscall(SYS_openat, failures[i].fd, failures[i].path,
					     failures[i].flags, 0600) == -1 &&
				     errno == failures[i].number);
	}
}

static void f13_many_errnos(void **state)
{
	struct lab *lab = *state;
	uint64_t n = N_ELEMENTS(failures) * F13_ROUNDS;

	(void)lab_run(lab, f13_many_errnos_victim, NULL);
	lab_expect(lab, .call = "openat", .count = n, .errors = n);
	for (size_t i = 0; i < N_ELEMENTS(failures); i++)
		assert_int_equal(lab_errno(lab, failures[i].number, .call = "openat"), F13_ROUNDS);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f12_restarted),       lab_test(f12_not_restarted),
		lab_test(f12_restart_syscall), lab_test(f12_literal_eintr),
		lab_test(f13_addresses),       lab_test(f13_huge_offsets),
		lab_test(f13_errnos),	       lab_test(f13_many_errnos),
	};

	return lab_main(tests, NULL);
}
