/* SPDX-License-Identifier: BSD-2-Clause */
#include "lab.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "src/cleanup.h"
#include "src/syscalls.h"

#define GROUPS_MAX    16
#define ROW_SLOTS     8192
#define ROW_ERRNOS    32
#define CALL_NAME_MAX (SYSCALL_NAME_MAX + 8)

/* How long to wait for what must come; a machine that is slower than this is broken. */
#define PATIENCE_NS (60000 * MS)

/* How often a lab is read while it waits: the rest of the machine fills the ring as well. */
#define READ_MS 10

/* Much more than cgscope's own, which is read when it is half full: here nobody watches it. */
#define RING_BYTES (64 << 20)

/* A reader that starves on a machine under load would lose what it is to compare. */
#define OWN_NICE -15

#define VICTIM_FAILED 99

struct sum_key {
	struct snapshot_task task;
	uint32_t nr;
	uint32_t abi;
};

struct sum {
	struct sum_key key;
	char call[CALL_NAME_MAX];
	struct call_stats stats;
	struct errno_delta errnos[ROW_ERRNOS];
	uint32_t n_errnos;
	struct sum *next; /* of the slot */
	struct sum *later;
};

struct lab {
	struct collector *collector;
	struct hierarchy hierarchy;
	struct lab_group *groups[GROUPS_MAX];
	size_t n_groups;
	uint64_t also_id;   /* another lab's group */
	char directory[64]; /* empty: none yet */
	struct sum *slots[ROW_SLOTS];
	struct sum *first;
	struct sum **last;
	uint64_t lost[LOSS_N_];
	bool changed; /* by the latest read */
	struct lab *next;
};

static struct lab *open_labs;

static size_t n_left_out;

uint64_t lab_now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

int lab_load(int n)
{
	const char *scale = getenv("CGSCOPE_TEST_SCALE");
	int divisor = scale ? atoi(scale) : 1;

	return divisor > 1 && n > divisor ? n / divisor : n;
}

/* ---- the machine ---- */

/* The number of the hierarchy that v1's @controller is in; 0 if it is in none or in v2's. */
static uint32_t controller_number(const char *controller)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/cgroups", "re");
	char line[256], name[64];
	unsigned number;

	while (file && fgets(line, sizeof(line), file)) {
		if (sscanf(line, "%63s %u", name, &number) == 2 && strcmp(name, controller) == 0)
			return number;
	}
	return 0;
}

static bool has_option(const char *options, const char *name)
{
	size_t length = strlen(name);

	for (const char *p = options; (p = strstr(p, name)); p += length) {
		if ((p == options || p[-1] == ',') && (p[length] == ',' || p[length] == '\0'))
			return true;
	}
	return false;
}

/* Where cgroup v2 is mounted, or with @controller that one of v1. */
static bool find_mount(const char *controller, char ret_path[static 256])
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/mountinfo", "re");
	char line[4096], path[256], type[32], options[1024];

	while (file && fgets(line, sizeof(line), file)) {
		const char *rest = strstr(line, " - ");

		if (!rest || sscanf(line, "%*d %*d %*s %*s %255s", path) != 1 ||
		    sscanf(rest, " - %31s %*s %1023s", type, options) != 2 ||
		    strcmp(type, controller ? "cgroup" : "cgroup2") != 0 ||
		    (controller && !has_option(options, controller)))
			continue;
		memcpy(ret_path, path, sizeof(path));
		return true;
	}
	return false;
}

const struct hierarchy *lab_find_hierarchy(bool v1)
{
	/* Not cpuset, whose new groups take nobody in until they are set up. */
	static const char *const controllers[] = { "memory", "pids", "freezer", "cpu", "devices" };
	static struct hierarchy found_v1, found_v2;

	if (!v1)
		return find_mount(NULL, found_v2.path) ? &found_v2 : NULL;
	for (size_t i = 0; i < N_ELEMENTS(controllers); i++) {
		uint32_t number = controller_number(controllers[i]);

		if (!number || !find_mount(controllers[i], found_v1.path))
			continue;
		found_v1.v1 = true;
		found_v1.number = number;
		(void)snprintf(found_v1.controller, sizeof(found_v1.controller), "%s",
			       controllers[i]);
		return &found_v1;
	}
	return NULL;
}

void lab_choose(const struct hierarchy *hierarchy, struct collector_options *options)
{
	options->cgroup_v1 = hierarchy->v1;
	options->cgroup_controller = hierarchy->v1 ? hierarchy->controller : NULL;
	options->cgroup_hierarchy = hierarchy->number;
}

void lab_leave_out(const char *format, ...)
{
	va_list args;

	n_left_out++;
	va_start(args, format);
	(void)fputs("left out: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	skip();
	abort(); /* skip() jumps, but is not declared so */
}

/* ---- groups ---- */

static int write_number(const char *path, long number)
{
	_cleanup_(closep) int fd = open(path, O_WRONLY | O_CLOEXEC);

	if (fd < 0 || dprintf(fd, "%ld\n", number) < 0)
		return -errno;
	return 0;
}

static int group_make(const char *parent_path, const char *name, struct lab_group **ret)
{
	_cleanup_(freep) struct lab_group *group = calloc(1, sizeof(*group));
	struct stat status;
	int n;

	if (!group)
		return -ENOMEM;
	n = snprintf(group->path, sizeof(group->path), "%s/%s", parent_path, name);
	if (n < 0 || (size_t)n >= sizeof(group->path))
		return -ENAMETOOLONG;
	if (mkdir(group->path, 0755) < 0 || stat(group->path, &status) < 0)
		return -errno;
	group->id = status.st_ino;
	*ret = TAKE_PTR(group);
	return 0;
}

struct lab_group *lab_group_new(struct lab *lab, const struct lab_group *parent, const char *name)
{
	static unsigned n_made;
	const char *parent_path = parent ? parent->path : lab->hierarchy.path;
	char unique[128];
	int r;

	(void)snprintf(unique, sizeof(unique), "%s-%d-%u", name, getpid(), n_made++);
	assert_true(lab->n_groups < GROUPS_MAX);
	r = group_make(parent_path, unique, &lab->groups[lab->n_groups]);
	if (r < 0)
		fail_msg("cannot make a cgroup in %s: %s", parent_path, strerror(-r));
	return lab->groups[lab->n_groups++];
}

/* Whoever is still in there was started by a test that has failed. */
static void group_kill(const struct lab_group *group)
{
	_cleanup_(fclosep) FILE *file = NULL;
	char path[512];
	int pid;

	(void)snprintf(path, sizeof(path), "%s/cgroup.procs", group->path);
	file = fopen(path, "re");
	while (file && fscanf(file, "%d", &pid) == 1) {
		if (pid > 1)
			(void)kill(pid, SIGKILL);
	}
}

static int group_rmdir(struct lab_group *group)
{
	uint64_t end_ns = lab_now_ns() + PATIENCE_NS / 10;

	while (rmdir(group->path) < 0 && errno != ENOENT) {
		if (errno != EBUSY || lab_now_ns() > end_ns)
			return -errno;
		group_kill(group);
		while (waitpid(-1, NULL, WNOHANG) > 0)
			;
		usleep(1000);
	}
	return 0;
}

void lab_group_remove(struct lab_group *group)
{
	int r = group_rmdir(group);

	if (r < 0)
		fail_msg("cannot remove the cgroup %s: %s", group->path, strerror(-r));
}

static int groups_remove(struct lab *lab)
{
	int result = 0;

	while (lab->n_groups) {
		struct lab_group *group = lab->groups[--lab->n_groups];
		int r = group_rmdir(group);

		if (r < 0)
			result = r;
		free(group);
	}
	return result;
}

struct lab_group *lab_group(struct lab *lab)
{
	if (lab->n_groups == 0)
		(void)lab_group_new(lab, NULL, "cgscope-lab");
	return lab->groups[0];
}

static bool group_is_ours(const struct lab *lab, uint64_t id)
{
	for (size_t i = 0; i < lab->n_groups; i++) {
		if (lab->groups[i]->id == id)
			return true;
	}
	return id == lab->also_id;
}

void lab_also(struct lab *lab, const struct lab_group *group)
{
	lab->also_id = group->id;
}

/* ---- files ---- */

const char *lab_directory(struct lab *lab)
{
	if (!*lab->directory) {
		(void)strcpy(lab->directory, "/tmp/cgscope-lab-XXXXXX");
		if (!mkdtemp(lab->directory)) {
			*lab->directory = '\0';
			fail_msg("cannot make a directory in /tmp: %s", strerror(errno));
		}
	}
	return lab->directory;
}

static void directory_remove(struct lab *lab)
{
	_cleanup_(closedirp) DIR *dir = NULL;
	struct dirent *entry;

	if (!*lab->directory)
		return;
	dir = opendir(lab->directory);
	while (dir && (entry = readdir(dir))) {
		if (entry->d_type != DT_DIR)
			(void)unlinkat(dirfd(dir), entry->d_name, 0);
	}
	(void)rmdir(lab->directory);
	*lab->directory = '\0';
}

void lab_helper(const char *name, char ret_path[static 512])
{
	char self[384] = "";
	ssize_t n = readlink("/proc/self/exe", self, sizeof(self) - 1);

	assert_true(n > 0);
	(void)snprintf(ret_path, 512, "%s/%s", dirname(self), name);
	if (access(ret_path, X_OK) < 0)
		fail_msg("%s: %s", ret_path, strerror(errno));
}

void lab_helper_as(struct lab *lab, const char *name, const char *as, char ret_path[static 512])
{
	_cleanup_(closep) int from = -1, to = -1;
	struct stat status;
	char path[512];

	lab_helper(name, path);
	(void)snprintf(ret_path, 512, "%s/%s", lab_directory(lab), as);
	from = open(path, O_RDONLY | O_CLOEXEC);
	to = open(ret_path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
	if (from < 0 || to < 0 || fstat(from, &status) < 0 ||
	    sendfile(to, from, NULL, (size_t)status.st_size) != status.st_size)
		fail_msg("cannot copy %s to %s: %s", path, ret_path, strerror(errno));
}

/* ---- victims ---- */

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
	r = write_number(path, pid);
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
	uint64_t end_ns = lab_now_ns() + PATIENCE_NS;

	while (__atomic_load_n(value, __ATOMIC_ACQUIRE) < at_least) {
		assert_true(lab_now_ns() < end_ns);
		lab_sleep_ms(lab, 1);
	}
}

void lab_wait_blocked(pid_t pid, pid_t tid, long nr)
{
	uint64_t end_ns = lab_now_ns() + PATIENCE_NS;
	char path[64], line[256] = "";

	(void)snprintf(path, sizeof(path), "/proc/%d/task/%d/syscall", pid, tid);
	for (;;) {
		_cleanup_(fclosep) FILE *file = fopen(path, "re");

		/* "running", or the number first. */
		if (!file || !fgets(line, sizeof(line), file))
			(void)snprintf(line, sizeof(line), "%s", strerror(errno));
		else if (strtol(line, NULL, 10) == nr && *line >= '0' && *line <= '9')
			return;
		if (lab_now_ns() > end_ns)
			fail_msg("%s: not in call %ld: %s", path, nr, line);
		usleep(500);
	}
}

pid_t lab_other_thread(pid_t pid)
{
	uint64_t end_ns = lab_now_ns() + PATIENCE_NS;
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
		if (lab_now_ns() > end_ns)
			fail_msg("%s: no other thread", path);
		usleep(500);
	}
}

/* ---- rows ---- */

static uint32_t hash_key(const struct sum_key *key)
{
	uint32_t hash = (uint32_t)key->task.cgroup_id * 31 + (uint32_t)key->task.pid;

	hash = hash * 2654435761u + key->nr;
	return (hash ^ hash >> 15) % ROW_SLOTS;
}

static struct sum *find_sum(struct lab *lab, const struct snapshot_row *row)
{
	char number[SYSCALL_NAME_MAX];
	const char *abi = syscall_abi_name(row->abi);
	struct sum_key key;
	struct sum **slot, *sum;

	memset(&key, 0, sizeof(key)); /* padding, for memcmp() */
	key.task.cgroup_id = row->task->cgroup_id;
	key.task.process_start_ns = row->task->process_start_ns;
	key.task.pid = row->task->pid;
	key.task.vpid = row->task->vpid;
	key.task.tid = row->task->tid;
	memcpy(key.task.process_comm, row->task->process_comm, COMM_LEN);
	memcpy(key.task.comm, row->task->comm, COMM_LEN);
	key.nr = row->nr;
	key.abi = row->abi;

	slot = &lab->slots[hash_key(&key)];
	for (sum = *slot; sum; sum = sum->next) {
		if (memcmp(&sum->key, &key, sizeof(key)) == 0)
			return sum;
	}
	sum = calloc(1, sizeof(*sum));
	assert_non_null(sum);
	memcpy(&sum->key, &key, sizeof(key));
	(void)snprintf(sum->call, sizeof(sum->call), "%s%s%s%s",
		       syscall_name(row->nr, row->abi, number), abi ? "[" : "", abi ? abi : "",
		       abi ? "]" : "");
	sum->next = *slot;
	*slot = sum;
	*lab->last = sum;
	lab->last = &sum->later;
	return sum;
}

static void add_stats(struct call_stats *sum, const struct call_stats *stats)
{
	sum->count += stats->count;
	sum->errors += stats->errors;
	sum->interrupted += stats->interrupted;
	sum->denied += stats->denied;
	sum->time_ns += stats->time_ns;
	sum->bytes += stats->bytes;
	if (stats->max_ns > sum->max_ns)
		sum->max_ns = stats->max_ns;
	for (int i = 0; i < HIST_BUCKETS; i++)
		sum->buckets[i] += stats->buckets[i];
}

static void add_errno(struct sum *sum, const struct errno_delta *delta)
{
	uint32_t i = 0;

	while (i < sum->n_errnos && sum->errnos[i].number != delta->number)
		i++;
	assert_true(i < ROW_ERRNOS);
	if (i == sum->n_errnos)
		sum->errnos[sum->n_errnos++].number = delta->number;
	sum->errnos[i].count += delta->count;
}

static uint64_t n_timed(const struct call_stats *stats)
{
	uint64_t n = 0;

	for (int i = 0; i < HIST_BUCKETS; i++)
		n += stats->buckets[i];
	return n;
}

static void print_stats(const char *what, const struct call_stats *stats)
{
	(void)fprintf(stderr,
		      "%s count=%llu errors=%llu interrupted=%llu denied=%llu bytes=%llu "
		      "timed=%llu time_ns=%llu max_ns=%llu",
		      what, (unsigned long long)stats->count, (unsigned long long)stats->errors,
		      (unsigned long long)stats->interrupted, (unsigned long long)stats->denied,
		      (unsigned long long)stats->bytes, (unsigned long long)n_timed(stats),
		      (unsigned long long)stats->time_ns, (unsigned long long)stats->max_ns);
}

static void print_rows(const struct lab *lab)
{
	size_t n = 0;

	for (const struct sum *sum = lab->first; sum; sum = sum->later) {
		const struct snapshot_task *task = &sum->key.task;

		if (++n > 200) {
			(void)fprintf(stderr, "  and more\n");
			return;
		}
		(void)fprintf(stderr, "  cgroup=%llu pid=%d vpid=%d tid=%d comm='%s'%s%s %s ",
			      (unsigned long long)task->cgroup_id, task->pid, task->vpid, task->tid,
			      task->process_comm, *task->comm ? " thread=" : "", task->comm,
			      sum->call);
		print_stats("", &sum->stats);
		(void)fputc('\n', stderr);
	}
	if (n == 0)
		(void)fprintf(stderr, "  no rows\n");
	for (int i = 0; i < LOSS_N_; i++) {
		if (lab->lost[i])
			(void)fprintf(stderr, "  lost[%d]=%llu\n", i,
				      (unsigned long long)lab->lost[i]);
	}
}

/* What holds for every row of every interval, however it was timed. */
static void check_row(const struct snapshot_row *row)
{
	const struct call_stats *stats = &row->stats;
	uint64_t timed = n_timed(stats);
	uint64_t errnos = 0;

	for (uint32_t i = 0; i < row->n_errnos; i++)
		errnos += row->errnos[i].count;
	if (stats->count + stats->denied == 0 ||
	    stats->errors + stats->interrupted > stats->count || errnos > stats->errors ||
	    (timed && stats->max_ns < stats->time_ns / timed) || (!timed && stats->max_ns)) {
		print_stats("an interval's row:", stats);
		(void)fprintf(stderr, " errnos=%llu\n", (unsigned long long)errnos);
		fail_msg("no row can be like this");
	}
}

void lab_read(struct lab *lab, struct snapshot *ret)
{
	struct snapshot snapshot;
	int r = collector_read(lab->collector, &snapshot);

	for (struct lab *other = open_labs; r >= 0 && other; other = other->next)
		r = other == lab ? 0 : collector_poll(other->collector);
	if (r < 0)
		fail_msg("the collector cannot be read: %s", strerror(-r));
	lab->changed = false;
	for (uint32_t i = 0; i < snapshot.n_rows; i++) {
		const struct snapshot_row *row = &snapshot.rows[i];
		struct sum *sum;

		check_row(row);
		if (!group_is_ours(lab, row->task->cgroup_id))
			continue;
		lab->changed = true;
		sum = find_sum(lab, row);
		add_stats(&sum->stats, &row->stats);
		for (uint32_t k = 0; k < row->n_errnos; k++)
			add_errno(sum, &row->errnos[k]);
	}
	for (int i = 0; i < LOSS_N_; i++)
		lab->lost[i] += snapshot.lost[i];
	if (ret)
		*ret = snapshot;
}

void lab_sleep_ms(struct lab *lab, unsigned ms)
{
	uint64_t end_ns = lab_now_ns() + ms * MS;

	do {
		lab_read(lab, NULL);
		usleep((ms < READ_MS ? ms : READ_MS) * 1000);
	} while (lab_now_ns() < end_ns);
}

void lab_settle(struct lab *lab)
{
	uint64_t end_ns = lab_now_ns() + PATIENCE_NS;
	unsigned quiet = 0;

	while (quiet < 3) {
		uint64_t lost = 0;

		for (int i = 0; i < LOSS_N_; i++)
			lost += lab->lost[i];
		lab_read(lab, NULL);
		for (int i = 0; i < LOSS_N_; i++)
			lost -= lab->lost[i];
		quiet = lab->changed || lost ? 0 : quiet + 1;
		if (lab_now_ns() > end_ns)
			return; /* what is asserted next will tell */
		usleep(1000);
	}
}

void lab_clear(struct lab *lab)
{
	while (lab->first) {
		struct sum *sum = lab->first;

		lab->first = sum->later;
		free(sum);
	}
	lab->last = &lab->first;
	memset(lab->slots, 0, sizeof(lab->slots));
	memset(lab->lost, 0, sizeof(lab->lost));
}

static bool sum_matches(const struct sum *sum, const struct lab_row *row)
{
	const struct snapshot_task *task = &sum->key.task;

	return (!row->call || strcmp(row->call, sum->call) == 0) &&
	       (!row->group || row->group->id == task->cgroup_id) &&
	       (!row->comm || strcmp(row->comm, task->process_comm) == 0) &&
	       (!row->thread_comm || strcmp(row->thread_comm, task->comm) == 0) &&
	       (!row->pid || row->pid == task->pid) && (!row->tid || row->tid == task->tid);
}

struct call_stats lab_sum_(struct lab *lab, const struct lab_row *row)
{
	struct call_stats stats = { 0 };

	for (const struct sum *sum = lab->first; sum; sum = sum->later) {
		if (sum_matches(sum, row))
			add_stats(&stats, &sum->stats);
	}
	return stats;
}

uint64_t lab_errno_(struct lab *lab, uint16_t number, const struct lab_row *row)
{
	uint64_t n = 0;

	for (const struct sum *sum = lab->first; sum; sum = sum->later) {
		for (uint32_t i = 0; sum_matches(sum, row) && i < sum->n_errnos; i++)
			n += sum->errnos[i].number == number ? sum->errnos[i].count : 0;
	}
	return n;
}

size_t lab_n_rows_(struct lab *lab, const struct lab_row *row)
{
	size_t n = 0;

	for (const struct sum *sum = lab->first; sum; sum = sum->later)
		n += sum_matches(sum, row);
	return n;
}

static bool never_returns(const char *call)
{
	size_t length = strcspn(call, "[");

	return (length == 4 && memcmp(call, "exit", 4) == 0) ||
	       (length == 10 && memcmp(call, "exit_group", 10) == 0);
}

void lab_expect_(struct lab *lab, const struct lab_row *row, const char *file, int line)
{
	struct call_stats seen = lab_sum_(lab, row);
	uint64_t timed = row->call && never_returns(row->call) ? 0 : row->count;

	if (seen.count == row->count && seen.errors == row->errors &&
	    seen.interrupted == row->interrupted && seen.denied == row->denied &&
	    seen.bytes == row->bytes && n_timed(&seen) == timed && (timed || seen.time_ns == 0))
		return;
	(void)fprintf(stderr,
		      "%s:%d: expected %s%s%s count=%llu errors=%llu interrupted=%llu denied=%llu "
		      "bytes=%llu timed=%llu\n",
		      file, line, row->call ? row->call : "all calls", row->comm ? " of " : "",
		      row->comm ? row->comm : "", (unsigned long long)row->count,
		      (unsigned long long)row->errors, (unsigned long long)row->interrupted,
		      (unsigned long long)row->denied, (unsigned long long)row->bytes,
		      (unsigned long long)timed);
	print_stats("  seen", &seen);
	(void)fprintf(stderr, "\nall rows:\n");
	print_rows(lab);
	_fail(file, line);
}

uint64_t lab_lost(const struct lab *lab, enum loss_cause cause)
{
	return lab->lost[cause];
}

void lab_expect_nothing_lost_(const struct lab *lab, const char *file, int line)
{
	for (int i = 0; i < LOSS_N_; i++) {
		if (i == LOSS_BYTES_UNREAD || lab->lost[i] == 0)
			continue;
		(void)fprintf(stderr, "%s:%d: lost by cause %d: %llu\n", file, line, i,
			      (unsigned long long)lab->lost[i]);
		_fail(file, line);
	}
}

const struct snapshot_in_flight *lab_in_flight(const struct snapshot *snapshot, pid_t tid)
{
	for (uint32_t i = 0; i < snapshot->n_in_flight; i++) {
		if (snapshot->in_flight[i].task.tid == tid)
			return &snapshot->in_flight[i];
	}
	return NULL;
}

void lab_assert_(const struct lab *lab, bool condition, const char *text, const char *file,
		 int line)
{
	if (condition)
		return;
	(void)fprintf(stderr, "%s:%d: not so: %s\nall rows:\n", file, line, text);
	print_rows(lab);
	_fail(file, line);
}

/* ---- life ---- */

/* The ring is mapped twice, with tens of thousands of pages: victims are to fork faster than that.
 */
static void keep_maps_from_victims(void)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/maps", "re");
	unsigned long start, end;
	char line[512];

	while (file && fgets(line, sizeof(line), file)) {
		if (strstr(line, "bpf-map") && sscanf(line, "%lx-%lx", &start, &end) == 2)
			(void)madvise((void *)start, end - start, MADV_DONTFORK);
	}
}

/* Returns 0 or -errno, with the reason in @ret_error. */
static int open_lab(const struct collector_options *options, struct lab **ret, char *ret_error,
		    size_t error_size)
{
	struct collector_options complete = { 0 };
	const struct hierarchy *hierarchy;
	struct lab *lab;
	int r;

	if (options)
		complete = *options;
	hierarchy = complete.cgroup_v1 ? NULL : lab_find_hierarchy(false);
	if (!hierarchy)
		hierarchy = lab_find_hierarchy(true);
	if (!hierarchy) {
		(void)snprintf(ret_error, error_size, "no cgroup hierarchy is mounted");
		return -ENOTSUP;
	}
	lab_choose(hierarchy, &complete);
	if (!complete.ring_bytes)
		complete.ring_bytes = RING_BYTES;
	lab = calloc(1, sizeof(*lab));
	if (!lab)
		return -ENOMEM;
	lab->hierarchy = *hierarchy;
	lab->last = &lab->first;
	r = collector_open(&complete, NULL, &lab->collector, ret_error, error_size);
	if (r < 0) {
		free(lab);
		return r;
	}
	lab->next = open_labs;
	open_labs = lab;
	keep_maps_from_victims();
	*ret = lab;
	return 0;
}

struct lab *lab_open(const struct collector_options *options)
{
	char error[512] = "";
	struct lab *lab = NULL;
	int r = open_lab(options, &lab, error, sizeof(error));

	if (r < 0)
		fail_msg("collector_open: %s (%s)", error, strerror(-r));
	return lab;
}

void lab_close(struct lab *lab)
{
	struct lab **link = &open_labs;
	int r = groups_remove(lab);

	while (*link != lab)
		link = &(*link)->next;
	*link = lab->next;
	directory_remove(lab);
	lab_clear(lab);
	collector_close(lab->collector);
	free(lab);
	if (r < 0)
		fail_msg("cannot remove a cgroup: %s", strerror(-r));
}

struct collector *lab_collector(struct lab *lab)
{
	return lab->collector;
}

const struct hierarchy *lab_hierarchy(const struct lab *lab)
{
	return &lab->hierarchy;
}

int lab_test_setup(void **state)
{
	struct lab *lab = *state;

	lab_settle(lab);
	lab_clear(lab);
	(void)lab_group(lab);
	return 0;
}

int lab_test_teardown(void **state)
{
	struct lab *lab = *state;
	int r = groups_remove(lab);

	directory_remove(lab);
	if (r < 0)
		(void)fprintf(stderr, "cannot remove a cgroup: %s\n", strerror(-r));
	return r;
}

/* Whether groups can be made there at all; says why not. */
static bool can_make_groups(const struct hierarchy *hierarchy)
{
	struct lab_group *group;
	char name[64];
	int r;

	(void)snprintf(name, sizeof(name), "cgscope-lab-%d", getpid());
	r = group_make(hierarchy->path, name, &group);
	if (r < 0) {
		(void)fprintf(stderr, "skipped: cannot make a cgroup in %s: %s\n", hierarchy->path,
			      strerror(-r));
		return false;
	}
	(void)rmdir(group->path);
	free(group);
	return true;
}

int lab_main_(const char *name, const struct CMUnitTest *tests, size_t n_tests,
	      const struct collector_options *options)
{
	_cleanup_(freep) struct CMUnitTest *own = calloc(n_tests, sizeof(*own));
	char error[512] = "";
	struct lab *lab;
	int r;

	if (!own)
		return 1;
	if (geteuid() != 0) {
		(void)fprintf(stderr, "skipped: loading BPF programs needs root\n");
		return EXIT_SKIP;
	}
	(void)setpriority(PRIO_PROCESS, 0, OWN_NICE);
	r = open_lab(options, &lab, error, sizeof(error));
	if (r < 0) {
		(void)fprintf(stderr, "%s%s\n", r == -EPERM || r == -ENOTSUP ? "skipped: " : "",
			      error);
		return r == -EPERM || r == -ENOTSUP ? EXIT_SKIP : 1;
	}
	if (!can_make_groups(&lab->hierarchy)) {
		lab_close(lab);
		return EXIT_SKIP;
	}
	for (size_t i = 0; i < n_tests; i++) {
		own[i] = tests[i];
		own[i].initial_state = lab;
	}
	r = _cmocka_run_group_tests(name, own, n_tests, NULL, NULL);
	lab_close(lab);
	if (r)
		return 1;
	return n_left_out == n_tests ? EXIT_SKIP : 0;
}
