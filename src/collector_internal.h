/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What the parts of the collector share: collector_load.c loads the programs, collector_btf.c helps
 * it where the kernel's types come from a file, collector_attach.c attaches them, collector_dump.c
 * reads what they have counted, collector.c makes intervals of it.
 */
#pragma once

#include "collector.h" /* with the types that the skeleton takes for granted */

#include <bpf/bpf.h>
#include <bpf/btf.h>
#include <bpf/libbpf.h>

#include "cgscope.skel.h"
#include "ledger.h"

/*
 * What stands for a record, so that the dump's view of it is left aside: the fold with this
 * sequence, read after the dump; or, with that of no fold, an earlier view of it in the same dump.
 */
struct mark {
	uint64_t record_id;
	uint32_t sequence;
};

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
	size_t dump_used; /* by the latest */
	uint64_t taken;	  /* see struct collector_stats */
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

bool syscall_is_selected(const struct string_list *names, const char *name);

/* Loads the programs, and fills what is fixed from then on. 0, or -errno with the reason. */
int collector_load(struct collector *collector, const struct collector_options *options,
		   char *ret_error, size_t error_size);

/*
 * To be called before programs are loaded, with the kernel's types; @btf has to stay until they
 * are. From the first time on that it is @from_file, what is loaded attaches by @btf, and not by
 * what libbpf finds itself. 0 or -errno.
 */
int collector_btf_set(const struct btf *btf, bool from_file);

/* Runs a program that is not attached. The same. */
int collector_run_once(struct bpf_program *program, char *ret_error, size_t error_size);

/* Starts counting. The same. */
int collector_attach(struct collector *collector, char *ret_error, size_t error_size);

/*
 * Calls of which no end was seen, and calls that no filter wants or that are our own among them:
 * what was never seen cannot be told apart, so that it is the most that can have been lost. Those
 * that were missed lately may still be made good.
 */
uint64_t collector_calls_unseen(const struct collector *collector);

/*
 * Ages what was missed. An entry is made good by its call's end until the epoch after its own has
 * passed, and by another copy at once, were it not that the task may be preempted between them.
 * To be called before the epoch moves on: what it reads then began in that epoch or before it, so
 * that whoever makes it good after it was reported finds the epoch two further on.
 */
void collector_age_missed(struct collector *collector, uint64_t now_ns);

/* Maps the rings. */
int collector_open_rings(struct collector *collector);

/*
 * Reads what is in the rings, but no more than fits there: who fills them faster than they are read
 * would keep us from everything else. What is still there counts as late, as any fold on its
 * way. After the end there is no later.
 */
int collector_drain(struct collector *collector);

/*
 * Drains the rings and shows the ledger what the tasks' cells hold. @ret_ring_lost: the calls in
 * lost folds since the start, but for those that the cells may show as well.
 *
 * A record that was folded while or after the dump passed it is counted once, by its message: what
 * the dump saw under the same sequence is left aside. Cells that it took over are as good as
 * folded.
 *
 * The dump goes by TIDs. A thread that execs meanwhile takes over its main thread's, and may never
 * be met: mostly that is made up for by the next dump. There is none after the last one, which
 * therefore goes round twice: by then the thread is a main one, and stays where it is.
 */
int collector_dump(struct collector *collector, uint64_t *ret_ring_lost);
