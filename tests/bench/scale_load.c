/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A node's worth of tasks: scale_load CGROUP_DIR CGROUPS PROCESSES THREADS CALLS
 * makes CGROUPS cgroups below CGROUP_DIR, each with PROCESSES processes of THREADS threads. All
 * threads but the first sleep for good; the first makes CALLS different calls once a second.
 * Prints "ready" and stays until a signal; the caller removes the cgroups.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#define STACK_BYTES (64 << 10)

/* Harmless whatever their arguments: each is given invalid ones, or has none. */
static const long calls[] = {
	SYS_getpid,
	SYS_getppid,
	SYS_getuid,
	SYS_geteuid,
	SYS_getgid,
	SYS_getegid,
	SYS_gettid,
	SYS_getsid,
	SYS_getpgid,
	SYS_sched_yield,
	SYS_umask,
	SYS_getpriority,
	SYS_times,
	SYS_getrusage,
	SYS_sysinfo,
	SYS_uname,
	SYS_close,
	SYS_lseek,
	SYS_fstat,
	SYS_dup,
	SYS_fsync,
	SYS_fdatasync,
	SYS_ftruncate,
	SYS_read,
	SYS_write,
	SYS_fchdir,
	SYS_flock,
	SYS_fcntl,
	SYS_ioctl,
	SYS_getcwd,
	SYS_getgroups,
	SYS_sched_getparam,
	SYS_sched_getscheduler,
	SYS_sched_get_priority_max,
	SYS_sched_get_priority_min,
	SYS_timer_delete,
	SYS_epoll_ctl,
	SYS_readahead,
	SYS_fadvise64,
	SYS_sync_file_range,
};
#define CALLS_KNOWN (int)(sizeof(calls) / sizeof(*calls))

static void *sleep_for_good(void *data)
{
	for (;;)
		pause();
	return NULL;
}

static void join_cgroup(const char *path)
{
	char file[4096 + sizeof("/cgroup.procs")];
	int fd;

	(void)snprintf(file, sizeof(file), "%s/cgroup.procs", path);
	fd = open(file, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1) {
		perror(file);
		_exit(1);
	}
	close(fd);
}

static void be_process(const char *cgroup, int threads, int n_calls)
{
	struct timespec second = { 1, 0 };
	pthread_attr_t attr;
	pthread_t thread;

	(void)prctl(PR_SET_PDEATHSIG, SIGKILL);
	join_cgroup(cgroup);
	pthread_attr_init(&attr);
	pthread_attr_setstacksize(&attr, STACK_BYTES);
	for (int i = 1; i < threads; i++) {
		if (pthread_create(&thread, &attr, sleep_for_good, NULL) != 0)
			_exit(1);
	}
	for (;;) {
		for (int i = 0; i < n_calls; i++)
			syscall(calls[i], -1L, 0L, 0L, 0L, 0L, 0L);
		nanosleep(&second, NULL);
	}
}

int main(int argc, char **argv)
{
	int cgroups, processes, threads, n_calls;

	if (argc != 6) {
		fprintf(stderr, "usage: %s CGROUP_DIR CGROUPS PROCESSES THREADS CALLS\n", argv[0]);
		return 2;
	}
	cgroups = atoi(argv[2]);
	processes = atoi(argv[3]);
	threads = atoi(argv[4]);
	n_calls = atoi(argv[5]) < CALLS_KNOWN ? atoi(argv[5]) : CALLS_KNOWN;
	for (int c = 0; c < cgroups; c++) {
		char path[4096];

		(void)snprintf(path, sizeof(path), "%s/c%d", argv[1], c);
		if (mkdir(path, 0755) < 0 && errno != EEXIST) {
			perror(path);
			return 1;
		}
		for (int p = 0; p < processes; p++) {
			pid_t pid = fork();

			if (pid < 0) {
				perror("fork");
				return 1;
			}
			if (pid == 0)
				be_process(path, threads, n_calls);
		}
	}
	sleep(2);
	puts("ready");
	fflush(stdout);
	pause();
	return 0;
}
