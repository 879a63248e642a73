/* SPDX-License-Identifier: BSD-2-Clause */
/* What tasks have counted: handed over through the rings, or read where it stands. */
#include "collector_internal.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cleanup.h"

#define DUMP_BYTES_MIN (256 << 10)

/* A fold of one cell in a ring of 4 MiB: about 20,000. */
#define RING_MESSAGES_MAX 20000

#define SEQUENCE_DUMPED 0 /* that of a fold is odd */

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

/* What the ring's reader is to be told of message @r is the result of. */
static int message_taken(struct collector *collector, int r)
{
	if (r == 0 && --collector->ring_budget == 0)
		r = -ECANCELED; /* this message is consumed, the next ones wait */
	else if (r < 0)
		collector->ring_error = r;
	return r;
}

static int take_fold(struct collector *collector, const void *data, size_t size)
{
	const struct batch *batch = data; /* where it lies in the ring */
	int r;

	if (size < offsetof(struct batch, cells) || size > sizeof(*batch))
		return -EBADMSG;
	if (batch->n_cells > (size - offsetof(struct batch, cells)) / sizeof(struct cell))
		return -EBADMSG;
	r = ledger_fold(collector->ledger, batch);
	if (r == 0 && collector->marking)
		r = add_mark(collector, batch->record_id, batch->sequence);
	return r;
}

static int on_fold(void *context, void *data, size_t size)
{
	return message_taken(context, take_fold(context, data, size));
}

static int take_cgroup_event(struct collector *collector, const void *data, size_t size)
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

static int on_cgroup_event(void *context, void *data, size_t size)
{
	return message_taken(context, take_cgroup_event(context, data, size));
}

int collector_drain(struct collector *collector)
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

int collector_open_rings(struct collector *collector)
{
	/* Cgroups first: a flood of folds must not hold them up. */
	collector->ring = ring_buffer__new(bpf_map__fd(collector->skel->maps.cgroup_events),
					   on_cgroup_event, collector, NULL);
	if (!collector->ring)
		return -errno;
	return ring_buffer__add(collector->ring, bpf_map__fd(collector->skel->maps.events), on_fold,
				collector);
}

/* Where the parts lie in the dump. All are multiples of 8 bytes, so that each is aligned. */
struct dumped {
	const struct dump_task *head;
	struct batch *batch;
	const struct dump_end *end;
};
_Static_assert(sizeof(struct dump_task) % 8 == 0 && sizeof(struct dump_end) % 8 == 0 &&
		       offsetof(struct batch, cells) % 8 == 0 && sizeof(struct cell) % 8 == 0,
	       "the parts of a dump must be aligned");

/* The call that a task is in, if any. */
static int add_in_flight(struct collector *collector, const struct dumped *dumped)
{
	const struct dump_task *head = dumped->head;
	struct snapshot_in_flight *in_flight;

	if (!head->call_start_ns)
		return 0;
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
	ledger_task_of(dumped->batch, true, &in_flight->task);
	in_flight->task.tid = head->tid;
	return 0;
}

/* Takes one task from the dump of *@size bytes at *@data. */
static int next_dumped(char **data, size_t *size, struct dumped *ret)
{
	size_t batch_size, n;

	if (*size < sizeof(*ret->head))
		return -EBADMSG;
	ret->head = (const void *)*data;
	if (ret->head->magic != DUMP_MAGIC || ret->head->n_cells > CELLS_MAX)
		return -EBADMSG;
	batch_size = offsetof(struct batch, cells) + ret->head->n_cells * sizeof(struct cell);
	n = sizeof(*ret->head) + batch_size + sizeof(*ret->end);
	if (*size < n)
		return -EBADMSG;
	ret->batch = (void *)(*data + sizeof(*ret->head));
	ret->end = (const void *)(*data + sizeof(*ret->head) + batch_size);
	memcpy(ret->batch->comm, ret->head->comm, sizeof(ret->batch->comm));
	*data += n;
	*size -= n;
	return 0;
}

/*
 * Takes tasks without cells, which most are that sleep, out of what has come of the dump: all that
 * is told of them is the call that they are in. @sifted: how much of the dump has been gone
 * through; @size: its end.
 */
static int sift_dump(struct collector *collector, size_t *sifted, size_t *size)
{
	char *next = collector->dump + *sifted, *kept = next;
	size_t left = *size - *sifted;
	int r = 0;

	while (r == 0) {
		char *task = next;
		struct dumped dumped;

		if (next_dumped(&next, &left, &dumped) < 0)
			break; /* what is missing is still to come */
		if (dumped.head->n_cells == 0) {
			r = add_in_flight(collector, &dumped);
			continue;
		}
		if (kept != task)
			memmove(kept, task, (size_t)(next - task));
		kept += next - task;
	}
	memmove(kept, next, left);
	*sifted = (size_t)(kept - collector->dump);
	*size = *sifted + left;
	return r;
}

/*
 * Reads what has to be seen together of a dump into memory first, behind the @ret_size bytes that
 * are there: what is still in the ring afterwards belongs to it.
 */
static int read_dump(struct collector *collector, size_t *ret_size)
{
	_cleanup_(closep) int fd = -1;
	size_t size = *ret_size, sifted = size;
	int r;

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
		/* The last dump goes round twice: whom it has met is looked for in it. */
		r = collector->attached ? sift_dump(collector, &sifted, &size) : 0;
		if (r < 0)
			return r;
		if (collector->dumping)
			collector->dumping(collector->dumping_data);
	}
	*ret_size = size;
	return 0;
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

static int take_dumped(struct collector *collector, const struct dumped *dumped)
{
	const struct dump_task *head = dumped->head;
	int r;

	if (dumped->end->taken) {
		collector->taken++;
		dumped->batch->n_cells = head->n_cells;
		r = ledger_fold(collector->ledger, dumped->batch);
		if (r < 0)
			return r;
	} else if (head->sequence == dumped->end->sequence &&
		   !is_marked(collector, dumped->batch->record_id, head->sequence + 1)) {
		r = ledger_live(collector->ledger, dumped->batch, head->n_cells);
		if (r < 0)
			return r;
	}
	return add_in_flight(collector, dumped);
}

/* Takes what is in a dump, but records that are marked as dumped where @again. */
static int take_dump(struct collector *collector, char *data, size_t size, bool again)
{
	while (size) {
		struct dumped dumped;
		int r;

		r = next_dumped(&data, &size, &dumped);
		if (r < 0)
			return r;
		if (again && is_marked(collector, dumped.batch->record_id, SEQUENCE_DUMPED))
			continue;
		r = take_dumped(collector, &dumped);
		if (r < 0)
			return r;
	}
	return 0;
}

static int mark_dumped(struct collector *collector, char *data, size_t size)
{
	while (size) {
		struct dumped dumped;
		int r;

		r = next_dumped(&data, &size, &dumped);
		if (r == 0)
			r = add_mark(collector, dumped.batch->record_id, SEQUENCE_DUMPED);
		if (r < 0)
			return r;
	}
	return 0;
}

/* What a dump like the latest will not need. */
static void give_dump_back(struct collector *collector)
{
	size_t size = collector->dump_used + collector->dump_used / 4 + DUMP_BYTES_MIN;
	char *dump;

	if (collector->dump_size <= size + size / 4)
		return;
	dump = realloc(collector->dump, size);
	if (!dump)
		return;
	collector->dump = dump;
	collector->dump_size = size;
}

static uint64_t ring_lost(const struct collector *collector)
{
	return __atomic_load_n(&collector->skel->bss->lost[LOSS_RING_FULL], __ATOMIC_SEQ_CST);
}

int collector_dump(struct collector *collector, uint64_t *ret_ring_lost)
{
	size_t size, first_size;
	int r;

	give_dump_back(collector);
	/*
	 * What is lost while the dump goes on it may have seen live or not: the next interval
	 * tells. After the last one there is none, so that dump is made again.
	 */
	do {
		/* Before the dump: what was lost by then, it cannot have seen live. */
		*ret_ring_lost = ring_lost(collector);
		size = 0;
		collector->n_in_flight = 0;
		r = collector_drain(collector);
		if (r == 0)
			r = read_dump(collector, &size);
		first_size = size;
		if (r == 0 && !collector->attached)
			r = read_dump(collector, &size);
		if (r < 0)
			return r;

		collector->n_marks = 0;
		collector->marking = true;
		r = collector_drain(collector);
		collector->marking = false;
	} while (r == 0 && !collector->attached && ring_lost(collector) != *ret_ring_lost);
	collector->dump_used = size;
	if (r == 0 && size > first_size)
		r = mark_dumped(collector, collector->dump, first_size);
	if (r < 0)
		return r;
	if (collector->n_marks)
		qsort(collector->marks, collector->n_marks, sizeof(*collector->marks),
		      compare_marks);

	r = take_dump(collector, collector->dump, first_size, false);
	if (r == 0 && size > first_size)
		r = take_dump(collector, collector->dump + first_size, size - first_size, true);
	return r;
}
