/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What is lost is counted by cause, and with what was reported makes up the truth: facts F24 and
 * F25. The kernel's own recursion check, the fourth cause, cannot be provoked.
 */
#include "lab.h"
#include "rare_calls.h"
#include "src/clock.h"

#include <errno.h>
#include <linux/sockios.h>
#include <netinet/in.h>
#include <pthread.h>
#include <signal.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

/* The losses are of all that is measured, so only victims with this name are. */
static char own_name[COMM_LEN];

static void take_own_name(void)
{
	victim_check(prctl(PR_SET_NAME, own_name) == 0);
}

/* Only of our name, and @rare: only rare calls. */
static struct lab *open_for_us(struct collector_options options, bool rare)
{
	static const char *comm_items[] = { own_name };
	static const struct string_list comms = { comm_items, 1 };
	static const char *syscall_items[RARE_CALLS];
	static const struct string_list syscalls = { syscall_items, RARE_CALLS };

	(void)snprintf(own_name, sizeof(own_name), "loss-%d", getpid());
	rare_call_names(syscall_items);
	options.comms = &comms;
	options.syscalls = rare ? &syscalls : NULL;
	return lab_open(&options);
}

static void expect_only(struct lab *lab, enum loss_cause only)
{
	for (int cause = 0; cause < LOSS_N_; cause++)
		lab_assert(lab, (int)only == cause || lab_lost(lab, cause) == 0);
}

/* ---- F24: more distinct calls than a record holds ---- */

#define ROUNDS 1000

static void cycle(void *data)
{
	for (size_t i = 0; i < ROUNDS * RARE_CALLS; i++)
		make_rare_call(i);
}

static void f24_more_calls_than_cells(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, cycle, NULL);
	for (size_t i = 0; i < RARE_CALLS; i++) {
		struct call_stats seen = lab_sum(lab, .call = rare_calls[i].name);

		if (seen.count != ROUNDS)
			fail_msg("%s: count=%d", rare_calls[i].name, (int)seen.count);
	}
	lab_expect_nothing_lost(lab);
}

/* ---- F24, F25: a ring that is full ---- */

static void named_cycle(void *data)
{
	take_own_name();
	cycle(NULL);
}

/* Nobody reads until all is over. */
static void f24_tiny_ring_held(void **state)
{
	struct lab *lab = open_for_us(
		(struct collector_options){ .ring_bytes = (size_t)sysconf(_SC_PAGESIZE) }, true);
	struct snapshot snapshot;
	uint64_t reported;
	pid_t pid;

	lab_read(lab, &snapshot);
	assert_int_equal(snapshot.lost[LOSS_RING_FULL], 0);
	pid = lab_start(lab, named_cycle, NULL);
	lab_wait_dead(pid);
	/* In the interval in which it happened, all of it. */
	lab_read(lab, &snapshot);
	lab_assert(lab, snapshot.lost[LOSS_RING_FULL] > 0);
	reported = lab_sum(lab, .call = NULL).count;
	lab_assert(lab, reported > 0);
	lab_assert(lab, reported + snapshot.lost[LOSS_RING_FULL] == ROUNDS * RARE_CALLS);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_assert(lab, lab_sum(lab, .call = NULL).count == reported);
	lab_assert(lab, lab_lost(lab, LOSS_RING_FULL) == snapshot.lost[LOSS_RING_FULL]);
	expect_only(lab, LOSS_RING_FULL);
	lab_close(lab);
}

/* Read all the while, it loses some, and part of what it loses had been seen live before. */
static void f24_tiny_ring_read(void **state)
{
	struct lab *lab = open_for_us(
		(struct collector_options){ .ring_bytes = (size_t)sysconf(_SC_PAGESIZE) }, true);

	for (int i = 0; i < 5; i++)
		(void)lab_run(lab, named_cycle, NULL);
	lab_assert(lab, lab_sum(lab, .call = NULL).count + lab_lost(lab, LOSS_RING_FULL) ==
				5 * ROUNDS * RARE_CALLS);
	lab_assert(lab, lab_lost(lab, LOSS_RING_FULL) > 0);
	expect_only(lab, LOSS_RING_FULL);
	lab_close(lab);
}

/* ---- F45, F24: what is lost while the last dump goes on ---- */

#define SLEEPERS      60
#define SLEEPER_CALLS 8

struct sleepers {
	unsigned asleep;
	pid_t pid; /* of the first, whose end is that of all; 0: not yet */
	bool ended;
	int alive[2]; /* a pipe that they hold open */
};

static void sleepers_victim(void *data)
{
	struct sleepers *sleepers = data;

	take_own_name();
	for (int i = 0; i < SLEEPERS; i++) {
		pid_t pid = fork();

		victim_check(pid >= 0);
		if (pid > 0)
			continue;
		victim_check(prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
		for (size_t k = 0; k < SLEEPER_CALLS; k++)
			make_rare_call(k);
		__atomic_add_fetch(&sleepers->asleep, 1, __ATOMIC_SEQ_CST);
		for (;;)
			victim_pause();
	}
	for (;;)
		victim_pause();
}

static void end_sleepers(void *data)
{
	struct sleepers *sleepers = data;
	ssize_t n;
	char byte;

	if (!sleepers->pid || sleepers->ended)
		return;
	sleepers->ended = true;
	assert_int_equal(kill(sleepers->pid, SIGKILL), 0);
	/* Files are closed behind what folds a record. */
	n = read(sleepers->alive[0], &byte, 1);
	if (n != 0)
		fail_msg("read: %zd, %s", n, strerror(errno));
}

/* There is no later interval that could tell of it. */
static void f45_lost_while_the_last_dump_goes_on(void **state)
{
	struct sleepers *sleepers = lab_shared(sizeof(*sleepers));
	struct lab *lab = open_for_us(
		(struct collector_options){
			.ring_bytes = (size_t)sysconf(_SC_PAGESIZE),
			.dumping = end_sleepers,
			.dumping_data = sleepers,
		},
		true);
	struct snapshot snapshot;
	pid_t pid;

	(void)state;
	assert_int_equal(pipe(sleepers->alive), 0);
	pid = lab_start(lab, sleepers_victim, sleepers);
	close(sleepers->alive[1]);
	/* Without reading: what has been reported is not lost any more. */
	while (__atomic_load_n(&sleepers->asleep, __ATOMIC_SEQ_CST) < SLEEPERS)
		usleep(1000);
	collector_detach(lab_collector(lab));
	sleepers->pid = pid;
	lab_read(lab, &snapshot);
	lab_assert(lab, sleepers->ended);
	lab_assert(lab, lab_lost(lab, LOSS_RING_FULL) > 0);
	lab_assert(lab, lab_sum(lab, .call = NULL).count + lab_lost(lab, LOSS_RING_FULL) ==
				SLEEPERS * SLEEPER_CALLS);
	assert_int_equal(waitpid(pid, NULL, 0), pid);
	lab_close(lab);
	close(sleepers->alive[0]);
}

/* ---- F25: no record to be had ---- */

#define UNRECORDED 1000

static void unrecorded_victim(void *data)
{
	take_own_name();
	for (int i = 0; i < UNRECORDED; i++)
		(void)syscall(SYS_getppid);
	(void)syscall(SYS_openat, -1, "", 0);
}

static void f25_no_memory(void **state)
{
	struct lab *lab = open_for_us((struct collector_options){ .refuse_records = true }, false);

	(void)lab_run(lab, unrecorded_victim, NULL);
	lab_expect(lab, .call = NULL);
	/* openat and exit_group as well. */
	assert_int_equal(lab_lost(lab, LOSS_NO_MEMORY), UNRECORDED + 2);
	expect_only(lab, LOSS_NO_MEMORY);
	lab_close(lab);
}

/* What nobody asked for is not lost. */
static void f25_no_memory_of_selected_calls(void **state)
{
	struct lab *lab = open_for_us((struct collector_options){ .refuse_records = true }, true);

	(void)lab_run(lab, unrecorded_victim, NULL);
	assert_int_equal(lab_lost(lab, LOSS_NO_MEMORY), UNRECORDED);
	expect_only(lab, LOSS_NO_MEMORY);
	lab_close(lab);
}

/* ---- F25: message lengths that cannot be read ---- */

#define MMSG_MAX 1024
#define MANY	 (MMSG_MAX + 76)

static void many_messages_victim(void *data)
{
	static struct mmsghdr messages[MANY];
	static struct iovec iovs[MANY];
	struct sockaddr_in address = { .sin_family = AF_INET };
	socklen_t length = sizeof(address);
	int fd = socket(AF_INET, SOCK_DGRAM, 0), size = 16 << 20;
	char byte = 0;

	address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	victim_check(setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size)) == 0);
	victim_check(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0);
	victim_check(getsockname(fd, (struct sockaddr *)&address, &length) == 0);
	for (int i = 0; i < MANY; i++) {
		victim_check(sendto(fd, &byte, 1, 0, (struct sockaddr *)&address, length) == 1);
		iovs[i] = (struct iovec){ &byte, 1 };
		messages[i].msg_hdr.msg_iov = &iovs[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	take_own_name();
	victim_check(syscall(SYS_recvmmsg, fd, messages, MANY, 0, NULL) == MANY);
}

static void f25_more_messages_than_are_read(void **state)
{
	struct lab *lab = open_for_us((struct collector_options){ 0 }, false);

	(void)lab_run(lab, many_messages_victim, NULL);
	lab_expect(lab, .call = "recvmmsg", .count = 1, .bytes = MMSG_MAX);
	assert_int_equal(lab_lost(lab, LOSS_BYTES_UNREAD), MANY - MMSG_MAX);
	expect_only(lab, LOSS_BYTES_UNREAD);
	lab_close(lab);
}

struct torn {
	int fds[2];
	unsigned *unmap;    /* tells the victim's other thread to */
	unsigned *unmapped; /* says that it has */
};

struct page {
	char *address;
	const struct torn *torn;
};

static void *unmapper(void *data)
{
	struct page *page = data;

	while (!__atomic_load_n(page->torn->unmap, __ATOMIC_ACQUIRE))
		usleep(1000);
	victim_check(munmap(page->address, (size_t)sysconf(_SC_PAGESIZE)) == 0);
	__atomic_store_n(page->torn->unmapped, 1, __ATOMIC_RELEASE);
	return NULL;
}

/* Two messages, the head of the first in a page that goes away while the second is awaited. */
static void torn_victim(void *data)
{
	const struct torn *torn = data;
	size_t size = (size_t)sysconf(_SC_PAGESIZE);
	struct page page = { .torn = torn };
	static char text[2][1000];
	struct iovec iovs[2] = { { text[0], 1000 }, { text[1], 1000 } };
	struct mmsghdr *messages;
	pthread_t thread;

	page.address =
		mmap(NULL, 2 * size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	victim_check(page.address != MAP_FAILED);
	messages = (struct mmsghdr *)(void *)(page.address + size) - 1;
	for (int i = 0; i < 2; i++) {
		messages[i].msg_hdr.msg_iov = &iovs[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	take_own_name();
	victim_check(pthread_create(&thread, NULL, unmapper, &page) == 0);
	victim_check(syscall(SYS_recvmmsg, torn->fds[1], messages, 2, 0, NULL) == 2);
	_exit(0);
}

static void wait_until_received(int fd)
{
	uint64_t end_ns = monotonic_ns() + 120000 * MS;
	int queued;

	do {
		assert_true(monotonic_ns() < end_ns);
		usleep(1000);
		assert_int_equal(ioctl(fd, SIOCOUTQ, &queued), 0);
	} while (queued);
}

static void f25_unmapped_message_head(void **state)
{
	struct lab *lab = open_for_us((struct collector_options){ 0 }, false);
	struct torn torn = { .unmap = lab_shared(2 * sizeof(*torn.unmap)) };
	char text[1000] = "";
	pid_t pid;

	torn.unmapped = torn.unmap + 1;
	assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM, 0, torn.fds), 0);
	pid = lab_start(lab, torn_victim, &torn);
	lab_wait_blocked(pid, pid, SYS_recvmmsg);
	assert_int_equal(send(torn.fds[0], text, 400, 0), 400);
	wait_until_received(torn.fds[0]);
	lab_sleep_ms(lab, 50);
	lab_wait_blocked(pid, pid, SYS_recvmmsg);
	__atomic_store_n(torn.unmap, 1, __ATOMIC_RELEASE);
	lab_wait_for(lab, torn.unmapped, 1);
	lab_expect_nothing_lost(lab);
	assert_int_equal(send(torn.fds[0], text, 30, 0), 30);
	lab_reap(lab, pid, 0);
	lab_settle(lab);
	lab_expect(lab, .call = "recvmmsg", .count = 1, .bytes = 30);
	assert_int_equal(lab_lost(lab, LOSS_BYTES_UNREAD), 1);
	expect_only(lab, LOSS_BYTES_UNREAD);
	lab_close(lab);
	close(torn.fds[0]);
	close(torn.fds[1]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f24_more_calls_than_cells),
		lab_test(f24_tiny_ring_held),
		lab_test(f24_tiny_ring_read),
		lab_test(f45_lost_while_the_last_dump_goes_on),
		lab_test(f25_no_memory),
		lab_test(f25_no_memory_of_selected_calls),
		lab_test(f25_more_messages_than_are_read),
		lab_test(f25_unmapped_message_head),
	};

	return lab_main(tests, NULL);
}
