/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that move outside of the call that asked for them: fact F17. (io_submit: test_bytes.c) */
#include "lab.h"

#include <errno.h>
#include <linux/io_uring.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#define READS	   100
#define READ_BYTES 4096

struct ring {
	int fd;
	struct io_uring_params params;
	char *submissions;
	char *completions;
	struct io_uring_sqe *entries;
};

static bool ring_open(struct ring *ring)
{
	memset(ring, 0, sizeof(*ring));
	ring->fd = (int)syscall(SYS_io_uring_setup, 4, &ring->params);
	return ring->fd >= 0;
}

static char *ring_map(const struct ring *ring, size_t size, off_t offset)
{
	char *memory = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED, ring->fd, offset);

	victim_check(memory != MAP_FAILED);
	return memory;
}

static unsigned *word(char *base, unsigned offset)
{
	return (unsigned *)(void *)(base + offset);
}

static void ring_maps(struct ring *ring)
{
	const struct io_uring_params *params = &ring->params;

	ring->submissions =
		ring_map(ring, params->sq_off.array + params->sq_entries * sizeof(unsigned),
			 IORING_OFF_SQ_RING);
	ring->completions = ring_map(
		ring, params->cq_off.cqes + params->cq_entries * sizeof(struct io_uring_cqe),
		IORING_OFF_CQ_RING);
	ring->entries = (struct io_uring_sqe *)(void *)ring_map(
		ring, params->sq_entries * sizeof(struct io_uring_sqe), IORING_OFF_SQES);
}

static void ring_read(struct ring *ring, int fd, void *buffer)
{
	const struct io_uring_params *params = &ring->params;
	unsigned *sq_tail = word(ring->submissions, params->sq_off.tail);
	unsigned *cq_head = word(ring->completions, params->cq_off.head);
	unsigned index = *sq_tail & *word(ring->submissions, params->sq_off.ring_mask);
	const struct io_uring_cqe *completion;

	memset(&ring->entries[index], 0, sizeof(ring->entries[index]));
	ring->entries[index].opcode = IORING_OP_READ;
	ring->entries[index].fd = fd;
	ring->entries[index].addr = (uintptr_t)buffer;
	ring->entries[index].len = READ_BYTES;
	word(ring->submissions, params->sq_off.array)[index] = index;
	__atomic_store_n(sq_tail, *sq_tail + 1, __ATOMIC_RELEASE);
	victim_check(syscall(SYS_io_uring_enter, ring->fd, 1, 1, IORING_ENTER_GETEVENTS, NULL, 0) ==
		     1);
	completion = (struct io_uring_cqe *)(void *)(ring->completions + params->cq_off.cqes) +
		     (*cq_head & *word(ring->completions, params->cq_off.ring_mask));
	victim_check(completion->res == READ_BYTES);
	__atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
}

static void f17_victim(void *data)
{
	static char buffer[READ_BYTES];
	int fd = *(int *)data;
	struct ring ring;

	victim_check(ring_open(&ring));
	ring_maps(&ring);
	for (int i = 0; i < READS; i++)
		ring_read(&ring, fd, buffer);
}

static void f17_reads_by_io_uring(void **state)
{
	struct lab *lab = *state;
	char path[] = "/tmp/cgscope-lab-file-XXXXXX";
	struct ring ring;
	int fd;

	if (!ring_open(&ring))
		lab_leave_out("io_uring: %s", strerror(errno));
	close(ring.fd);
	fd = mkstemp(path);
	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ftruncate(fd, READ_BYTES), 0);
	(void)lab_run(lab, f17_victim, &fd);
	lab_expect(lab, .call = "io_uring_enter", .count = READS);
	lab_expect(lab, .call = "io_uring_setup", .count = 1);
	lab_expect(lab, .call = "read");
	assert_int_equal(lab_sum(lab, .call = NULL).bytes, 0);
	close(fd);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f17_reads_by_io_uring),
	};

	return lab_main(tests, NULL);
}
