/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The load that monitors are compared under. Prints figures as "min median" in ns.
 *   bench_load calls THREADS CHUNKS   getppid in chunks of 5,000, per call
 *   bench_load spawn N PROGRAM        vfork and exec and wait, per process
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_CALLS 5000
#define THREADS_MAX 64

struct worker {
	pthread_t thread;
	int cpu;
	int chunks;
	double *ns;
};

static pthread_barrier_t ready;
static atomic_int busy; /* threads that have chunks left */

static double now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (double)now.tv_sec * 1e9 + (double)now.tv_nsec;
}

static int compare(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return x < y ? -1 : x > y;
}

/* The @i-th CPU that we may run on, starting again behind the last. */
static int nth_cpu(int i)
{
	cpu_set_t allowed;
	int n;

	if (sched_getaffinity(0, sizeof(allowed), &allowed) != 0)
		return -1;
	n = i % CPU_COUNT(&allowed);
	for (int cpu = 0; cpu < CPU_SETSIZE; cpu++) {
		if (CPU_ISSET(cpu, &allowed) && n-- == 0)
			return cpu;
	}
	return -1;
}

static void stay_on(int cpu)
{
	cpu_set_t one;

	CPU_ZERO(&one);
	if (cpu < 0)
		return;
	CPU_SET(cpu, &one);
	(void)sched_setaffinity(0, sizeof(one), &one);
}

static double time_chunk(void)
{
	double start = now_ns();

	for (int i = 0; i < CHUNK_CALLS; i++)
		syscall(SYS_getppid);
	return (now_ns() - start) / CHUNK_CALLS;
}

/* Each on a CPU of its own, all at the same time, as long as one of them is measured. */
static void *call_in_chunks(void *data)
{
	struct worker *worker = data;

	stay_on(worker->cpu);
	pthread_barrier_wait(&ready);
	for (int i = 0; i < worker->chunks; i++)
		worker->ns[i] = time_chunk();
	atomic_fetch_sub(&busy, 1);
	while (atomic_load(&busy) > 0)
		(void)time_chunk();
	return NULL;
}

/* Of the slowest thread: threads that share something slow each other down. */
static int calls(int threads, int chunks)
{
	struct worker workers[THREADS_MAX];
	double min = 0, median = 0;

	if (threads < 1 || threads > THREADS_MAX || chunks < 1)
		return 2;
	pthread_barrier_init(&ready, NULL, (unsigned)threads);
	busy = threads;
	for (int i = 0; i < threads; i++) {
		workers[i].cpu = nth_cpu(i);
		workers[i].chunks = chunks;
		workers[i].ns = calloc((size_t)chunks, sizeof(double));
		if (!workers[i].ns ||
		    pthread_create(&workers[i].thread, NULL, call_in_chunks, &workers[i]) != 0)
			return 1;
	}
	for (int i = 0; i < threads; i++) {
		pthread_join(workers[i].thread, NULL);
		qsort(workers[i].ns, (size_t)chunks, sizeof(double), compare);
		if (workers[i].ns[0] > min)
			min = workers[i].ns[0];
		if (workers[i].ns[chunks / 2] > median)
			median = workers[i].ns[chunks / 2];
		free(workers[i].ns);
	}
	printf("%.1f %.1f\n", min, median);
	return 0;
}

/* By itself: nothing of its caller lives in what the child shares. */
__attribute__((noinline)) static pid_t start(char *program)
{
	char *argv[] = { program, NULL };
	pid_t pid = vfork();

	if (pid == 0) {
		execv(program, argv);
		_exit(127);
	}
	return pid;
}

static int spawn(int n, char *program)
{
	double *ns = calloc((size_t)n, sizeof(double));

	if (!ns)
		return 1;
	for (int i = 0; i < n; i++) {
		double start_ns = now_ns();
		pid_t pid = start(program);
		int status;

		if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0)
			return 1;
		ns[i] = now_ns() - start_ns;
	}
	qsort(ns, (size_t)n, sizeof(double), compare);
	printf("%.1f %.1f\n", ns[0], ns[n / 2]);
	free(ns);
	return 0;
}

int main(int argc, char **argv)
{
	if (argc == 4 && strcmp(argv[1], "calls") == 0)
		return calls(atoi(argv[2]), atoi(argv[3]));
	if (argc == 4 && strcmp(argv[1], "spawn") == 0 && atoi(argv[2]) > 0)
		return spawn(atoi(argv[2]), argv[3]);
	fprintf(stderr, "usage: %s calls THREADS CHUNKS | spawn N PROGRAM\n", argv[0]);
	return 2;
}
