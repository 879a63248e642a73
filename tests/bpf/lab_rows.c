/* SPDX-License-Identifier: BSD-2-Clause */
/* Reading intervals, summing up their rows, and comparing with what they must be. */
#include "lab_private.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/clock.h"
#include "src/stats.h"
#include "src/syscalls.h"

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

static void print_stats(const char *what, const struct call_stats *stats)
{
	(void)fprintf(stderr,
		      "%s count=%llu errors=%llu interrupted=%llu denied=%llu bytes=%llu "
		      "timed=%llu time_ns=%llu max_ns=%llu",
		      what, (unsigned long long)stats->count, (unsigned long long)stats->errors,
		      (unsigned long long)stats->interrupted, (unsigned long long)stats->denied,
		      (unsigned long long)stats->bytes,
		      (unsigned long long)hist_total(stats->buckets),
		      (unsigned long long)stats->time_ns, (unsigned long long)stats->max_ns);
}

/* What matters most is last: who shows this may cut it at its beginning. */
static void print_rows(const struct lab *lab)
{
	uint64_t count = 0, denied = 0;
	size_t n = 0;

	for (const struct sum *sum = lab->first; sum; sum = sum->later) {
		const struct snapshot_task *task = &sum->key.task;

		count += sum->stats.count;
		denied += sum->stats.denied;
		if (++n > 200)
			continue;
		(void)fprintf(stderr, "  cgroup=%llu pid=%d vpid=%d tid=%d comm='%s'%s%s %s ",
			      (unsigned long long)task->cgroup_id, task->pid, task->vpid, task->tid,
			      task->process_comm, *task->comm ? " thread=" : "", task->comm,
			      sum->call);
		print_stats("", &sum->stats);
		(void)fputc('\n', stderr);
	}
	(void)fprintf(stderr, "  %zu rows%s, count=%llu denied=%llu\n", n,
		      n > 200 ? ", and not all of them shown" : "", (unsigned long long)count,
		      (unsigned long long)denied);
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
	uint64_t timed = hist_total(stats->buckets);
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

	for (struct lab *other = lab_open_labs; r >= 0 && other; other = other->next)
		r = other == lab ? 0 : collector_poll(other->collector);
	if (r < 0)
		fail_msg("the collector cannot be read: %s", strerror(-r));
	lab->changed = false;
	for (uint32_t i = 0; i < snapshot.n_rows; i++) {
		const struct snapshot_row *row = &snapshot.rows[i];
		struct sum *sum;

		check_row(row);
		if (!lab_group_is_ours(lab, row->task->cgroup_id))
			continue;
		lab->changed = true;
		sum = find_sum(lab, row);
		stats_add(&sum->stats, &row->stats);
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
	uint64_t end_ns = monotonic_ns() + ms * MS;

	do {
		lab_read(lab, NULL);
		usleep((ms < READ_MS ? ms : READ_MS) * 1000);
	} while (monotonic_ns() < end_ns);
}

void lab_settle(struct lab *lab)
{
	uint64_t end_ns = monotonic_ns() + PATIENCE_NS;
	unsigned quiet = 0;

	while (quiet < 3) {
		uint64_t lost = 0;

		for (int i = 0; i < LOSS_N_; i++)
			lost += lab->lost[i];
		lab_read(lab, NULL);
		for (int i = 0; i < LOSS_N_; i++)
			lost -= lab->lost[i];
		quiet = lab->changed || lost ? 0 : quiet + 1;
		if (monotonic_ns() > end_ns)
			return; /* what is asserted next will tell */
		usleep(1000);
	}
}

void lab_settle_late(struct lab *lab)
{
	if (lab_preempts_programs())
		lab_sleep_ms(lab, 2500);
	lab_settle(lab);
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
			stats_add(&stats, &sum->stats);
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
	    seen.bytes == row->bytes && hist_total(seen.buckets) == timed &&
	    (timed || seen.time_ns == 0))
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

void lab_expect_truth_(struct lab *lab, uint64_t truth, const char *file, int line)
{
	uint64_t seen = lab_sum(lab, .call = NULL).count;
	uint64_t ring_full = lab->lost[LOSS_RING_FULL], unseen = lab->lost[LOSS_RECURSION];

	(void)fprintf(stderr, "%ju calls, %ju reported, %ju lost in the ring, %ju unseen\n",
		      (uintmax_t)truth, (uintmax_t)seen, (uintmax_t)ring_full, (uintmax_t)unseen);
	assert_int_equal(lab->lost[LOSS_NO_MEMORY], 0);
	if (seen + ring_full == truth)
		return;
	if (!lab_preempts_programs() || seen + ring_full > truth ||
	    seen + ring_full + unseen < truth)
		_fail(file, line);
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
	const struct snapshot_in_flight *found = NULL;

	for (uint32_t i = 0; i < snapshot->n_in_flight; i++) {
		if (snapshot->in_flight[i].task.tid != tid)
			continue;
		assert_null(found);
		found = &snapshot->in_flight[i];
	}
	return found;
}

void lab_assert_(const struct lab *lab, bool condition, const char *text, const char *file,
		 int line)
{
	if (condition)
		return;
	(void)fprintf(stderr, "all rows:\n");
	print_rows(lab);
	(void)fprintf(stderr, "%s:%d: not so: %s\n", file, line, text);
	_fail(file, line);
}
