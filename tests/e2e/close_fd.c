/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * close_fd PID FD: closes a file descriptor of another process, as a person with a debugger would.
 *
 * The process is stopped while it waits in a system call, and made to enter that instruction once
 * more, with close() for a number.
 */
#include <elf.h>
#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

static void fail(const char *what)
{
	fprintf(stderr, "close_fd: %s: %s\n", what, strerror(errno));
	exit(1);
}

#if defined(__x86_64__)

#define INSTRUCTION	 0x050f /* syscall */
#define INSTRUCTION_SIZE 2
#define INSTRUCTION_MASK 0xffffUL

static uint64_t *pc_of(struct user_regs_struct *regs)
{
	return (uint64_t *)&regs->rip;
}

static void set_close(pid_t pid, struct user_regs_struct *regs, int fd)
{
	regs->rax = SYS_close;
	regs->orig_rax = (unsigned long long)-1; /* so that nothing is restarted */
	regs->rdi = (unsigned)fd;
}

static int64_t result_of(const struct user_regs_struct *regs)
{
	return (int64_t)regs->rax;
}

#elif defined(__aarch64__)

#define INSTRUCTION	 0xd4000001UL /* svc #0 */
#define INSTRUCTION_SIZE 4
#define INSTRUCTION_MASK 0xffffffffUL

static uint64_t *pc_of(struct user_regs_struct *regs)
{
	return (uint64_t *)&regs->pc;
}

static void set_close(pid_t pid, struct user_regs_struct *regs, int fd)
{
	int none = -1;
	struct iovec vector = { &none, sizeof(none) };

	(void)ptrace(PTRACE_SETREGSET, pid, (void *)NT_ARM_SYSTEM_CALL, &vector);
	regs->regs[8] = SYS_close;
	regs->regs[0] = (unsigned)fd;
}

static int64_t result_of(const struct user_regs_struct *regs)
{
	return (int64_t)regs->regs[0];
}

#else
#error "unknown machine"
#endif

static void get_regs(pid_t pid, struct user_regs_struct *ret)
{
	struct iovec vector = { ret, sizeof(*ret) };

	if (ptrace(PTRACE_GETREGSET, pid, (void *)NT_PRSTATUS, &vector) < 0)
		fail("PTRACE_GETREGSET");
}

static void set_regs(pid_t pid, struct user_regs_struct *regs)
{
	struct iovec vector = { regs, sizeof(*regs) };

	if (ptrace(PTRACE_SETREGSET, pid, (void *)NT_PRSTATUS, &vector) < 0)
		fail("PTRACE_SETREGSET");
}

/* The result of close(), or 1 if the process is not in a system call. */
static int64_t close_in(pid_t pid, int fd)
{
	struct user_regs_struct before, regs;
	unsigned long word;

	get_regs(pid, &before);
	regs = before;
	*pc_of(&regs) -= INSTRUCTION_SIZE;
	errno = 0;
	word = (unsigned long)ptrace(PTRACE_PEEKTEXT, pid, (void *)*pc_of(&regs), NULL);
	if (errno || (word & INSTRUCTION_MASK) != INSTRUCTION)
		return 1;
	set_close(pid, &regs, fd);
	set_regs(pid, &regs);
	if (ptrace(PTRACE_SINGLESTEP, pid, NULL, NULL) < 0 || waitpid(pid, NULL, 0) < 0)
		fail("PTRACE_SINGLESTEP");
	get_regs(pid, &regs);
	set_regs(pid, &before);
	return result_of(&regs);
}

int main(int argc, char **argv)
{
	pid_t pid = argc == 3 ? atoi(argv[1]) : 0;
	int64_t result;

	if (pid <= 0)
		return 2;
	do {
		if (ptrace(PTRACE_ATTACH, pid, NULL, NULL) < 0 || waitpid(pid, NULL, 0) < 0)
			fail("PTRACE_ATTACH");
		result = close_in(pid, atoi(argv[2]));
		if (ptrace(PTRACE_DETACH, pid, NULL, NULL) < 0)
			fail("PTRACE_DETACH");
		usleep(10000);
	} while (result == 1);
	if (result < 0) {
		errno = (int)-result;
		fail("close");
	}
	return 0;
}
