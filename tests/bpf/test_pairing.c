/* SPDX-License-Identifier: BSD-2-Clause */
/* Which return belongs to which entry: facts F1 to F7, F10 and F11. */
#include "lab.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/sched.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/clock.h"

/* ---- F1: a record dies with its task ---- */

static void vfork_and_reap(const char *program)
{
	char *const argv[] = { NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		if (program)
			(void)syscall(SYS_execve, program, argv, argv);
		_exit(0);
	}
	victim_reap(pid);
}

#define F1_VFORKS lab_load(12000)
#define F1_FORKS  lab_load(1000)

static void f1_victim(void *data)
{
	for (int i = 0; i < F1_VFORKS; i++)
		vfork_and_reap(NULL);
	/* From here on under another name, for the filter. */
	if (data)
		victim_check(prctl(PR_SET_NAME, data) == 0);
	for (int i = 0; i < F1_FORKS; i++) {
		pid_t pid = fork();

		if (pid == 0) {
			(void)syscall(SYS_getppid);
			_exit(0);
		}
		victim_reap(pid);
	}
}

static void f1_call_state_dies_with_its_task(void **state)
{
	struct lab *lab = *state;
	pid_t pid = lab_run(lab, f1_victim, NULL);
	uint64_t forks = CALL_VFORK[0] == 'v' ? F1_VFORKS : F1_VFORKS + F1_FORKS;

	lab_expect(lab, .call = "getppid", .count = F1_FORKS);
	lab_expect(lab, .call = CALL_VFORK, .count = forks);
	lab_expect(lab, .call = "wait4", .pid = pid, .count = F1_VFORKS + F1_FORKS);
	lab_expect(lab, .call = "exit_group", .count = F1_VFORKS + F1_FORKS + 1);
	lab_expect_nothing_lost(lab);
}

static void f1_with_a_filter(void **state)
{
	const char *items[] = { "f1-selected" };
	const struct string_list comms = { items, 1 };
	struct lab *lab = lab_open(&(struct collector_options){ .comms = &comms });

	(void)state;
	(void)lab_run(lab, f1_victim, (void *)(uintptr_t)items[0]);
	lab_expect(lab, .call = "getppid", .count = F1_FORKS);
	lab_expect(lab, .call = "wait4", .count = F1_FORKS);
	lab_expect(lab, .call = "vfork");
	lab_expect(lab, .call = "prctl");
	lab_expect(lab, .call = "exit_group", .count = F1_FORKS + 1);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
}

/* ---- F2: refused calls have a return and no entry ---- */

static int seccomp_answer(long nr, uint32_t answer, unsigned flags)
{
	struct sock_filter filter[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)nr, 0, 1),
		BPF_STMT(BPF_RET | BPF_K, answer),
		BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
	};
	struct sock_fprog program = { .len = N_ELEMENTS(filter), .filter = filter };
	long r;

	victim_check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
	r = syscall(SYS_seccomp, SECCOMP_SET_MODE_FILTER, flags, &program);
	victim_check(r >= 0);
	return (int)r;
}

static void f2_errno_victim(void *data)
{
	seccomp_answer(SYS_getppid, SECCOMP_RET_ERRNO | 1, 0);
	victim_sleep_ms(100);
	for (int i = 0; i < 2; i++)
		victim_check(syscall(SYS_getppid) == -1 && errno == 1);
	victim_check(syscall(SYS_getsid, 0) >= 0);
}

static void f2_denied_by_errno(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f2_errno_victim, NULL);
	lab_expect(lab, .call = "getppid", .denied = 2);
	lab_expect(lab, .call = "getsid", .count = 1);
	lab_expect(lab, .call = "clock_nanosleep", .count = 1);
	lab_assert(lab, lab_sum(lab, .call = "clock_nanosleep").time_ns >= 100 * MS);
	lab_assert(lab, lab_sum(lab, .call = "getsid").max_ns < 100 * MS);
	lab_expect_nothing_lost(lab);
}

static void on_signal(int signal)
{
	(void)signal;
}

static void f2_trap_victim(void *data)
{
	victim_handle(SIGSYS, on_signal, 0);
	seccomp_answer(SYS_write, SECCOMP_RET_TRAP, 0);
	(void)syscall(SYS_write, 1, "", 1);
}

static void f2_denied_by_trap(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f2_trap_victim, NULL);
	lab_expect(lab, .call = "write", .denied = 1);
	lab_expect(lab, .call = "rt_sigreturn", .count = 1);
}

static void f2_kill_victim(void *data)
{
	seccomp_answer(SYS_getppid, SECCOMP_RET_KILL_PROCESS, 0);
	(void)syscall(SYS_getppid);
}

static void f2_denied_by_kill(void **state)
{
	struct lab *lab = *state;
	pid_t pid = lab_start(lab, f2_kill_victim, NULL);
	int status;

	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGSYS);
	lab_settle(lab);
	lab_expect(lab, .call = "getppid", .denied = 1);
	lab_expect(lab, .call = "exit_group");
}

/* Answers one call in the name of the kernel. */
static void *f2_supervise(void *data)
{
	int *listener = data;
	struct seccomp_notif request;
	struct seccomp_notif_resp response;
	int fd;

	while ((fd = __atomic_load_n(listener, __ATOMIC_ACQUIRE)) < 0)
		usleep(1000);
	memset(&request, 0, sizeof(request));
	victim_check(ioctl(fd, SECCOMP_IOCTL_NOTIF_RECV, &request) == 0);
	memset(&response, 0, sizeof(response));
	response.id = request.id;
	response.val = 4711;
	victim_check(ioctl(fd, SECCOMP_IOCTL_NOTIF_SEND, &response) == 0);
	return NULL;
}

static void f2_notify_victim(void *data)
{
	int listener = -1;
	pthread_t thread;

	victim_check(pthread_create(&thread, NULL, f2_supervise, &listener) == 0);
	__atomic_store_n(&listener,
			 seccomp_answer(SYS_getppid, SECCOMP_RET_USER_NOTIF,
					SECCOMP_FILTER_FLAG_NEW_LISTENER),
			 __ATOMIC_RELEASE);
	victim_check(syscall(SYS_getppid) == 4711);
	victim_check(pthread_join(thread, NULL) == 0);
}

static void f2_answered_by_a_supervisor(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f2_notify_victim, NULL);
	lab_expect(lab, .call = "getppid", .denied = 1);
	lab_expect(lab, .call = "ioctl", .count = 2);
	lab_expect_nothing_lost(lab);
}

#define PTRACE_SYSEMU_ 31 /* an enum value in some headers, a macro in others */

static void f2_emulated_victim(void *data)
{
	(void)raise(SIGSTOP);
	(void)syscall(SYS_getppid);
	(void)syscall(SYS_getsid, 0);
}

/* As user-mode kernels do it: the tracer carries the call out, the kernel does not. */
static void f2_emulated_by_a_tracer(void **state)
{
	struct lab *lab = *state;
	pid_t pid = lab_start(lab, f2_emulated_victim, NULL);
	int status;

	assert_int_equal(waitpid(pid, &status, WUNTRACED), pid);
	assert_true(WIFSTOPPED(status));
	assert_int_equal(ptrace(PTRACE_SEIZE, pid, NULL, NULL), 0);
	assert_int_equal(kill(pid, SIGCONT), 0);
	/* The group stop, then the signal that ends it. */
	do {
		assert_int_equal(waitpid(pid, &status, 0), pid);
		assert_true(WIFSTOPPED(status));
		if (WSTOPSIG(status) != SIGCONT)
			assert_int_equal(ptrace(PTRACE_CONT, pid, NULL, NULL), 0);
	} while (WSTOPSIG(status) != SIGCONT);

	/* getppid is the next call to enter. */
	assert_int_equal(ptrace((enum __ptrace_request)PTRACE_SYSEMU_, pid, NULL, NULL), 0);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	assert_true(WIFSTOPPED(status) && WSTOPSIG(status) == SIGTRAP);
	assert_int_equal(ptrace(PTRACE_DETACH, pid, NULL, NULL), 0);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_expect(lab, .call = "getppid", .denied = 1);
	lab_expect(lab, .call = "getsid", .count = 1);
	lab_expect_nothing_lost(lab);
}

/* ---- F3: a child returns from a call that its parent entered ---- */

#define F3_EACH 100

static void *nothing(void *data)
{
	return data;
}

static pid_t raw_clone3(uint64_t flags)
{
	struct clone_args args;

	memset(&args, 0, sizeof(args));
	args.flags = flags;
	args.exit_signal = SIGCHLD;
	return (pid_t)syscall(SYS_clone3, &args, sizeof(args));
}

static void f3_victim(void *data)
{
	for (int i = 0; i < F3_EACH; i++) {
		pthread_t thread;
		pid_t pid;

#ifdef SYS_fork
		pid = (pid_t)syscall(SYS_fork);
#else
		pid = fork();
#endif
		if (pid == 0)
			_exit(0);
		victim_reap(pid);
		vfork_and_reap(NULL);
		pid = raw_clone3(0);
		if (pid == 0)
			_exit(0);
		victim_reap(pid);
		victim_check(pthread_create(&thread, NULL, nothing, NULL) == 0);
		victim_check(pthread_join(thread, NULL) == 0);
	}
}

static void f3_children_return_from_no_call(void **state)
{
	struct lab *lab = *state;
	pid_t pid = lab_run(lab, f3_victim, NULL);
	static const char *const calls[] = { "clone", "clone3", "fork", "vfork" };
	uint64_t count = 0;

	for (size_t i = 0; i < N_ELEMENTS(calls); i++) {
		struct call_stats all = lab_sum(lab, .call = calls[i]);
		struct call_stats parent = lab_sum(lab, .call = calls[i], .pid = pid);

		count += all.count;
		lab_assert(lab, all.count == parent.count);
		lab_assert(lab, all.errors == 0);
	}
	lab_assert(lab, count == 4ull * F3_EACH);
	lab_assert(lab, lab_sum(lab, .call = NULL).denied == 0);
	lab_expect(lab, .call = "exit", .pid = pid, .count = F3_EACH);
	lab_expect(lab, .call = "exit_group", .count = 3 * F3_EACH + 1);
	lab_expect_nothing_lost(lab);
}

/* A refused call is one from a task's first call of its own on. */
static void f3_denied_first_call_victim(void *data)
{
	seccomp_answer(SYS_getppid, SECCOMP_RET_ERRNO | 1, 0);
	for (int i = 0; i < F3_EACH; i++) {
		pid_t pid = raw_clone3(0);

		if (pid == 0) {
			(void)syscall(SYS_getppid);
			_exit(0);
		}
		victim_reap(pid);
	}
}

static void f3_denied_right_after_birth(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f3_denied_first_call_victim, NULL);
	lab_expect(lab, .call = "getppid", .denied = F3_EACH);
	lab_expect(lab, .call = "clone3", .count = F3_EACH);
}

/* ---- F4: calls that began before us ---- */

static void f4_victim(void *data)
{
	const int *pipe_fds = data;
	char byte;

	for (int i = 0; i < 2; i++)
		victim_check(syscall(SYS_read, pipe_fds[0], &byte, 1) == 1);
}

static void f4_in_progress_at_attach(void **state)
{
	struct lab *first = *state, *lab;
	uint64_t start_ns, end_ns;
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = lab_start(first, f4_victim, fds);
	lab_wait_blocked(pid, pid, SYS_read);
	lab_sleep_ms(first, 1000);

	lab = lab_open(NULL);
	lab_also(lab, lab_group(first));
	lab_read(lab, NULL);
	start_ns = monotonic_ns();
	assert_int_equal(write(fds[1], "", 1), 1);
	usleep(20000);
	lab_wait_blocked(pid, pid, SYS_read);
	lab_read(lab, NULL);
	lab_expect(lab, .call = "read");
	assert_int_equal(write(fds[1], "", 1), 1);
	lab_reap(lab, pid, 0);
	end_ns = monotonic_ns();
	lab_settle(lab);
	lab_expect(lab, .call = "read", .count = 1, .bytes = 1);
	lab_expect(lab, .call = "exit_group", .count = 1);
	lab_assert(lab, lab_sum(lab, .call = NULL).max_ns < end_ns - start_ns);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
	close(fds[0]);
	close(fds[1]);
}

/* ---- F5: rt_sigreturn hides its number and returns another's result ---- */

static void f5_raise_victim(void *data)
{
	victim_handle(SIGUSR1, on_signal, 0);
	for (int i = 0; i < 1000; i++)
		victim_check(syscall(SYS_tgkill, getpid(), gettid(), SIGUSR1) == 0);
}

static void f5_sigreturn_is_no_error(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f5_raise_victim, NULL);
	lab_expect(lab, .call = "rt_sigreturn", .count = 1000);
	lab_expect(lab, .call = "tgkill", .count = 1000);
}

static unsigned *f5_handled;

static void f5_on_signal(int signal)
{
	(void)signal;
	__atomic_add_fetch(f5_handled, 1, __ATOMIC_RELEASE);
}

static void f5_pause_victim(void *data)
{
	f5_handled = data;
	victim_handle(SIGUSR1, f5_on_signal, 0);
	for (int i = 0; i < 10; i++)
		victim_check(pause() == -1 && errno == EINTR);
}

static void f5_interrupted_pause(void **state)
{
	struct lab *lab = *state;
	unsigned *handled = lab_shared(sizeof(*handled));
	pid_t pid = lab_start(lab, f5_pause_victim, handled);

	for (unsigned i = 0; i < 10; i++) {
		lab_wait_for(lab, handled, i);
		lab_wait_blocked(pid, pid, NR_PAUSE);
		assert_int_equal(kill(pid, SIGUSR1), 0);
		lab_wait_for(lab, handled, i + 1);
	}
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_expect(lab, .call = CALL_PAUSE, .count = 10, .interrupted = 10);
	lab_expect(lab, .call = "rt_sigreturn", .count = 10);
}

/* ---- F6: calls that never return, and those that a kill ends ---- */

static void f6_exit_group_only(void **state)
{
	struct lab *lab = *state;
	struct snapshot snapshot;
	char path[512];
	pid_t pid;

	lab_helper("trivial", path);
	pid = lab_run(lab, victim_exec, path);
	lab_expect(lab, .call = "exit_group", .comm = "trivial", .count = 1);
	lab_expect(lab, .call = "getppid", .comm = "trivial", .count = 3);
	lab_expect(lab, .comm = "trivial", .call = "execve");
	lab_expect(lab, .call = "execve", .count = 1);
	lab_assert(lab, lab_sum(lab, .comm = "trivial").count == 4);
	lab_read(lab, &snapshot);
	assert_null(lab_in_flight(&snapshot, pid));
}

static void *f6_pause(void *data)
{
	(void)pause();
	return data;
}

static void f6_kill_victim(void *data)
{
	const int *pipe_fds = data;
	pthread_t thread;
	char byte;

	victim_check(pthread_create(&thread, NULL, f6_pause, NULL) == 0);
	/* Until the test has seen the thread in its call. */
	victim_check(syscall(SYS_read, pipe_fds[0], &byte, 1) == 1);
	victim_sleep_ms(50);
	(void)syscall(SYS_kill, getpid(), SIGKILL);
	_exit(1);
}

static void f6_killed_in_a_call(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .in_flight_ns = 1 });
	struct snapshot snapshot;
	int fds[2];
	pid_t pid, tid;

	assert_int_equal(pipe(fds), 0);
	pid = lab_start(lab, f6_kill_victim, fds);
	tid = lab_other_thread(pid);
	lab_wait_blocked(pid, tid, NR_PAUSE);
	lab_read(lab, &snapshot);
	assert_non_null(lab_in_flight(&snapshot, tid));
	assert_int_equal(write(fds[1], "", 1), 1);
	lab_reap(lab, pid, SIGKILL);
	lab_settle(lab);
	lab_expect(lab, .call = CALL_PAUSE, .count = 1, .interrupted = 1);
	lab_assert(lab, lab_sum(lab, .call = CALL_PAUSE).time_ns >= 50 * MS);
	lab_expect(lab, .call = "kill", .count = 1);
	lab_expect(lab, .call = "exit_group");
	lab_expect(lab, .call = "exit");
	lab_read(lab, &snapshot);
	assert_null(lab_in_flight(&snapshot, tid));
	assert_null(lab_in_flight(&snapshot, pid));
	lab_expect_nothing_lost(lab);
	lab_close(lab);
	close(fds[0]);
	close(fds[1]);
}

/* ---- F7: exec by another thread than the main one ---- */

static uint64_t *f7_exec_ns; /* shared: when the exec began */

static void *f7_exec(void *path)
{
	victim_sleep_ms(400);
	*f7_exec_ns = monotonic_ns();
	victim_exec(path);
	return NULL;
}

static void f7_victim(void *path)
{
	pthread_t thread;

	victim_check(pthread_create(&thread, NULL, f7_exec, path) == 0);
	(void)pthread_join(thread, NULL);
}

static void f7_exec_from_a_thread(void **state)
{
	struct lab *lab = *state;
	uint64_t end_ns;
	char path[512];
	pid_t pid;

	f7_exec_ns = lab_shared(sizeof(*f7_exec_ns));
	lab_helper("trivial", path);
	pid = lab_start(lab, f7_victim, path);
	lab_reap(lab, pid, 0);
	end_ns = monotonic_ns();
	lab_settle(lab);
	lab_expect(lab, .call = "execve", .count = 1);
	/* Not the age of the main thread's futex wait. */
	lab_assert(lab, lab_sum(lab, .call = "execve").max_ns < end_ns - *f7_exec_ns);
	lab_expect(lab, .call = "futex", .count = 1, .interrupted = 1);
	lab_assert(lab, lab_sum(lab, .call = "futex").time_ns >= 300 * MS);
	lab_expect(lab, .call = "getppid", .comm = "trivial", .count = 3);
	lab_expect(lab, .call = "exit_group", .count = 1);
	lab_expect_nothing_lost(lab);
}

static void f7_same_name_victim(void *path)
{
	victim_check(prctl(PR_SET_NAME, "trivial") == 0);
	f7_victim(path);
}

/* The thread becomes the main one, and what it calls then is the main thread's. */
static void f7_exec_changes_the_tid(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .by_thread = true });
	char path[512];
	pid_t pid;

	f7_exec_ns = lab_shared(sizeof(*f7_exec_ns));
	lab_helper("trivial", path);
	pid = lab_run(lab, f7_same_name_victim, path);
	lab_expect(lab, .call = "getppid", .comm = "trivial", .pid = pid, .tid = pid, .count = 3);
	lab_expect(lab, .call = "exit_group", .pid = pid, .tid = pid, .count = 1);
	lab_close(lab);
}

/* ---- F10: numbers that no table has ---- */

static void f10_victim(void *data)
{
	static const long numbers[] = { 9999, -1, 1023, 1024, 0x3fffffff };

	for (size_t i = 0; i < N_ELEMENTS(numbers); i++)
		victim_check(syscall(numbers[i]) == -1 && errno == ENOSYS);
}

static void f10_unknown_numbers(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f10_victim, NULL);
	lab_expect(lab, .call = "sys_9999", .count = 1, .errors = 1);
	lab_expect(lab, .call = "sys_-1", .count = 1, .errors = 1);
	lab_expect(lab, .call = "sys_1023", .count = 1, .errors = 1);
	lab_expect(lab, .call = "sys_1024", .count = 1, .errors = 1);
	lab_expect(lab, .call = "sys_1073741823", .count = 1, .errors = 1);
	assert_int_equal(lab_errno(lab, ENOSYS, .call = "sys_9999"), 1);
}

/* ---- F11: vfork lasts until the child execs ---- */

static void f11_victim(void *path)
{
	char *const argv[] = { path, NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		victim_sleep_ms(200);
		(void)syscall(SYS_execve, path, argv, argv + 1);
		_exit(1);
	}
	victim_reap(pid);
}

static void f11_vfork_waits_for_exec(void **state)
{
	struct lab *lab = *state;
	char path[512];
	pid_t pid;

	lab_helper("trivial", path);
	pid = lab_run(lab, f11_victim, path);
	lab_expect(lab, .call = CALL_VFORK, .count = 1);
	lab_expect(lab, .call = CALL_VFORK, .pid = pid, .count = 1);
	lab_assert(lab, lab_sum(lab, .call = CALL_VFORK).max_ns >= 200 * MS);
	lab_expect(lab, .call = "clock_nanosleep", .count = 1);
	lab_expect(lab, .call = "execve", .count = 1);
	lab_expect_nothing_lost(lab);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f1_call_state_dies_with_its_task),
		lab_test(f1_with_a_filter),
		lab_test(f2_denied_by_errno),
		lab_test(f2_denied_by_trap),
		lab_test(f2_denied_by_kill),
		lab_test(f2_answered_by_a_supervisor),
		lab_test(f2_emulated_by_a_tracer),
		lab_test(f3_children_return_from_no_call),
		lab_test(f3_denied_right_after_birth),
		lab_test(f4_in_progress_at_attach),
		lab_test(f5_sigreturn_is_no_error),
		lab_test(f5_interrupted_pause),
		lab_test(f6_exit_group_only),
		lab_test(f6_killed_in_a_call),
		lab_test(f7_exec_from_a_thread),
		lab_test(f7_exec_changes_the_tid),
		lab_test(f10_unknown_numbers),
		lab_test(f11_vfork_waits_for_exec),
	};

	return lab_main(tests, NULL);
}
