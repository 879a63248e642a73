/* SPDX-License-Identifier: BSD-2-Clause */
/* From attached to detached, and what the kernel has left out in between. */
#include "collector_internal.h"

#include <errno.h>
#include <linux/membarrier.h>
#include <stdio.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "clock.h"

/* What a task that is preempted will hardly wait for its CPU. */
#define MISSED_AGE_NS NSEC_PER_SEC

int collector_run_once(struct bpf_program *program, char *ret_error, size_t error_size)
{
	LIBBPF_OPTS(bpf_test_run_opts, run_options);
	int r = 0;

	if (bpf_prog_test_run_opts(bpf_program__fd(program), &run_options) < 0) {
		r = -errno;
		(void)snprintf(ret_error, error_size, "cannot run the BPF program %s: %s",
			       bpf_program__name(program), strerror(-r));
	}
	return r;
}

/* Programs that collector_btf.c has loaded have lost the section that tells libbpf how. */
static int attach_one(struct bpf_program *program, struct bpf_link **ret)
{
	struct bpf_link *link;

	switch (bpf_program__expected_attach_type(program)) {
	case BPF_TRACE_RAW_TP:
		link = bpf_program__attach_trace(program);
		break;
	case BPF_TRACE_ITER:
		link = bpf_program__attach_iter(program, NULL);
		break;
	default:
		link = bpf_program__attach(program);
	}
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

uint64_t collector_calls_unseen(const struct collector *collector)
{
	uint64_t missed = collector->missed - collector->missed_at_start;
	uint64_t good = __atomic_load_n(&collector->skel->bss->made_good, __ATOMIC_SEQ_CST);

	return missed > good ? missed - good : 0;
}

void collector_age_missed(struct collector *collector, uint64_t now_ns)
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

int collector_attach(struct collector *collector, char *ret_error, size_t error_size)
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
	return collector_run_once(skel->progs.on_begin, ret_error, error_size);
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
