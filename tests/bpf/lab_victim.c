/* SPDX-License-Identifier: BSD-2-Clause */
/* Processes that run in the groups, and waiting for what they do. */
#include "lab_private.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/cleanup.h"
#include "src/clock.h"

#define VICTIM_FAILED 99

void victim_fail(const char *file, int line, const char *condition)
{
	(void)fprintf(stderr, "%s:%d: in a victim: not so: %s (errno %d)\n", file, line, condition,
		      errno);
	_exit(VICTIM_FAILED);
}

void victim_sleep_ms(unsigned ms)
{
	struct timespec time = { .tv_sec = ms / 1000, .tv_nsec = (long)(ms % 1000 * MS) };

	victim_check(syscall(SYS_clock_nanosleep, CLOCK_MONOTONIC, 0, &time, NULL) == 0);
}

void victim_pause(void)
{
	/* ppoll() takes them, pause() does not look. */
	(void)syscall(NR_PAUSE, NULL, 0, NULL, NULL, 0);
}

void victim_call_often(long nr, unsigned n)
{
	while (n--)
		(void)syscall(nr, 0, 0, 0);
}

void victim_handle(int number, void (*handler)(int), int flags)
{
	struct sigaction action = { .sa_handler = handler, .sa_flags = flags };

	victim_check(sigaction(number, &action, NULL) == 0);
}

void victim_exec(void *path)
{
	char *const argv[] = { path, NULL };

	(void)syscall(SYS_execve, path, argv, argv + 1);
	victim_fail(__FILE__, __LINE__, "execve");
}

void victim_reap(pid_t pid)
{
	int status;

	victim_check(pid > 0);
	victim_check(waitpid(pid, &status, 0) == pid);
	victim_check(status == 0);
}

/* The preadv2() is entered, and so counted, in the group that the child was born in. */
_Noreturn static void victim_main(int gate, lab_victim victim, void *data)
{
	char byte;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	(void)setpriority(PRIO_PROCESS, 0, 0);
	/* A call that no test waits for: see lab_wait_blocked(). */
	if (preadv2(gate, &(struct iovec){ &byte, 1 }, 1, -1, 0) != 1)
		_exit(VICTIM_FAILED);
	victim(data);
	/* Sanitizers make _exit() more than this one call. */
	(void)syscall(SYS_exit_group, 0);
	__builtin_unreachable();
}

pid_t lab_start_in(const struct lab_group *group, lab_victim victim, void *data)
{
	_cleanup_(closep) int in = -1, out = -1;
	char path[512];
	int fds[2], r;
	pid_t pid;

	assert_int_equal(pipe2(fds, O_CLOEXEC), 0);
	in = fds[0];
	out = fds[1];
	pid = fork();
	if (pid == 0) {
		close(out);
		victim_main(in, victim, data);
	}
	if (pid < 0)
		fail_msg("cannot fork: %s", strerror(errno));
	lab_wait_blocked(pid, pid, SYS_preadv2);
	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", group->path);
	r = lab_write_number(path, pid);
	if (r < 0)
		fail_msg("cannot move a process to %s: %s", path, strerror(-r));
	assert_int_equal(write(out, "", 1), 1);
	return pid;
}

pid_t lab_start(struct lab *lab, lab_victim victim, void *data)
{
	return lab_start_in(lab_group(lab), victim, data);
}

static void check_status(pid_t pid, int status, int expected)
{
	if (status != expected)
		fail_msg("victim %d ended with status 0x%x, expected 0x%x%s", pid, status, expected,
			 WIFEXITED(status) && WEXITSTATUS(status) == VICTIM_FAILED
				 ? " (it says why on stderr)"
				 : "");
}

void lab_reap(struct lab *lab, pid_t pid, int status)
{
	int seen = -1;
	pid_t reaped;

	while ((reaped = waitpid(pid, &seen, WNOHANG)) == 0)
		lab_sleep_ms(lab, READ_MS);
	assert_int_equal(reaped, pid);
	check_status(pid, seen, status);
}

void lab_wait_dead(pid_t pid)
{
	siginfo_t info;

	assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
}

pid_t lab_run(struct lab *lab, lab_victim victim, void *data)
{
	pid_t pid = lab_start(lab, victim, data);

	lab_reap(lab, pid, 0);
	lab_settle(lab);
	return pid;
}

void *lab_shared(size_t size)
{
	void *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	assert_ptr_not_equal(memory, MAP_FAILED);
	return memory;
}

void lab_wait_for(struct lab *lab, const unsigned *value, unsigned at_least)
{
	uint64_t end_ns = monotonic_ns() + PATIENCE_NS;

	while (__atomic_load_n(value, __ATOMIC_ACQUIRE) < at_least) {
		assert_true(monotonic_ns() < end_ns);
		lab_sleep_ms(lab, 1);
	}
}

void lab_wait_blocked(pid_t pid, pid_t tid, long nr)
{
	uint64_t end_ns = monotonic_ns() + PATIENCE_NS;
	char path[64], line[256] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	for (;;) {
		_cleanup_(fclosep) FILE *file = fopen(path, "re");

		/* "running", or the number first. */
		if (!file || !fgets(line, sizeof(line), file))
			(void)snprintf(line, sizeof(line), "%s", strerror(errno));
		else if (strtol(line, NULL, 10) == nr && *line >= '0' && *line <= '9')
			return;
		if (monotonic_ns() > end_ns)
			fail_msg("%s: not in call %ld: %s", path, nr, line);
		usleep(500);
	}
}

pid_t lab_other_thread(pid_t pid)
{
	uint64_t end_ns = monotonic_ns() + PATIENCE_NS;
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%d/task", pid);
	for (;;) {
		_cleanup_(closedirp) DIR *dir = opendir(path);
		struct dirent *entry;

		while (dir && (entry = readdir(dir))) {
			pid_t tid = atoi(entry->d_name);

			if (tid > 0 && tid != pid)
				return tid;
		}
		if (monotonic_ns() > end_ns)
			fail_msg("%s: no other thread", path);
		usleep(500);
	}
}
