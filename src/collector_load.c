/* SPDX-License-Identifier: BSD-2-Clause */
/* The programs as this kernel can take them, configured before they are loaded. */
#include "collector_internal.h"

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <bpf/btf.h>

#include "cleanup.h"
#include "clock.h"
#include "syscalls.h"
#include "text.h"

/*
 * A task that has been in its call for so long will mostly stay there for more, and what it wrote
 * before has come to all CPUs.
 */
#define SETTLED_NS (NSEC_PER_SEC / 10)

/* Cgroups that filters keep out of the measurement; one more than fits is filtered here instead. */
#define EXCLUDED_CGROUPS_MAX 16384

/* libbpf's words while loading: shown if wanted, and the last warning is kept for the error. */
static unsigned print_verbose;
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
	if (level == LIBBPF_DEBUG ? print_verbose > 1 : print_verbose > 0)
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

/* libbpf's own errors (from 4000 on) do not name the file. */
static int open_btf(const char *path, struct btf **ret, char *ret_error, size_t error_size)
{
	static const char kernels[] = "/sys/kernel/btf/vmlinux";
	struct btf *btf;
	int r;

	if (!path && access(kernels, R_OK) < 0) {
		(void)snprintf(
			ret_error, error_size,
			"%s: %s; cgscope needs a kernel with CONFIG_DEBUG_INFO_BTF, and /sys "
			"mounted or the kernel's BTF in --btf FILE",
			kernels, strerror(errno));
		return -ENOTSUP;
	}
	btf = path ? btf__parse(path, NULL) : btf__load_vmlinux_btf();
	if (!btf) {
		r = -errno;
		(void)snprintf(ret_error, error_size, "%s\"%s\": %s%s", path ? "--btf " : "",
			       text_shown(path ? path : kernels),
			       r > -4000 ? strerror(-r) : "it holds no BTF",
			       path ? "; it takes the BTF of the running kernel, such as a copy of "
				      "its /sys/kernel/btf/vmlinux"
				    : "");
		return r;
	}
	*ret = btf;
	return 0;
}

/*
 * How many copies of the programs on system calls to attach: one where the kernel does not let them
 * be preempted. It ceased to when it let such programs sleep, and this function came.
 */
static uint8_t copies_needed(const struct btf *btf)
{
	return btf__find_by_name_kind(btf, "trace_call_bpf_faultable", BTF_KIND_FUNC) >= 0
		       ? COPIES_MAX
		       : 1;
}

/* The index of a controller in task->cgroups->subsys: it depends on the kernel's configuration. */
static int find_cgroup_subsys(const char *controller, const struct btf *btf, uint32_t *ret)
{
	char name[64];
	const struct btf_type *type;
	int id, r = -ENOENT;

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
	return r;
}

bool syscall_is_selected(const struct string_list *names, const char *name)
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

/* dev_t has 20 bits for the minor number in the kernel, and other places for them outside. */
static uint64_t nsfs_device(void)
{
	struct stat stat_buffer;

	if (stat("/proc/self/ns/pid", &stat_buffer) < 0)
		return 0;
	return (uint64_t)major(stat_buffer.st_dev) << 20 | minor(stat_buffer.st_dev);
}

static int configure(struct cgscope_bpf *skel, const struct collector_options *options,
		     const struct btf *btf, uint8_t copies, char *ret_error, size_t error_size)
{
	struct settings *settings = &skel->rodata->settings;
	size_t n_comms = options->comms ? options->comms->n : 0;
	int r = 0;

	fill_traits(settings, options->syscalls);
	settings->copies = copies;
	settings->in_flight_ns = options->in_flight_ns ? options->in_flight_ns : UINT64_MAX;
	settings->settled_ns = options->settled_ns ? options->settled_ns : SETTLED_NS;
	settings->filter_comms = n_comms > 0;
	settings->filter_pids = options->n_pids > 0;
	settings->filter_cgroups = options->filter_cgroups;
	settings->filters =
		settings->filter_comms || settings->filter_pids || settings->filter_cgroups;
	fill_hash_keys(settings);
	settings->refuse_records = options->refuse_records;
	settings->nsfs_device = nsfs_device();
	settings->cgroup_v1 = options->cgroup_v1;
	settings->cgroup_hierarchy = options->cgroup_hierarchy;
	if (options->cgroup_v1) {
		r = find_cgroup_subsys(options->cgroup_controller, btf, &settings->cgroup_subsys);
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
		    const struct btf *btf, struct cgscope_bpf **ret, char *ret_error,
		    size_t error_size)
{
	LIBBPF_OPTS(bpf_object_open_opts, open_options, .btf_custom_path = options->btf);
	struct cgscope_bpf *skel = cgscope_bpf__open_opts(&open_options);
	uint8_t copies = copies_needed(btf);
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
	r = configure(skel, options, btf, copies, ret_error, error_size);
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

/* With as many of the programs as the kernel takes. */
static int load_most(struct collector *collector, const struct collector_options *options,
		     const struct btf *btf, char *ret_error, size_t error_size)
{
	int r = -EINVAL;

	for (int announce = 0; announce < ANNOUNCE_N_; announce++) {
		*last_warning = '\0';
		r = try_load(options, (enum cgroup_announce)announce, btf, &collector->skel,
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

static int load(struct collector *collector, const struct collector_options *options,
		char *ret_error, size_t error_size)
{
	struct btf *btf = NULL;
	int r;

	r = open_btf(options->btf, &btf, ret_error, error_size);
	if (r < 0)
		return r;
	r = collector_btf_set(btf, options->btf != NULL);
	if (r < 0)
		(void)snprintf(ret_error, error_size, "cannot use --btf: %s", strerror(-r));
	else
		r = load_most(collector, options, btf, ret_error, error_size);
	btf__free(btf);
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

int collector_load(struct collector *collector, const struct collector_options *options,
		   char *ret_error, size_t error_size)
{
	int r;

	print_verbose = options->verbose;
	libbpf_set_print(print_libbpf);
	r = check_kernel(ret_error, error_size);
	if (r < 0)
		return r;
	r = load(collector, options, ret_error, error_size);
	if (r < 0)
		return r;
	r = fill_filters(collector, options);
	if (r < 0)
		(void)snprintf(ret_error, error_size, "cannot fill the filters: %s", strerror(-r));
	return r;
}
