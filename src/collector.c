/* SPDX-License-Identifier: BSD-2-Clause */
#include "collector.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "collector_internal.h"
#include "syscalls.h"

static void collector_closep(struct collector **collector)
{
	collector_close(*collector);
}

static bool takes_call(uint32_t nr, uint32_t abi, const void *data)
{
	char buffer[SYSCALL_NAME_MAX];

	return syscall_is_selected(data, syscall_name(nr, abi, buffer));
}

int collector_open(const struct collector_options *options, const struct collector_events *events,
		   struct collector **ret, char *ret_error, size_t error_size)
{
	_cleanup_(collector_closep) struct collector *collector = NULL;
	const struct ledger_filter filter = {
		.takes_strange = options->syscalls && options->syscalls->n ? takes_call : NULL,
		.data = options->syscalls,
	};
	int r;

	collector = calloc(1, sizeof(*collector));
	if (!collector)
		return -ENOMEM;
	if (events)
		collector->events = *events;
	collector->by_thread = options->by_thread;
	collector->dumping = options->dumping;
	collector->dumping_data = options->dumping_data;
	r = ledger_new(options->by_thread, &filter, &collector->ledger);
	if (r < 0)
		return r;
	r = collector_load(collector, options, ret_error, error_size);
	if (r < 0)
		return r;
	/* Epochs count from 1: a cell that is new has maxima of none. */
	collector->skel->bss->control.epoch = 1;
	collector->skel->bss->control.generation = 1;
	collector->skel->bss->control.began_boot_ns = UINT64_MAX;
	r = collector_run_once(collector->skel->progs.on_identify, ret_error, error_size);
	if (r < 0)
		return r;
	r = collector_open_rings(collector);
	if (r < 0) {
		(void)snprintf(ret_error, error_size, "cannot map the ring buffer: %s",
			       strerror(-r));
		return r;
	}
	r = collector_attach(collector, ret_error, error_size);
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

int collector_poll(struct collector *collector)
{
	return collector_drain(collector);
}

bool collector_can_read(const struct collector *collector)
{
	_cleanup_(closep) int fd = bpf_iter_create(bpf_link__fd(collector->skel->links.on_dump));

	return fd >= 0;
}

int collector_read(struct collector *collector, struct snapshot *ret)
{
	uint64_t lost[LOSS_N_];
	uint32_t epoch = collector->skel->bss->control.epoch;
	uint64_t now_ns;
	int r;

	collector_age_missed(collector, monotonic_ns());
	__atomic_store_n(&collector->skel->bss->control.epoch, epoch + 1, __ATOMIC_SEQ_CST);
	now_ns = monotonic_ns();
	*ret = (struct snapshot){
		.timestamp_ns = clock_ns(CLOCK_REALTIME),
		.duration_ns = now_ns - collector->interval_start_ns,
	};
	collector->interval_start_ns = now_ns;

	r = collector_dump(collector, &lost[LOSS_RING_FULL]);
	if (r < 0)
		return r;

	for (int i = 0; i < LOSS_N_; i++) {
		if (i != LOSS_RING_FULL)
			lost[i] = __atomic_load_n(&collector->skel->bss->lost[i], __ATOMIC_RELAXED);
	}
	lost[LOSS_RECURSION] += collector_calls_unseen(collector);
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

int collector_include_cgroup(struct collector *collector, uint64_t id)
{
	if (bpf_map__delete_elem(collector->skel->maps.excluded_cgroups, &id, sizeof(id), 0) < 0)
		return -errno;
	new_generation(collector);
	return 0;
}

void collector_stats(const struct collector *collector, struct collector_stats *ret)
{
	struct bpf_program *program;

	*ret = (struct collector_stats){
		.rows = ledger_rows(collector->ledger),
		.taken = collector->taken,
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
