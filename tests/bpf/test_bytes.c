/* SPDX-License-Identifier: BSD-2-Clause */
/* Which returned values are bytes: facts F14 to F16. */
#include "lab.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <linux/aio_abi.h>
#include <mqueue.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/ipc.h>
#include <sys/msg.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <unistd.h>

#define FILE_BYTES 65536

static char buffer[FILE_BYTES];

static int file_of(size_t size)
{
	char path[] = "/tmp/cgscope-lab-file-XXXXXX";
	int fd = mkstemp(path);

	assert_true(fd >= 0);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(ftruncate(fd, (off_t)size), 0);
	return fd;
}

/* ---- F14: the returned size, not the requested one ---- */

static void f14_short_read_victim(void *data)
{
	int fd = *(int *)data;
	int fds[2];

	victim_check(syscall(SYS_read, fd, buffer, 10000) == 4096);
	victim_check(syscall(SYS_read, fd, buffer, 10000) == 0);
	victim_check(pipe2(fds, O_NONBLOCK) == 0);
	victim_check(syscall(SYS_readv, fds[0], &(struct iovec){ buffer, 100 }, 1) == -1);
	victim_check(errno == EAGAIN);
}

static void f14_short_read_and_end(void **state)
{
	struct lab *lab = *state;
	int fd = file_of(4096);

	(void)lab_run(lab, f14_short_read_victim, &fd);
	lab_expect(lab, .call = "read", .count = 2, .bytes = 4096);
	lab_expect(lab, .call = "readv", .count = 1, .errors = 1);
	assert_int_equal(lab_sum(lab, .call = NULL).bytes, 4096);
	close(fd);
}

/* A call that moves bytes and how many, each another number. */
struct transfer {
	const char *call;
	uint64_t bytes;
};

static const struct transfer in[] = {
	{ "pread64", 1001 },  { "readv", 1002 },   { "preadv", 1003 }, { "preadv2", 1004 },
	{ "recvfrom", 1005 }, { "recvmsg", 1006 }, { "read", 1007 },   { "process_vm_readv", 1000 },
};

static const struct transfer out[] = {
	{ "pwrite64", 2001 },	       { "writev", 2002 }, { "pwritev", 2003 },
	{ "pwritev2", 2004 },	       { "sendto", 2005 }, { "sendmsg", 2006 },
	{ "process_vm_writev", 2008 }, { "write", 2007 },
};

static const struct transfer moved[] = {
	{ "sendfile", 8192 }, { "splice", 4096 },	    { "tee", 512 },
	{ "vmsplice", 700 },  { "copy_file_range", 65536 },
};

static uint64_t bytes_of(const struct transfer *transfers, size_t n, const char *call)
{
	for (size_t i = 0; i < n; i++) {
		if (strcmp(transfers[i].call, call) == 0)
			return transfers[i].bytes;
	}
	victim_fail(__FILE__, __LINE__, call);
}

#define IN(name)    bytes_of(in, N_ELEMENTS(in), name)
#define OUT(name)   bytes_of(out, N_ELEMENTS(out), name)
#define MOVED(name) bytes_of(moved, N_ELEMENTS(moved), name)

/* Calls by number, as libraries are free to use others. */
#define check_call(expected, ...) victim_check(syscall(__VA_ARGS__) == (long)(expected))

static struct iovec iov_of(uint64_t bytes)
{
	return (struct iovec){ buffer, bytes };
}

static void f14_file_victim(void *data)
{
	int fd = *(int *)data;
	struct iovec iov;

	check_call(IN("read"), SYS_read, fd, buffer, IN("read"));
	check_call(IN("pread64"), SYS_pread64, fd, buffer, IN("pread64"), 0);
	iov = iov_of(IN("readv"));
	check_call(IN("readv"), SYS_readv, fd, &iov, 1);
	iov = iov_of(IN("preadv"));
	check_call(IN("preadv"), SYS_preadv, fd, &iov, 1, 0, 0);
	iov = iov_of(IN("preadv2"));
	check_call(IN("preadv2"), SYS_preadv2, fd, &iov, 1, 0, 0, 0);
	iov = iov_of(IN("process_vm_readv"));
	check_call(IN("process_vm_readv"), SYS_process_vm_readv, getpid(), &iov, 1, &iov, 1, 0);

	check_call(OUT("write"), SYS_write, fd, buffer, OUT("write"));
	check_call(OUT("pwrite64"), SYS_pwrite64, fd, buffer, OUT("pwrite64"), 0);
	iov = iov_of(OUT("writev"));
	check_call(OUT("writev"), SYS_writev, fd, &iov, 1);
	iov = iov_of(OUT("pwritev"));
	check_call(OUT("pwritev"), SYS_pwritev, fd, &iov, 1, 0, 0);
	iov = iov_of(OUT("pwritev2"));
	check_call(OUT("pwritev2"), SYS_pwritev2, fd, &iov, 1, 0, 0, 0);
	iov = iov_of(OUT("process_vm_writev"));
	check_call(OUT("process_vm_writev"), SYS_process_vm_writev, getpid(), &iov, 1, &iov, 1, 0);
}

static void f14_socket_victim(void *data)
{
	struct iovec iov;
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	int fds[2];

	victim_check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	check_call(OUT("sendto"), SYS_sendto, fds[0], buffer, OUT("sendto"), 0, NULL, 0);
	iov = iov_of(OUT("sendmsg"));
	check_call(OUT("sendmsg"), SYS_sendmsg, fds[0], &message, 0);
	check_call(IN("recvfrom"), SYS_recvfrom, fds[1], buffer, IN("recvfrom"), 0, NULL, NULL);
	iov = iov_of(IN("recvmsg"));
	check_call(IN("recvmsg"), SYS_recvmsg, fds[1], &message, 0);
}

static void f14_moved_victim(void *data)
{
	const int *files = data;
	int from[2], to[2];
	loff_t in_offset = 0, out_offset = 0;
	struct iovec iov = iov_of(MOVED("vmsplice"));

	victim_check(pipe(from) == 0 && pipe(to) == 0);
	check_call(MOVED("sendfile"), SYS_sendfile, files[1], files[0], NULL, MOVED("sendfile"));
	check_call(MOVED("copy_file_range"), SYS_copy_file_range, files[0], &in_offset, files[1],
		   &out_offset, MOVED("copy_file_range"), 0);
	in_offset = 0;
	check_call(MOVED("splice"), SYS_splice, files[0], &in_offset, from[1], NULL,
		   MOVED("splice"), 0);
	check_call(MOVED("tee"), SYS_tee, from[0], to[1], MOVED("tee"), 0);
	check_call(MOVED("vmsplice"), SYS_vmsplice, to[1], &iov, 1, 0);
}

static void expect_transfers(struct lab *lab, const struct transfer *transfers, size_t n)
{
	for (size_t i = 0; i < n; i++)
		lab_expect(lab, .call = transfers[i].call, .count = 1, .bytes = transfers[i].bytes);
}

static uint64_t total(const struct transfer *transfers, size_t n)
{
	uint64_t bytes = 0;

	for (size_t i = 0; i < n; i++)
		bytes += transfers[i].bytes;
	return bytes;
}

static void f14_each_call(void **state)
{
	struct lab *lab = *state;
	int files[2] = { file_of(FILE_BYTES), file_of(FILE_BYTES) };

	(void)lab_run(lab, f14_file_victim, files);
	(void)lab_run(lab, f14_socket_victim, NULL);
	(void)lab_run(lab, f14_moved_victim, files);
	expect_transfers(lab, in, N_ELEMENTS(in));
	expect_transfers(lab, out, N_ELEMENTS(out));
	expect_transfers(lab, moved, N_ELEMENTS(moved));
	assert_int_equal(lab_sum(lab, .call = NULL).bytes, total(in, N_ELEMENTS(in)) +
								   total(out, N_ELEMENTS(out)) +
								   total(moved, N_ELEMENTS(moved)));
	close(files[0]);
	close(files[1]);
}

/* What these return, if it is above 0, is an offset, a number of things, or bytes of no transfer.
 */
static const char *const never[] = {
	"lseek",	   "fcntl",    "ioctl",	      "getdents64",   "getrandom",
	"readlinkat",	   "getcwd",   "epoll_pwait", "ppoll",	      "mmap",
	"msgsnd",	   "msgrcv",   "io_submit",   "io_getevents", "mq_timedsend",
	"mq_timedreceive", "getxattr",
};

/* Where the file system keeps such attributes, and else a call that fails. */
static void f14_xattr(int fd)
{
	const char *name = "user.cgscope";
	char path[64];
	bool works = fsetxattr(fd, name, "12345", 5, 0) == 0;

	if (!works) {
		name = "trusted.cgscope";
		works = fsetxattr(fd, name, "12345", 5, 0) == 0;
	}
	victim_check(works || errno == EOPNOTSUPP || errno == EPERM);
	if (!works)
		(void)fprintf(stderr, "no attributes here: getxattr is tried with an error only\n");
	(void)snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	check_call(works ? 5 : -1, SYS_getxattr, path, name, buffer, 100);
}

static void f14_queues(void)
{
	struct {
		long type;
		char text[100];
	} message = { .type = 1 };
	struct mq_attr attr = { .mq_maxmsg = 1, .mq_msgsize = 100 };
	int id = (int)syscall(SYS_msgget, IPC_PRIVATE, 0600);
	char name[64];
	int queue;

	check_call(0, SYS_msgsnd, id, &message, 100, 0);
	check_call(100, SYS_msgrcv, id, &message, 100, 0, 0);
	check_call(0, SYS_msgctl, id, IPC_RMID, NULL);

	(void)snprintf(name, sizeof(name), "cgscope-lab-%d", getpid());
	queue = (int)syscall(SYS_mq_open, name, O_CREAT | O_EXCL | O_RDWR, 0600, &attr);
	victim_check(queue >= 0 || errno == ENOSYS);
	if (queue >= 0)
		check_call(0, SYS_mq_unlink, name);
	check_call(queue < 0 ? -1 : 0, SYS_mq_timedsend, queue, buffer, 100, 0, NULL);
	check_call(queue < 0 ? -1 : 100, SYS_mq_timedreceive, queue, buffer, 100, NULL, NULL);
}

/* F17 as well: the bytes of asynchronous reads are in no call's result. */
static void f14_aio(int fd)
{
	aio_context_t context = 0;
	struct iocb request = { .aio_fildes = (uint32_t)fd,
				.aio_lio_opcode = IOCB_CMD_PREAD,
				.aio_buf = (uintptr_t)buffer,
				.aio_nbytes = 4096 };
	struct iocb *requests[] = { &request };
	struct io_event event;
	bool works;

	victim_check(syscall(SYS_io_setup, 1, &context) == 0 || errno == ENOSYS);
	works = context != 0;
	check_call(works ? 1 : -1, SYS_io_submit, context, 1, requests);
	check_call(works ? 1 : -1, SYS_io_getevents, context, 1, 1, &event, NULL);
	victim_check(!works || event.res == 4096);
}

static void f14_never_victim(void *data)
{
	int fd = *(int *)data;
	int epoll = epoll_create1(0), directory = open("/", O_RDONLY | O_DIRECTORY);
	struct epoll_event event = { .events = EPOLLIN };
	struct timespec none = { 0 };
	struct {
		int fd;
		short events, revents;
	} poll_fd;
	int fds[2], n;

	victim_check(pipe(fds) == 0);
	check_call(5000, SYS_lseek, fd, 5000, SEEK_SET);
	victim_check(syscall(SYS_fcntl, fd, F_GETFL) > 0);
	check_call(1, SYS_write, fds[1], "", 1);
	check_call(0, SYS_ioctl, fds[0], FIONREAD, &n);
	victim_check(n == 1);
	victim_check(syscall(SYS_getdents64, directory, buffer, sizeof(buffer)) > 0);
	check_call(200, SYS_getrandom, buffer, 200, 0);
	victim_check(syscall(SYS_readlinkat, AT_FDCWD, "/proc/self/exe", buffer, 4096) > 0);
	victim_check(syscall(SYS_getcwd, buffer, 4096) > 0);
	victim_check(epoll_ctl(epoll, EPOLL_CTL_ADD, fds[0], &event) == 0);
	check_call(1, SYS_epoll_pwait, epoll, &event, 1, -1, NULL, 8);
	poll_fd.fd = fds[0];
	poll_fd.events = 1; /* POLLIN */
	check_call(1, SYS_ppoll, &poll_fd, 1, &none, NULL, 8);
	victim_check(syscall(SYS_mmap, 0, 4096, 1, 0x22, -1, 0) > 0);
	f14_queues();
	f14_aio(fd);
	f14_xattr(fd);
}

static void f14_never_bytes(void **state)
{
	struct lab *lab = *state;
	int fd = file_of(FILE_BYTES);

	(void)lab_run(lab, f14_never_victim, &fd);
	for (size_t i = 0; i < N_ELEMENTS(never); i++) {
		struct call_stats stats = lab_sum(lab, .call = never[i]);

		if (stats.count == 0 || stats.bytes)
			fail_msg("%s: count=%d bytes=%d", never[i], (int)stats.count,
				 (int)stats.bytes);
	}
	lab_expect(lab, .call = "write", .count = 1, .bytes = 1);
	assert_int_equal(lab_sum(lab, .call = NULL).bytes, 1);
	close(fd);
}

/* ---- F15: sendmmsg and recvmmsg return messages ---- */

#define F15_MESSAGES 5

static void f15_messages(struct mmsghdr *messages, struct iovec *iovs, size_t first, size_t step)
{
	memset(messages, 0, F15_MESSAGES * sizeof(*messages));
	for (size_t i = 0; i < F15_MESSAGES; i++) {
		iovs[i] = (struct iovec){ buffer, first + i * step };
		messages[i].msg_hdr.msg_iov = &iovs[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
}

static void f15_victim(void *data)
{
	struct mmsghdr messages[F15_MESSAGES];
	struct iovec iovs[F15_MESSAGES];
	int fds[2];

	victim_check(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
	f15_messages(messages, iovs, 100, 100);
	check_call(F15_MESSAGES, SYS_sendmmsg, fds[0], messages, F15_MESSAGES, 0);
	f15_messages(messages, iovs, 1000, 0);
	check_call(F15_MESSAGES, SYS_recvmmsg, fds[1], messages, F15_MESSAGES, 0, NULL);
}

static void f15_message_lengths(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f15_victim, NULL);
	lab_expect(lab, .call = "sendmmsg", .count = 1, .bytes = 1500);
	lab_expect(lab, .call = "recvmmsg", .count = 1, .bytes = 1500);
	assert_int_equal(lab_lost(lab, LOSS_BYTES_UNREAD), 0);
}

/* The lengths of messages that were not sent are old ones. */
static void f15_partial_victim(void *data)
{
	struct mmsghdr messages[F15_MESSAGES];
	struct iovec iovs[F15_MESSAGES];
	int fds[2];

	victim_check(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK, 0, fds) == 0);
	f15_messages(messages, iovs, 100, 100);
	for (int i = 0; i < F15_MESSAGES; i++)
		messages[i].msg_len = 9999;
	messages[2].msg_hdr.msg_iov = NULL;
	check_call(2, SYS_sendmmsg, fds[0], messages, F15_MESSAGES, 0);
	check_call(-1, SYS_sendmmsg, fds[0], messages + 2, 1, 0);
	f15_messages(messages, iovs, 150, 0);
	check_call(2, SYS_recvmmsg, fds[1], messages, F15_MESSAGES, 0, NULL);
	check_call(-1, SYS_recvmmsg, fds[1], messages, F15_MESSAGES, 0, NULL);
}

static void f15_fewer_than_asked(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f15_partial_victim, NULL);
	lab_expect(lab, .call = "sendmmsg", .count = 2, .errors = 1, .bytes = 300);
	/* The second message was cut to its buffer. */
	lab_expect(lab, .call = "recvmmsg", .count = 2, .errors = 1, .bytes = 250);
}

/* ---- F16: peeking and truncation ---- */

static void f16_peek_victim(void *data)
{
	struct iovec iov = { buffer, 100 };
	struct msghdr message = { .msg_iov = &iov, .msg_iovlen = 1 };
	struct mmsghdr messages[1] = { { .msg_hdr = { .msg_iov = &iov, .msg_iovlen = 1 } } };
	int fds[2];

	victim_check(socketpair(AF_UNIX, SOCK_STREAM, 0, fds) == 0);
	for (int i = 0; i < 3; i++)
		check_call(100, SYS_sendto, fds[0], buffer, 100, 0, NULL, 0);
	check_call(100, SYS_recvfrom, fds[1], buffer, 100, MSG_PEEK, NULL, NULL);
	check_call(100, SYS_recvfrom, fds[1], buffer, 100, 0, NULL, NULL);
	check_call(100, SYS_recvmsg, fds[1], &message, MSG_PEEK);
	check_call(100, SYS_recvmsg, fds[1], &message, 0);
	check_call(1, SYS_recvmmsg, fds[1], messages, 1, MSG_PEEK, NULL);
	check_call(1, SYS_recvmmsg, fds[1], messages, 1, 0, NULL);
}

static void f16_peeked_bytes_come_again(void **state)
{
	struct lab *lab = *state;

	(void)lab_run(lab, f16_peek_victim, NULL);
	lab_expect(lab, .call = "recvfrom", .count = 2, .bytes = 100);
	lab_expect(lab, .call = "recvmsg", .count = 2, .bytes = 100);
	lab_expect(lab, .call = "recvmmsg", .count = 2, .bytes = 100);
}

struct truncation {
	size_t length; /* of the buffer, as the call has it */
	int flags;
	long expected; /* returned for a datagram of 1000 bytes */
};

static void f16_truncate_victim(void *data)
{
	const struct truncation *how = data;
	int fds[2];

	victim_check(socketpair(AF_UNIX, SOCK_DGRAM, 0, fds) == 0);
	check_call(1000, SYS_sendto, fds[0], buffer, 1000, 0, NULL, 0);
	check_call(how->expected, SYS_recvfrom, fds[1], buffer, how->length, how->flags, NULL,
		   NULL);
}

static void f16_truncated_datagrams(void **state)
{
	struct lab *lab = *state;
	struct truncation hows[] = { { 100, MSG_TRUNC, 1000 }, { 100, 0, 100 } };

	for (size_t i = 0; i < N_ELEMENTS(hows); i++) {
		pid_t pid = lab_run(lab, f16_truncate_victim, &hows[i]);

		lab_expect(lab, .call = "recvfrom", .pid = pid, .count = 1, .bytes = 100);
	}
}

/* The kernel cuts a length that no buffer has; so must we. */
static void f16_endless_buffer(void **state)
{
	struct lab *lab = *state;
	struct truncation how = { 1ul << 32, MSG_TRUNC, 1000 };

	(void)lab_run(lab, f16_truncate_victim, &how);
	lab_expect(lab, .call = "recvfrom", .count = 1, .bytes = 1000);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		lab_test(f14_short_read_and_end),  lab_test(f14_each_call),
		lab_test(f14_never_bytes),	   lab_test(f15_message_lengths),
		lab_test(f15_fewer_than_asked),	   lab_test(f16_peeked_bytes_come_again),
		lab_test(f16_truncated_datagrams), lab_test(f16_endless_buffer),
	};

	return lab_main(tests, NULL);
}
