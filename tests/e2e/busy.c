/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * busy DIRECTORY...: a process for each cgroup, making some 40 different calls a few times a
 * second, as much as the liveliest of containers. Ends when standard input does.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/times.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define ROUND_NS 200000000

static void fail(const char *what)
{
	fprintf(stderr, "busy: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void join_cgroup(const char *directory)
{
	char path[4096];
	int fd, n;

	n = snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	if (n < 0 || (size_t)n >= sizeof(path))
		fail(directory);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		fail(path);
	close(fd);
}

/* Results do not matter, only that the calls were made. */
static void call(long number, long a, long b, long c)
{
	syscall(number, a, b, c, 0L, 0L, 0L);
}

static void do_identity_calls(void)
{
	static const long calls[] = {
		SYS_getpid, SYS_getppid,   SYS_gettid,		SYS_getuid, SYS_geteuid,
		SYS_getgid, SYS_getegid,   SYS_getpgid,		SYS_getsid, SYS_sched_yield,
		SYS_umask,  SYS_getgroups, SYS_sync_file_range,
	};

	for (size_t i = 0; i < sizeof(calls) / sizeof(calls[0]); i++)
		call(calls[i], 0, 0, 0);
}

static void do_file_calls(void)
{
	char buffer[64];
	struct iovec vector = { buffer, sizeof(buffer) };
	struct stat st;
	int fd = open("/proc/self/stat", O_RDONLY | O_CLOEXEC), null = open("/dev/null", O_RDWR);

	call(SYS_read, fd, (long)buffer, sizeof(buffer));
	call(SYS_pread64, fd, (long)buffer, sizeof(buffer));
	call(SYS_readv, fd, (long)&vector, 1);
	call(SYS_lseek, fd, 0, SEEK_SET);
	call(SYS_write, null, (long)buffer, sizeof(buffer));
	call(SYS_pwrite64, null, (long)buffer, sizeof(buffer));
	call(SYS_writev, null, (long)&vector, 1);
	call(SYS_fcntl, fd, F_GETFD, 0);
	call(SYS_ioctl, null, 0, 0);
	call(SYS_fstat, fd, (long)&st, 0);
	call(SYS_faccessat, AT_FDCWD, (long)"/", R_OK);
	call(SYS_getcwd, (long)buffer, sizeof(buffer), 0);
	call(SYS_fsync, fd, 0, 0);
	close(dup(fd));
	close(null);
	close(fd);
}

static void do_memory_and_time_calls(void)
{
	void *map = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	struct utsname name;
	struct rusage usage;
	struct timespec now;
	struct tms tms;
	char byte;

	mprotect(map, 4096, PROT_READ);
	madvise(map, 4096, MADV_NORMAL);
	munmap(map, 4096);
	call(SYS_brk, 0, 0, 0);
	uname(&name);
	getrusage(RUSAGE_SELF, &usage);
	call(SYS_clock_gettime, CLOCK_MONOTONIC, (long)&now, 0);
	call(SYS_times, (long)&tms, 0, 0);
	call(SYS_getrandom, (long)&byte, 1, 0);
	call(SYS_prctl, PR_GET_DUMPABLE, 0, 0);
}

static void do_socket_calls(void)
{
	struct pollfd readable;
	int fds[2], poller = epoll_create1(EPOLL_CLOEXEC), event = eventfd(0, EFD_CLOEXEC);
	char byte = 0;

	if (socketpair(AF_UNIX, SOCK_STREAM, 0, fds) < 0)
		fail("socketpair");
	call(SYS_sendto, fds[0], (long)&byte, 1);
	call(SYS_recvfrom, fds[1], (long)&byte, 1);
	readable = (struct pollfd){ .fd = fds[0], .events = POLLIN };
	poll(&readable, 1, 0);
	close(fds[0]);
	close(fds[1]);
	close(poller);
	close(event);
}

static void be_busy(char *directories)
{
	const struct timespec pause = { .tv_nsec = ROUND_NS };

	for (char *one = strtok(directories, ":"); one; one = strtok(NULL, ":"))
		join_cgroup(one);
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	for (;;) {
		do_identity_calls();
		do_file_calls();
		do_memory_and_time_calls();
		do_socket_calls();
		nanosleep(&pause, NULL);
	}
}

int main(int argc, char **argv)
{
	char byte;

	for (int i = 1; i < argc; i++) {
		pid_t pid = fork();

		if (pid < 0)
			fail("fork");
		if (pid == 0)
			be_busy(argv[i]);
	}
	while (read(STDIN_FILENO, &byte, 1) > 0)
		;
	signal(SIGTERM, SIG_IGN);
	kill(0, SIGTERM);
	while (wait(NULL) > 0)
		;
	return 0;
}
