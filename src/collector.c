/* SPDX-License-Identifier: BSD-2-Clause */
#include "collector.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/membarrier.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/syscall.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "cgscope.skel.h"
#include "cleanup.h"
#include "clock.h"
#include "ledger.h"
#include "syscalls.h"

/* Cgroups that filters keep out of the measurement; one more than fits is filtered here instead. */
#define EXCLUDED_CGROUPS_MAX 16384

#define DUMP_BYTES_MIN (256 << 10)

/* What a task that is preempted will hardly wait for its CPU. */
#define MISSED_AGE_NS NSEC_PER_SEC

/* A fold of one cell in a ring of 4 MiB: about 20,000. */
#define RING_MESSAGES_MAX 20000

/*
 * What stands for a record, so that the dump's view of it is left aside: the fold with this
 * sequence, read after the dump; or, with that of no fold, an earlier view of it in the same dump.
 */
struct mark {
	uint64_t record_id;
	uint32_t sequence;
};
#define SEQUENCE_DUMPED 0 /* that of a fold is odd */

struct collector {
	struct cgscope_bpf *skel;
	struct ring_buffer *ring;
	struct ledger *ledger;
	struct collector_events events;
	bool by_thread;
	bool attached;
	bool cgroup_paths;
	bool marking; /* folds read now came after the dump */
	uint32_t ring_budget;
	int ring_error; /* of the callback, which cannot say it otherwise */
	struct mark *marks;
	size_t n_marks;
	size_t marks_size;
	char *dump;
	size_t dump_size;
	void (*dumping)(void *data);
	void *dumping_data;
	struct snapshot_in_flight *in_flight;
	size_t n_in_flight;
	size_t in_flight_size;
	uint64_t start_ns; /* of counting */
	uint64_t interval_start_ns;
	uint64_t missed_at_start; /* entries, before counting began */
	uint64_t missed;	  /* entries, as far as that is old enough to be lost */
	uint64_t missed_lately;	  /* at this time */
	uint64_t missed_lately_ns;
	uint64_t lost[LOSS_N_]; /* as last reported */
};

/* libbpf's words while loading: shown with -v, else only the last warning is kept for the error. */
static bool print_verbose;
static char last_warning[256];

__attribute__((format(printf, 2, 0))) static int print_libbpf(enum libbpf_print_level level,
							      const char *format, va_list args)
{
	va_list copy;

	if (level == LIBBPF_WARN) {
		va_copy(copy, args);
		(void)vsnprintf(last_warning, sizeof(last_warning), format, copy);
		va_end(copy);
		last_warning[strcspn(last_warning, "\n")] = '\0';
	}
	if (print_verbose)
		return vfprintf(stderr, format, args);
	return 0;
}

static int check_kernel(char *ret_error, size_t error_size)
{
	struct utsname name;
	unsigned major, minor;

	if (uname(&name) < 0 || sscanf(name.release, "%u.%u", &major, &minor) != 2)
		return 0;
	if (major > KERNEL_MIN_MAJOR || (major == KERNEL_MIN_MAJOR && minor >= KERNEL_MIN_MINOR))
		return 0;
	(void)snprintf(ret_error, error_size,
		       "Linux %s is too old: cgscope needs Linux %u.%u or newer, with BTF",
		       name.release, KERNEL_MIN_MAJOR, KERNEL_MIN_MINOR);
	return -ENOTSUP;
}

static struct btf *kernel_btf(const char *btf_path)
{
	return btf_path ? btf__parse(btf_path, NULL) : btf__load_vmlinux_btf();
}

/*
 * How many copies of the programs on system calls to attach: one where the kernel does not let them
 * be preempted. It ceased to when it let such programs sleep, and this function came.
 */
static uint8_t copies_needed(const char *btf_path)
{
	struct btf *btf = kernel_btf(btf_path);
	int id;

	if (!btf)
		return 1;
	id = btf__find_by_name_kind(btf, "trace_call_bpf_faultable", BTF_KIND_FUNC);
	btf__free(btf);
	return id >= 0 ? COPIES_MAX : 1;
}

/* The index of a controller in task->cgroups->subsys: it depends on the kernel's configuration. */
static int find_cgroup_subsys(const char *controller, const char *btf_path, uint32_t *ret)
{
	char name[64];
	struct btf *btf = kernel_btf(btf_path);
	const struct btf_type *type;
	int id, r = -ENOENT;

	if (!btf)
		return -errno;
	(void)snprintf(name, sizeof(name), "%s_cgrp_id", controller);
	id = btf__find_by_name_kind(btf, "cgroup_subsys_id", BTF_KIND_ENUM);
	if (id >= 0) {
		const struct btf_enum *value;

		type = btf__type_by_id(btf, (unsigned)id);
		value = btf_enum(type);
		for (int i = 0; i < btf_vlen(type); i++, value++) {
			if (strcmp(btf__name_by_offset(btf, value->name_off), name) == 0) {
				*ret = (uint32_t)value->val;
				r = 0;
			}
		}
	}
	btf__free(btf);
	return r;
}

static bool syscall_is_selected(const struct string_list *names, const char *name)
{
	for (size_t i = 0; i < names->n; i++) {
		if (strcmp(names->items[i], name) == 0)
			return true;
	}
	return false;
}

static void fill_traits(struct settings *settings, const struct string_list *names)
{
	char buffer[SYSCALL_NAME_MAX];

	for (uint32_t abi = 0; abi < CALL_ABI_N_; abi++) {
		for (uint32_t nr = 0; nr < CALLS_MAX; nr++) {
			uint8_t traits = syscall_traits(nr, abi);

			if (names && names->n &&
			    !syscall_is_selected(names, syscall_name(nr, abi, buffer)))
				traits |= TRAIT_EXCLUDED;
			settings->traits[abi][nr] = traits;
		}
	}
}

/* TIDs beyond it, should it be raised, are measured as well, only less cheaply left out. */
static uint32_t pid_max(void)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/sys/kernel/pid_max", "re");
	uint32_t n;

	return file && fscanf(file, "%" SCNu32, &n) == 1 && n < TIDS_MAX ? n : TIDS_MAX;
}

/* Without entropy a process could at worst hide from a filter that it chose to match. */
static void fill_hash_keys(struct settings *settings)
{
	uint64_t state = clock_ns(CLOCK_REALTIME);

	if (getrandom(settings->hash_keys, sizeof(settings->hash_keys), GRND_NONBLOCK) ==
	    sizeof(settings->hash_keys))
		return;
	for (size_t i = 0; i < HASH_KEYS; i++) {
		state = state * 6364136223846793005ull + 1442695040888963407ull;
		settings->hash_keys[i] = state;
	}
}

static int configure(struct cgscope_bpf *skel, const struct collector_options *options,
		     uint8_t copies, char *ret_error, size_t error_size)
{
	struct settings *settings = &skel->rodata->settings;
	size_t n_comms = options->comms ? options->comms->n : 0;
	int r = 0;

	fill_traits(settings, options->syscalls);
	settings->copies = copies;
	settings->in_flight_ns = options->in_flight_ns ? options->in_flight_ns : UINT64_MAX;
	settings->filter_comms = n_comms > 0;
	settings->filter_pids = options->n_pids > 0;
	settings->filter_cgroups = options->filter_cgroups;
	settings->filters =
		settings->filter_comms || settings->filter_pids || settings->filter_cgroups;
	fill_hash_keys(settings);
	settings->refuse_records = options->refuse_records;
	settings->cgroup_v1 = options->cgroup_v1;
	settings->cgroup_hierarchy = options->cgroup_hierarchy;
	if (options->cgroup_v1) {
		r = find_cgroup_subsys(options->cgroup_controller, options->btf,
				       &settings->cgroup_subsys);
		if (r < 0) {
			(void)snprintf(ret_error, error_size,
				       "the kernel's BTF has no cgroup controller \"%s\": %s",
				       options->cgroup_controller, strerror(-r));
			return r;
		}
	}
	if (n_comms)
		r = bpf_map__set_max_entries(skel->maps.selected_comms, (uint32_t)n_comms);
	if (r == 0 && options->n_pids)
		r = bpf_map__set_max_entries(skel->maps.selected_pids, (uint32_t)options->n_pids);
	if (r == 0 && (settings->filters || copies > 1))
		r = bpf_map__set_max_entries(skel->maps.notes, pid_max() / TIDS_PER_SLOT + 1);
	if (r == 0 && options->filter_cgroups)
		r = bpf_map__set_max_entries(skel->maps.excluded_cgroups, EXCLUDED_CGROUPS_MAX);
	if (r == 0 && options->ring_bytes)
		r = bpf_map__set_max_entries(skel->maps.events, (uint32_t)options->ring_bytes);
	if (r < 0)
		(void)snprintf(ret_error, error_size, "cannot size the BPF maps: %s", strerror(-r));
	return r;
}

/* Which of the programs that announce new cgroups to load; each may be refused on its own. */
enum cgroup_announce {
	ANNOUNCE_WITH_PATH,
	ANNOUNCE_WITHOUT_PATH,
	ANNOUNCE_NONE,
	ANNOUNCE_N_,
};

static int try_load(const struct collector_options *options, enum cgroup_announce announce,
		    uint8_t copies, struct cgscope_bpf **ret, char *ret_error, size_t error_size)
{
	LIBBPF_OPTS(bpf_object_open_opts, open_options, .btf_custom_path = options->btf);
	struct cgscope_bpf *skel = cgscope_bpf__open_opts(&open_options);
	int r;

	if (!skel) {
		r = -errno;
		(void)snprintf(ret_error, error_size, "cannot open the BPF object: %s",
			       strerror(-r));
		return r;
	}
	bpf_program__set_autoload(skel->progs.on_cgroup_mkdir, announce == ANNOUNCE_WITH_PATH);
	bpf_program__set_autoload(skel->progs.on_cgroup_mkdir_without_path,
				  announce == ANNOUNCE_WITHOUT_PATH);
	bpf_program__set_autoload(skel->progs.on_cgroup_rmdir, announce != ANNOUNCE_NONE);
	bpf_program__set_autoload(skel->progs.on_sys_enter_2, copies > 1);
	bpf_program__set_autoload(skel->progs.on_sys_enter_3, copies > 2);
	bpf_program__set_autoload(skel->progs.on_sys_exit_2, copies > 1);
	bpf_program__set_autoload(skel->progs.on_sys_exit_3, copies > 2);
	bpf_program__set_autoload(skel->progs.on_task_exit_2, copies > 1);
	bpf_program__set_autoload(skel->progs.on_task_free, copies > 1);
	r = configure(skel, options, copies, ret_error, error_size);
	if (r == 0) {
		r = cgscope_bpf__load(skel);
		if (r < 0)
			(void)snprintf(ret_error, error_size,
				       "the kernel refused the BPF programs: %s%s%s%s",
				       strerror(-r),
				       r == -EMFILE ? " (raise the limit: ulimit -n 64)" : "",
				       *last_warning ? "; " : "", last_warning);
	}
	if (r < 0) {
		cgscope_bpf__destroy(skel);
		return r;
	}
	*ret = skel;
	return 0;
}

/* libbpf's own errors (from 4000 on) do not name the file. */
static int check_btf_file(const char *path, char *ret_error, size_t error_size)
{
	struct btf *btf;
	int r;

	if (!path)
		return 0;
	btf = kernel_btf(path);
	r = btf ? 0 : -errno;
	btf__free(btf);
	if (r < 0)
		(void)snprintf(ret_error, error_size, "--btf \"%s\": %s", path,
			       r > -4000 ? strerror(-r) : "it holds no BTF");
	return r;
}

static int load(struct collector *collector, const struct collector_options *options,
		char *ret_error, size_t error_size)
{
	uint8_t copies;
	int r = -EINVAL;

	r = check_btf_file(options->btf, ret_error, error_size);
	if (r < 0)
		return r;
	if (!options->btf && access("/sys/kernel/btf/vmlinux", R_OK) < 0) {
		(void)snprintf(ret_error, error_size,
			       "/sys/kernel/btf/vmlinux: %s; cgscope needs a kernel with "
			       "CONFIG_DEBUG_INFO_BTF and /sys mounted, or its BTF in --btf FILE",
			       strerror(errno));
		return -ENOTSUP;
	}
	copies = copies_needed(options->btf);
	for (int announce = 0; announce < ANNOUNCE_N_; announce++) {
		*last_warning = '\0';
		r = try_load(options, (enum cgroup_announce)announce, copies, &collector->skel,
			     ret_error, error_size);
		if (r == 0) {
			collector->cgroup_paths = announce == ANNOUNCE_WITH_PATH;
			break;
		}
		if (r == -EPERM || r == -ENOMEM)
			break;
	}
	return r;
}

static int fill_filters(struct collector *collector, const struct collector_options *options)
{
	uint8_t one = 1;

	for (size_t i = 0; options->comms && i < options->comms->n; i++) {
		char key[COMM_LEN] = { 0 };

		memcpy(key, options->comms->items[i],
		       strnlen(options->comms->items[i], COMM_LEN - 1));
		if (bpf_map__update_elem(collector->skel->maps.selected_comms, key, sizeof(key),
					 &one, sizeof(one), BPF_ANY) < 0)
			return -errno;
	}
	for (size_t i = 0; i < options->n_pids; i++) {
		if (bpf_map__update_elem(collector->skel->maps.selected_pids, &options->pids[i],
					 sizeof(options->pids[i]), &one, sizeof(one), BPF_ANY) < 0)
			return -errno;
	}
	return 0;
}

static int add_mark(struct collector *collector, uint64_t record_id, uint32_t sequence)
{
	if (collector->n_marks == collector->marks_size) {
		size_t size = collector->marks_size ? collector->marks_size * 2 : 64;
		struct mark *marks = realloc(collector->marks, size * sizeof(*marks));

		if (!marks)
			return -ENOMEM;
		collector->marks = marks;
		collector->marks_size = size;
	}
	collector->marks[collector->n_marks++] =
		(struct mark){ .record_id = record_id, .sequence = sequence };
	return 0;
}

static int on_fold(struct collector *collector, const void *data, size_t size)
{
	struct batch batch;
	int r;

	if (size < offsetof(struct batch, cells) || size > sizeof(batch))
		return -EBADMSG;
	memcpy(&batch, data, size);
	if (batch.n_cells > (size - offsetof(struct batch, cells)) / sizeof(struct cell))
		return -EBADMSG;
	r = ledger_fold(collector->ledger, &batch);
	if (r == 0 && collector->marking)
		r = add_mark(collector, batch.record_id, batch.sequence);
	return r;
}

static int on_cgroup_event(struct collector *collector, const void *data, size_t size)
{
	const struct collector_events *events = &collector->events;
	const struct cgroup_event *event = data;
	const char *path = NULL;

	if (size < offsetof(struct cgroup_event, path))
		return -EBADMSG;
	if (event->kind == EVENT_CGROUP_RMDIR) {
		if (events->cgroup_removed)
			events->cgroup_removed(event->id, events->data);
		return 0;
	}
	if (size == sizeof(*event) && event->path_len && event->path_len <= sizeof(event->path) &&
	    event->path[event->path_len - 1] == '\0')
		path = event->path;
	if (events->cgroup_made)
		events->cgroup_made(event->id, path, events->data);
	return 0;
}

static int on_ring_message(void *context, void *data, size_t size)
{
	struct collector *collector = context;
	uint32_t kind;
	int r = -EBADMSG;

	if (size >= sizeof(kind)) {
		memcpy(&kind, data, sizeof(kind));
		r = kind == EVENT_FOLD ? on_fold(collector, data, size)
				       : on_cgroup_event(collector, data, size);
	}
	if (r == 0 && --collector->ring_budget == 0)
		r = -ECANCELED; /* this message is consumed, the next ones wait */
	else if (r < 0)
		collector->ring_error = r;
	return r;
}

/*
 * Reads what is in the rings, but no more than fits there: who fills them faster than they are read
 * would keep us from everything else. What is still there counts as late, as any fold on its
 * way. After the end there is no later.
 */
static int drain_ring(struct collector *collector)
{
	int r;

	collector->ring_error = 0;
	do {
		collector->ring_budget = RING_MESSAGES_MAX;
		r = ring_buffer__consume(collector->ring);
	} while (r == -ECANCELED && !collector->attached);
	if (collector->ring_error < 0)
		return collector->ring_error;
	return r < 0 && r != -ECANCELED ? r : 0;
}

int collector_poll(struct collector *collector)
{
	return drain_ring(collector);
}

static int identify_self(struct collector *collector)
{
	LIBBPF_OPTS(bpf_test_run_opts, run_options);

	if (bpf_prog_test_run_opts(bpf_program__fd(collector->skel->progs.on_identify),
				   &run_options) < 0)
		return -errno;
	return 0;
}

static int attach_one(struct bpf_program *program, struct bpf_link **ret)
{
	struct bpf_link *link = bpf_program__attach(program);

	if (!link)
		return -errno;
	*ret = link;
	return 0;
}

/* How often the kernel left the first copy at sys_enter out, as the CPU was in it already. */
static uint64_t entries_missed(const struct collector *collector)
{
	struct bpf_prog_info info = { 0 };
	__u32 size = sizeof(info);

	if (bpf_obj_get_info_by_fd(bpf_program__fd(collector->skel->progs.on_sys_enter), &info,
				   &size) < 0)
		return 0;
	return info.recursion_misses;
}

/*
 * Calls of which no end was seen, and calls that no filter wants or that are our own among them:
 * what was never seen cannot be told apart, so that it is the most that can have been lost. Those
 * that were missed lately may still be made good.
 */
static uint64_t calls_unseen(const struct collector *collector)
{
	uint64_t missed = collector->missed - collector->missed_at_start;
	uint64_t good = __atomic_load_n(&collector->skel->bss->made_good, __ATOMIC_SEQ_CST);

	return missed > good ? missed - good : 0;
}

/*
 * Ages what was missed. An entry is made good by its call's end until the epoch after its own has
 * passed, and by another copy at once, were it not that the task may be preempted between them.
 */
static void age_missed(struct collector *collector, uint64_t now_ns)
{
	if (!collector->attached || now_ns - collector->missed_lately_ns < MISSED_AGE_NS)
		return;
	collector->missed = collector->missed_lately;
	collector->missed_lately = entries_missed(collector);
	collector->missed_lately_ns = now_ns;
}

struct attachment {
	struct bpf_program *program;
	struct bpf_link **link;
};

#define ATTACHMENTS_MAX 16

/*
 * What is attached and how, in this order: sys_enter before sys_exit, so that no call is seen
 * ending that was not seen beginning. Returns how many there are.
 */
static size_t attachments(struct cgscope_bpf *skel, struct attachment ret[static ATTACHMENTS_MAX])
{
	const struct attachment all[] = {
		{ skel->progs.on_dump, &skel->links.on_dump },
		{ skel->progs.on_cgroup_rmdir, &skel->links.on_cgroup_rmdir },
		{ skel->progs.on_cgroup_mkdir, &skel->links.on_cgroup_mkdir },
		{ skel->progs.on_cgroup_mkdir_without_path,
		  &skel->links.on_cgroup_mkdir_without_path },
		{ skel->progs.on_task_free, &skel->links.on_task_free },
		{ skel->progs.on_task_exit, &skel->links.on_task_exit },
		{ skel->progs.on_task_exit_2, &skel->links.on_task_exit_2 },
		{ skel->progs.on_sys_enter, &skel->links.on_sys_enter },
		{ skel->progs.on_sys_enter_2, &skel->links.on_sys_enter_2 },
		{ skel->progs.on_sys_enter_3, &skel->links.on_sys_enter_3 },
		{ skel->progs.on_sys_exit, &skel->links.on_sys_exit },
		{ skel->progs.on_sys_exit_2, &skel->links.on_sys_exit_2 },
		{ skel->progs.on_sys_exit_3, &skel->links.on_sys_exit_3 },
	};
	size_t n = 0;

	_Static_assert(sizeof(all) / sizeof(*all) <= ATTACHMENTS_MAX, "they must fit");
	for (size_t i = 0; i < sizeof(all) / sizeof(*all); i++) {
		if (bpf_program__autoload(all[i].program))
			ret[n++] = all[i];
	}
	return n;
}

static int attach(struct collector *collector, char *ret_error, size_t error_size)
{
	struct cgscope_bpf *skel = collector->skel;
	struct attachment order[ATTACHMENTS_MAX];
	size_t n = attachments(skel, order);

	for (size_t i = 0; i < n; i++) {
		int r = attach_one(order[i].program, order[i].link);

		if (r < 0) {
			(void)snprintf(ret_error, error_size,
				       "cannot attach the BPF program %s: %s",
				       bpf_program__name(order[i].program), strerror(-r));
			return r;
		}
	}
	collector->attached = true;
	collector->missed_at_start = entries_missed(collector);
	collector->missed = collector->missed_lately = collector->missed_at_start;
	collector->start_ns = monotonic_ns();
	collector->interval_start_ns = collector->missed_lately_ns = collector->start_ns;
	__atomic_store_n(&skel->bss->control.enabled, 1, __ATOMIC_SEQ_CST);
	return 0;
}

static void collector_closep(struct collector **collector)
{
	collector_close(*collector);
}

int collector_open(const struct collector_options *options, const struct collector_events *events,
		   struct collector **ret, char *ret_error, size_t error_size)
{
	_cleanup_(collector_closep) struct collector *collector = NULL;
	int r;

	print_verbose = options->verbose;
	libbpf_set_print(print_libbpf);
	r = check_kernel(ret_error, error_size);
	if (r < 0)
		return r;

	collector = calloc(1, sizeof(*collector));
	if (!collector)
		return -ENOMEM;
	if (events)
		collector->events = *events;
	collector->by_thread = options->by_thread;
	collector->dumping = options->dumping;
	collector->dumping_data = options->dumping_data;
	r = ledger_new(options->by_thread, &collector->ledger);
	if (r < 0)
		return r;
	r = load(collector, options, ret_error, error_size);
	if (r < 0)
		return r;
	r = fill_filters(collector, options);
	if (r < 0) {
		(void)snprintf(ret_error, error_size, "cannot fill the filters: %s", strerror(-r));
		return r;
	}
	/* Epochs count from 1: a cell that is new has maxima of none. */
	collector->skel->bss->control.epoch = 1;
	collector->skel->bss->control.generation = 1;
	r = identify_self(collector);
	if (r < 0) {
		(void)snprintf(ret_error, error_size, "cannot run a BPF program: %s", strerror(-r));
		return r;
	}
	/* Cgroups first: a flood of folds must not hold them up. */
	collector->ring = ring_buffer__new(bpf_map__fd(collector->skel->maps.cgroup_events),
					   on_ring_message, collector, NULL);
	r = collector->ring
		    ? ring_buffer__add(collector->ring, bpf_map__fd(collector->skel->maps.events),
				       on_ring_message, collector)
		    : -errno;
	if (r < 0) {
		(void)snprintf(ret_error, error_size, "cannot map the ring buffer: %s",
			       strerror(-r));
		return r;
	}
	r = attach(collector, ret_error, error_size);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(collector);
	return 0;
}

void collector_close(struct collector *collector)
{
	if (!collector)
		return;
	ring_buffer__free(collector->ring);
	cgscope_bpf__destroy(collector->skel);
	ledger_free(collector->ledger);
	free(collector->marks);
	free(collector->dump);
	free(collector->in_flight);
	free(collector);
}

uint64_t collector_start_ns(const struct collector *collector)
{
	return collector->start_ns;
}

int collector_fd(const struct collector *collector)
{
	return ring_buffer__epoll_fd(collector->ring);
}

/*
 * Reads a whole dump into memory first, behind the @ret_size bytes that are there: what is still in
 * the ring afterwards belongs to it.
 */
static int read_dump(struct collector *collector, size_t *ret_size)
{
	_cleanup_(closep) int fd = -1;
	size_t size = *ret_size;

	fd = bpf_iter_create(bpf_link__fd(collector->skel->links.on_dump));
	if (fd < 0)
		return -errno;
	for (;;) {
		ssize_t n;

		if (collector->dump_size - size < DUMP_BYTES_MIN / 2) {
			size_t new_size =
				collector->dump_size ? collector->dump_size * 2 : DUMP_BYTES_MIN;
			char *dump = realloc(collector->dump, new_size);

			if (!dump)
				return -ENOMEM;
			collector->dump = dump;
			collector->dump_size = new_size;
		}
		/* The walk goes on to where a read is full. */
		n = read(fd, collector->dump + size,
			 collector->dumping ? sizeof(struct dump_task)
					    : collector->dump_size - size);
		if (n < 0 && (errno == EINTR || errno == EAGAIN))
			continue;
		if (n < 0)
			return -errno;
		if (n == 0)
			break;
		size += (size_t)n;
		if (collector->dumping)
			collector->dumping(collector->dumping_data);
	}
	*ret_size = size;
	return 0;
}

bool collector_can_read(const struct collector *collector)
{
	_cleanup_(closep) int fd = bpf_iter_create(bpf_link__fd(collector->skel->links.on_dump));

	return fd >= 0;
}

static int compare_marks(const void *a, const void *b)
{
	const struct mark *x = a, *y = b;

	if (x->record_id != y->record_id)
		return x->record_id < y->record_id ? -1 : 1;
	return x->sequence < y->sequence ? -1 : x->sequence > y->sequence;
}

static bool is_marked(const struct collector *collector, uint64_t record_id, uint32_t sequence)
{
	struct mark key = { .record_id = record_id, .sequence = sequence };

	return collector->n_marks &&
	       bsearch(&key, collector->marks, collector->n_marks, sizeof(key), compare_marks);
}

static int add_in_flight(struct collector *collector, const struct dump_task *head,
			 const struct batch *batch)
{
	struct snapshot_in_flight *in_flight;

	if (collector->n_in_flight == collector->in_flight_size) {
		size_t size = collector->in_flight_size ? collector->in_flight_size * 2 : 256;

		in_flight = realloc(collector->in_flight, size * sizeof(*in_flight));
		if (!in_flight)
			return -ENOMEM;
		collector->in_flight = in_flight;
		collector->in_flight_size = size;
	}
	in_flight = &collector->in_flight[collector->n_in_flight++];
	*in_flight = (struct snapshot_in_flight){
		.nr = head->call_nr,
		.abi = head->call_abi,
		.age_ns = head->now_ns - head->call_start_ns,
	};
	ledger_task_of(batch, true, &in_flight->task);
	in_flight->task.tid = head->tid;
	return 0;
}

struct dumped {
	struct dump_task head;
	struct batch batch;
	struct dump_end end;
};

/* Takes one task from the dump of *@size bytes at *@data. */
static int next_dumped(const char **data, size_t *size, struct dumped *ret)
{
	size_t batch_size, n;

	if (*size < sizeof(ret->head))
		return -EBADMSG;
	memcpy(&ret->head, *data, sizeof(ret->head));
	if (ret->head.kind != EVENT_TASK || ret->head.n_cells > CELLS_MAX)
		return -EBADMSG;
	batch_size = offsetof(struct batch, cells) + ret->head.n_cells * sizeof(struct cell);
	n = sizeof(ret->head) + batch_size + sizeof(ret->end);
	if (*size < n)
		return -EBADMSG;
	memcpy(&ret->batch, *data + sizeof(ret->head), batch_size);
	memcpy(ret->batch.comm, ret->head.comm, sizeof(ret->batch.comm));
	memcpy(&ret->end, *data + sizeof(ret->head) + batch_size, sizeof(ret->end));
	*data += n;
	*size -= n;
	return 0;
}

static int take_dumped(struct collector *collector, const struct dumped *dumped)
{
	const struct dump_task *head = &dumped->head;
	int r;

	if (head->sequence == dumped->end.sequence &&
	    !is_marked(collector, dumped->batch.record_id, head->sequence + 1)) {
		r = ledger_live(collector->ledger, &dumped->batch, head->n_cells);
		if (r < 0)
			return r;
	}
	return head->call_start_ns ? add_in_flight(collector, head, &dumped->batch) : 0;
}

/* Takes what is in a dump, but records that are marked as dumped where @again. */
static int take_dump(struct collector *collector, const char *data, size_t size, bool again)
{
	while (size) {
		struct dumped dumped;
		int r;

		r = next_dumped(&data, &size, &dumped);
		if (r < 0)
			return r;
		if (again && is_marked(collector, dumped.batch.record_id, SEQUENCE_DUMPED))
			continue;
		r = take_dumped(collector, &dumped);
		if (r < 0)
			return r;
	}
	return 0;
}

static int mark_dumped(struct collector *collector, const char *data, size_t size)
{
	while (size) {
		struct dumped dumped;
		int r;

		r = next_dumped(&data, &size, &dumped);
		if (r == 0)
			r = add_mark(collector, dumped.batch.record_id, SEQUENCE_DUMPED);
		if (r < 0)
			return r;
	}
	return 0;
}

/*
 * Shows the ledger what the tasks' cells hold, having drained the rings.
 *
 * A record that was folded while or after the dump passed it is counted once, by its message: what
 * the dump saw under the same sequence is left aside.
 *
 * The dump goes by TIDs. A thread that execs meanwhile takes over its main thread's, and may never
 * be met: mostly that is made up for by the next dump. There is none after the last one, which
 * therefore goes round twice: by then the thread is a main one, and stays where it is.
 */
static int dump(struct collector *collector)
{
	size_t size = 0, first_size;
	int r;

	r = read_dump(collector, &size);
	first_size = size;
	if (r == 0 && !collector->attached)
		r = read_dump(collector, &size);
	if (r < 0)
		return r;

	collector->n_marks = 0;
	collector->marking = true;
	r = drain_ring(collector);
	collector->marking = false;
	if (r == 0 && size > first_size)
		r = mark_dumped(collector, collector->dump, first_size);
	if (r < 0)
		return r;
	if (collector->n_marks)
		qsort(collector->marks, collector->n_marks, sizeof(*collector->marks),
		      compare_marks);

	collector->n_in_flight = 0;
	r = take_dump(collector, collector->dump, first_size, false);
	if (r == 0 && size > first_size)
		r = take_dump(collector, collector->dump + first_size, size - first_size, true);
	return r;
}

int collector_read(struct collector *collector, struct snapshot *ret)
{
	uint64_t lost[LOSS_N_];
	uint32_t epoch = collector->skel->bss->control.epoch;
	uint64_t now_ns;
	int r;

	age_missed(collector, monotonic_ns());
	__atomic_store_n(&collector->skel->bss->control.epoch, epoch + 1, __ATOMIC_SEQ_CST);
	now_ns = monotonic_ns();
	*ret = (struct snapshot){
		.timestamp_ns = clock_ns(CLOCK_REALTIME),
		.duration_ns = now_ns - collector->interval_start_ns,
	};
	collector->interval_start_ns = now_ns;

	/* Before the dump: what was lost by then, it cannot have seen live. */
	lost[LOSS_RING_FULL] =
		__atomic_load_n(&collector->skel->bss->lost[LOSS_RING_FULL], __ATOMIC_SEQ_CST);
	r = drain_ring(collector);
	if (r < 0)
		return r;
	r = dump(collector);
	if (r < 0)
		return r;

	for (int i = 0; i < LOSS_N_; i++) {
		if (i != LOSS_RING_FULL)
			lost[i] = __atomic_load_n(&collector->skel->bss->lost[i], __ATOMIC_RELAXED);
	}
	lost[LOSS_RECURSION] += calls_unseen(collector);
	for (int i = 0; i < LOSS_N_; i++) {
		if (i != LOSS_RING_FULL && lost[i] > collector->lost[i]) {
			ret->lost[i] = lost[i] - collector->lost[i];
			collector->lost[i] = lost[i];
		}
	}
	r = ledger_close(collector->ledger, epoch, lost[LOSS_RING_FULL], ret);
	if (r < 0)
		return r;
	ret->in_flight = collector->in_flight;
	ret->n_in_flight = (uint32_t)collector->n_in_flight;
	return 0;
}

void collector_detach(struct collector *collector)
{
	struct cgscope_bpf *skel = collector->skel;
	struct bpf_link **links[] = {
		&skel->links.on_sys_enter, &skel->links.on_sys_enter_2, &skel->links.on_sys_enter_3,
		&skel->links.on_sys_exit,  &skel->links.on_sys_exit_2,	&skel->links.on_sys_exit_3,
	};

	if (!collector->attached)
		return;
	collector->attached = false;
	/* First of all: an exit whose entry is not shown any more is no call to count. */
	__atomic_store_n(&skel->bss->control.enabled, 0, __ATOMIC_SEQ_CST);
	collector->missed = entries_missed(collector);
	for (size_t i = 0; i < sizeof(links) / sizeof(*links); i++) {
		bpf_link__destroy(*links[i]);
		*links[i] = NULL;
	}
	/*
	 * A program may still run on another CPU when its link is gone. Programs run within an RCU
	 * read-side section, and this command waits for all of those (synchronize_rcu).
	 */
	if (syscall(SYS_membarrier, MEMBARRIER_CMD_GLOBAL, 0, 0) < 0)
		usleep(50000);
}

static void new_generation(struct collector *collector)
{
	__atomic_add_fetch(&collector->skel->bss->control.generation, 1, __ATOMIC_SEQ_CST);
}

int collector_exclude_cgroup(struct collector *collector, uint64_t id)
{
	uint8_t one = 1;

	if (bpf_map__update_elem(collector->skel->maps.excluded_cgroups, &id, sizeof(id), &one,
				 sizeof(one), BPF_NOEXIST) < 0)
		return errno == EEXIST ? 0 : -errno;
	new_generation(collector);
	return 0;
}

void collector_include_cgroup(struct collector *collector, uint64_t id)
{
	if (bpf_map__delete_elem(collector->skel->maps.excluded_cgroups, &id, sizeof(id), 0) == 0)
		new_generation(collector);
}

bool collector_is_attached(const struct collector *collector)
{
	struct attachment all[ATTACHMENTS_MAX];
	size_t n = attachments(collector->skel, all);

	for (size_t i = 0; i < n; i++) {
		const struct bpf_link *link = *all[i].link;
		struct bpf_link_info info = { 0 };
		__u32 size = sizeof(info);

		/* A link that was detached by force has lost its program. */
		if (!link || bpf_obj_get_info_by_fd(bpf_link__fd(link), &info, &size) < 0 ||
		    info.prog_id == 0)
			return false;
	}
	return true;
}

void collector_stats(const struct collector *collector, struct collector_stats *ret)
{
	struct bpf_program *program;

	*ret = (struct collector_stats){
		.rows = ledger_rows(collector->ledger),
		.cgroup_paths = collector->cgroup_paths,
	};
	bpf_object__for_each_program(program, collector->skel->obj) {
		struct bpf_prog_info info = { 0 };
		__u32 size = sizeof(info);

		if (!bpf_program__autoload(program) ||
		    bpf_obj_get_info_by_fd(bpf_program__fd(program), &info, &size) < 0)
			continue;
		ret->run_time_ns += info.run_time_ns;
		ret->run_count += info.run_cnt;
		ret->n_programs++;
	}
}

const char *collector_libbpf_version(void)
{
	return libbpf_version_string() + 1; /* without its "v" */
}
