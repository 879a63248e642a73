/* SPDX-License-Identifier: BSD-2-Clause */
/* The monitor itself: facts F41 and F47. */
#include "lab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/bpf.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "src/clock.h"

/* ---- F41: the monitor leaves itself out ---- */

static void *busy_monitor(void *data)
{
	for (int i = 0; i < 1000; i++)
		(void)syscall(SYS_getppid);
	return data;
}

/* Rows and calls in progress of this process, by what it is called and by its own PID. */
static unsigned own_traces(const struct snapshot *snapshot)
{
	char name[COMM_LEN] = "";
	unsigned n = 0;

	(void)prctl(PR_GET_NAME, name);
	for (uint32_t i = 0; i < snapshot->n_rows; i++) {
		const struct snapshot_task *task = snapshot->rows[i].task;

		n += task->vpid == getpid() && strcmp(task->process_comm, name) == 0;
	}
	for (uint32_t i = 0; i < snapshot->n_in_flight; i++)
		n += snapshot->in_flight[i].task.vpid == getpid();
	return n;
}

static void nothing_victim(void *data)
{
	(void)syscall(SYS_getppid);
}

static void f41_no_own_row_from_the_first_on(void **state)
{
	struct lab *lab = lab_open(&(struct collector_options){ .in_flight_ns = 1 });
	struct snapshot snapshot;

	(void)state;
	for (int i = 0; i < 10; i++) {
		pthread_t thread;

		assert_int_equal(pthread_create(&thread, NULL, busy_monitor, NULL), 0);
		assert_int_equal(pthread_join(thread, NULL), 0);
		(void)fprintf(stderr, "interval %d\n", i);
		lab_read(lab, &snapshot);
		assert_int_equal(own_traces(&snapshot), 0);
		/* Its children are others. */
		lab_reap(lab, lab_start(lab, nothing_victim, NULL), 0);
	}
	lab_settle(lab);
	lab_expect(lab, .call = "getppid", .count = 10);
	lab_close(lab);
}

/* ---- F47: a restarted monitor does not repeat history, and leaves nothing behind ---- */

#define IDS_MAX 64

struct ids {
	uint32_t ids[IDS_MAX];
	size_t n;
};

/* The ids that stand behind @key ("prog_id") in what /proc says of the descriptors of @pid. */
static void read_ids(pid_t pid, const char *key, struct ids *ret)
{
	char path[400], line[256], pattern[32];
	struct dirent *entry;
	DIR *dir;

	(void)snprintf(pattern, sizeof(pattern), "%s:\t%%u", key);
	(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo", pid);
	dir = opendir(path);
	assert_non_null(dir);
	ret->n = 0;
	while ((entry = readdir(dir))) {
		FILE *file;
		uint32_t id;

		if (*entry->d_name == '.')
			continue;
		(void)snprintf(path, sizeof(path), "/proc/%d/fdinfo/%s", pid, entry->d_name);
		file = fopen(path, "re");
		while (file && fgets(line, sizeof(line), file)) {
			size_t length = strlen(key);

			if (strncmp(line, key, length) == 0 && line[length] == ':' &&
			    ret->n < IDS_MAX) {
				id = (uint32_t)strtoul(line + length + 1, NULL, 10);
				ret->ids[ret->n++] = id;
			}
		}
		if (file)
			(void)fclose(file);
	}
	(void)closedir(dir);
}

/* A child has inherited what is not its own. */
static void read_new_ids(pid_t pid, const char *key, struct ids *ret)
{
	struct ids all, inherited;

	read_ids(getpid(), key, &inherited);
	read_ids(pid, key, &all);
	ret->n = 0;
	for (size_t i = 0; i < all.n; i++) {
		size_t k = 0;

		while (k < inherited.n && inherited.ids[k] != all.ids[i])
			k++;
		if (k == inherited.n)
			ret->ids[ret->n++] = all.ids[i];
	}
}

static bool id_exists(int command, uint32_t id)
{
	union bpf_attr attr;
	long fd;

	memset(&attr, 0, sizeof(attr));
	attr.prog_id = id; /* map_id lies in the same place */
	fd = syscall(SYS_bpf, command, &attr, sizeof(attr));
	if (fd >= 0)
		close((int)fd);
	return fd >= 0;
}

/* The kernel frees them after a grace period. */
static void expect_gone(int command, const struct ids *ids)
{
	uint64_t end_ns = monotonic_ns() + 120000 * MS;

	for (size_t i = 0; i < ids->n; i++) {
		while (id_exists(command, ids->ids[i])) {
			if (monotonic_ns() > end_ns)
				fail_msg("BPF object %u is still there", ids->ids[i]);
			usleep(10000);
		}
	}
}

struct busy {
	unsigned stop;
	uint64_t calls;
};

static void busy_victim(void *data)
{
	struct busy *busy = data;

	while (!__atomic_load_n(&busy->stop, __ATOMIC_ACQUIRE)) {
		(void)syscall(SYS_getppid);
		__atomic_add_fetch(&busy->calls, 1, __ATOMIC_RELEASE);
	}
}

/* Another monitor, for as long as it is let live. */
static pid_t start_monitor(int *ready)
{
	int fds[2];
	pid_t pid;

	assert_int_equal(pipe(fds), 0);
	pid = fork();
	if (pid == 0) {
		struct collector_options options = { .in_flight_ns = 1000 * MS };
		struct collector *collector;
		struct snapshot snapshot;
		char error[512];

		(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
		lab_choose(lab_find_hierarchy(false) ? lab_find_hierarchy(false)
						     : lab_find_hierarchy(true),
			   &options);
		if (collector_open(&options, NULL, &collector, error, sizeof(error)) < 0)
			_exit(1);
		if (write(fds[1], "", 1) != 1)
			_exit(1);
		for (;;) {
			if (collector_read(collector, &snapshot) < 0)
				_exit(1);
			usleep(1000);
		}
	}
	assert_true(pid > 0);
	close(fds[1]);
	*ready = fds[0];
	return pid;
}

static void f47_killed_and_restarted(void **state)
{
	struct lab *first = *state, *lab;
	struct busy *busy = lab_shared(sizeof(*busy));
	pid_t worker = lab_start(first, busy_victim, busy), monitor;
	struct ids programs, maps;
	struct snapshot snapshot;
	uint64_t before, after, end, start_ns, seen;
	int ready;
	char byte;

	monitor = start_monitor(&ready);
	assert_int_equal(read(ready, &byte, 1), 1);
	close(ready);
	lab_sleep_ms(first, 200);
	read_new_ids(monitor, "prog_id", &programs);
	read_new_ids(monitor, "map_id", &maps);
	/* At least the two ends of a call, the end of a task and the dump. */
	assert_true(programs.n >= 4);
	assert_true(maps.n >= 3);
	assert_true(id_exists(BPF_PROG_GET_FD_BY_ID, programs.ids[0]));
	assert_true(id_exists(BPF_MAP_GET_FD_BY_ID, maps.ids[0]));
	assert_int_equal(kill(monitor, SIGKILL), 0);
	assert_int_equal(waitpid(monitor, NULL, 0), monitor);

	start_ns = monotonic_ns();
	before = __atomic_load_n(&busy->calls, __ATOMIC_ACQUIRE);
	lab = lab_open(NULL);
	after = __atomic_load_n(&busy->calls, __ATOMIC_ACQUIRE);
	lab_also(lab, lab_group(first));
	lab_read(lab, &snapshot);
	assert_true(snapshot.duration_ns > 0);
	assert_true(snapshot.duration_ns <= monotonic_ns() - start_ns);
	lab_sleep_ms(lab, 100);
	__atomic_store_n(&busy->stop, 1, __ATOMIC_RELEASE);
	lab_reap(lab, worker, 0);
	lab_settle(lab);
	end = busy->calls;
	seen = lab_sum(lab, .call = "getppid").count;
	/* One call may be under way at either moment. */
	lab_assert(lab, seen <= end - before + 1);
	lab_assert(lab, seen + 1 >= end - after);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
	expect_gone(BPF_PROG_GET_FD_BY_ID, &programs);
	expect_gone(BPF_MAP_GET_FD_BY_ID, &maps);
}

/* ---- the end: what had been counted is still read, and nothing is counted any more ---- */

static void detached(void **state)
{
	struct lab *first = *state, *lab = lab_open(NULL);
	struct busy *busy = lab_shared(sizeof(*busy));
	pid_t worker = lab_start(lab, busy_victim, busy);
	uint64_t before, after, seen;

	(void)first;
	assert_true(collector_is_attached(lab_collector(lab)));
	lab_sleep_ms(lab, 50);
	before = __atomic_load_n(&busy->calls, __ATOMIC_ACQUIRE);
	collector_detach(lab_collector(lab));
	after = __atomic_load_n(&busy->calls, __ATOMIC_ACQUIRE);
	assert_false(collector_is_attached(lab_collector(lab)));
	lab_settle(lab);
	seen = lab_sum(lab, .call = "getppid").count;
	lab_assert(lab, seen + 1 >= before);
	lab_assert(lab, seen <= after + 1);
	lab_sleep_ms(lab, 50);
	lab_expect(lab, .call = "getppid", .count = seen);
	lab_assert(lab, lab_sum(lab, .call = NULL).denied == 0);
	__atomic_store_n(&busy->stop, 1, __ATOMIC_RELEASE);
	lab_reap(lab, worker, 0);
	lab_settle(lab);
	lab_expect(lab, .call = "getppid", .count = seen);
	lab_expect_nothing_lost(lab);
	lab_close(lab);
}

/* A thread that execs takes over the main one's TID: the last dump must not miss it on its way. */
struct mover {
	unsigned ready; /* threads that have made their calls */
	int go[2];	/* a pipe */
	char program[512];
	pid_t pid;
	bool moved;
};

static void *mover_thread(void *data)
{
	struct mover *mover = data;
	char c;

	for (int i = 0; i < 20; i++)
		(void)syscall(SYS_getppid);
	/* It then stops as soon as it has exec'ed. */
	victim_check(ptrace(PTRACE_TRACEME, 0, NULL, NULL) == 0);
	__atomic_add_fetch(&mover->ready, 1, __ATOMIC_SEQ_CST);
	victim_check(read(mover->go[0], &c, 1) == 1);
	victim_exec(mover->program);
	return NULL;
}

static void mover_victim(void *data)
{
	struct mover *mover = data;
	pthread_t thread;

	/* The links as well, which would stay attached for as long as a child has them open. */
	victim_check(syscall(SYS_close_range, 3, mover->go[0] - 1, 0) == 0);
	victim_check(prctl(PR_SET_NAME, "mover") == 0);
	for (int i = 0; i < 10; i++)
		(void)syscall(SYS_getppid);
	victim_check(pthread_create(&thread, NULL, mover_thread, mover) == 0);
	__atomic_add_fetch(&mover->ready, 1, __ATOMIC_SEQ_CST);
	for (;;)
		victim_pause();
}

/* The dump has passed the first of the two, which is the main thread, and comes to the other. */
static void move_thread(void *data)
{
	struct mover *mover = data;
	int status;

	if (!mover->pid || mover->moved)
		return;
	mover->moved = true;
	assert_int_equal(write(mover->go[1], "", 1), 1);
	assert_int_equal(waitpid(mover->pid, &status, 0), mover->pid);
	assert_true(WIFSTOPPED(status));
}

static void exec_during_the_last_dump(void **state)
{
	struct mover *mover = lab_shared(sizeof(*mover));
	const char *name = "mover";
	struct string_list comms = { .items = &name, .n = 1 };
	struct lab *lab = lab_open(&(struct collector_options){
		.comms = &comms, .dumping = move_thread, .dumping_data = mover });
	struct snapshot snapshot;
	pid_t pid;

	(void)state;
	lab_helper("trivial", mover->program);
	assert_int_equal(pipe(mover->go), 0);
	pid = lab_start(lab, mover_victim, mover);
	/* Nothing is read until the end. */
	while (__atomic_load_n(&mover->ready, __ATOMIC_SEQ_CST) < 2)
		usleep(1000);
	lab_wait_blocked(pid, lab_other_thread(pid), SYS_read);
	lab_wait_blocked(pid, pid, NR_PAUSE);
	collector_detach(lab_collector(lab));
	mover->pid = pid;
	lab_read(lab, &snapshot);
	assert_true(mover->moved);
	lab_expect(lab, .call = "getppid", .count = 30);
	/* Each once, and not as often as the dump saw it. */
	lab_read(lab, &snapshot);
	lab_expect(lab, .call = "getppid", .count = 30);
	assert_int_equal(kill(pid, SIGKILL), 0);
	lab_reap(lab, pid, SIGKILL);
	lab_expect(lab, .call = "getppid", .count = 30);
	close(mover->go[0]);
	close(mover->go[1]);
	lab_close(lab);
}

/* Links of programs that count: losing any of them makes a monitor blind, or inexact. */
static void every_link_is_watched(void **state)
{
	struct collector *collector = lab_collector(*state);
	struct collector_stats stats;
	unsigned n_links = 0;

	collector_stats(collector, &stats);
	assert_true(collector_is_attached(collector));
	for (int fd = 3; fd < 256; fd++) {
		char path[64], text[512] = "";
		FILE *file;
		int saved;

		(void)snprintf(path, sizeof(path), "/proc/self/fdinfo/%d", fd);
		file = fopen(path, "re");
		if (!file)
			continue;
		text[fread(text, 1, sizeof(text) - 1, file)] = '\0';
		(void)fclose(file);
		if (!strstr(text, "link_type:"))
			continue;
		n_links++;
		saved = fcntl(fd, F_DUPFD_CLOEXEC, 256);
		assert_true(saved >= 0);
		close(fd);
		if (collector_is_attached(collector))
			fail_msg("link %d is not watched:\n%s", fd, text);
		assert_int_equal(dup3(saved, fd, O_CLOEXEC), fd);
		close(saved);
		assert_true(collector_is_attached(collector));
	}
	/* All programs but the two that are run by themselves. */
	assert_int_equal(n_links, stats.n_programs - 2);
}

/* What tells a table without room from any other trouble, to those who fill it. */
static void table_of_excluded_cgroups_is_full(void **state)
{
	const uint64_t nobody = 1ull << 48; /* no cgroup has such an id */
	struct lab *lab = lab_open(&(struct collector_options){ .filter_cgroups = true });
	struct collector *collector = lab_collector(lab);
	uint64_t n = 0;
	int r = 0;

	(void)state;
	while (n < 100000 && r == 0)
		r = collector_exclude_cgroup(collector, nobody + n++);
	assert_int_equal(r, -E2BIG);
	assert_true(n > 1000);
	assert_int_equal(collector_exclude_cgroup(collector, nobody), 0); /* it is there */
	assert_int_equal(collector_include_cgroup(collector, nobody), 0);
	assert_int_equal(collector_include_cgroup(collector, nobody), -ENOENT);
	assert_int_equal(collector_exclude_cgroup(collector, nobody + n), 0);
	lab_close(lab);
}

/* Two monitors at once do not disturb each other, and see the same. */
static void two_at_once(void **state)
{
	struct lab *first = *state, *second = lab_open(NULL);
	struct busy *busy = lab_shared(sizeof(*busy));
	pid_t worker;

	lab_also(second, lab_group(first));
	worker = lab_start(first, busy_victim, busy);
	for (int i = 0; i < 20; i++) {
		lab_sleep_ms(first, 1);
		lab_sleep_ms(second, 1);
	}
	__atomic_store_n(&busy->stop, 1, __ATOMIC_RELEASE);
	lab_reap(first, worker, 0);
	lab_settle(first);
	lab_settle(second);
	lab_expect(first, .call = "getppid", .count = busy->calls);
	lab_expect(second, .call = "getppid", .count = busy->calls);
	lab_close(second);
}

/* What programs attach to is looked up by us then: again and again, and without a file as well. */
static void types_from_a_file(void **state)
{
	const char *files[] = { "/sys/kernel/btf/vmlinux", "/sys/kernel/btf/vmlinux", NULL };

	(void)state;
	for (size_t i = 0; i < N_ELEMENTS(files); i++) {
		struct lab *lab = lab_open(&(struct collector_options){ .btf = files[i] });
		struct busy *busy = lab_shared(sizeof(*busy));
		pid_t worker = lab_start(lab, busy_victim, busy);

		lab_sleep_ms(lab, 10);
		__atomic_store_n(&busy->stop, 1, __ATOMIC_RELEASE);
		lab_reap(lab, worker, 0);
		lab_settle(lab);
		lab_expect(lab, .call = "getppid", .count = busy->calls);
		lab_close(lab);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f41_no_own_row_from_the_first_on),
		lab_test(f47_killed_and_restarted),
		lab_test(detached),
		lab_test(exec_during_the_last_dump),
		lab_test(every_link_is_watched),
		lab_test(table_of_excluded_cgroups_is_full),
		lab_test(two_at_once),
		lab_test(types_from_a_file),
	};

	return lab_main(tests, NULL);
}
