/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A known workload, in words: each argument is done once, from left to right.
 *
 *	getppid=N getpgrp=N    that call, N times
 *	badclose=N             close(-1), N times: errors
 *	write=N                one byte to /dev/null, N times
 *	strange=N              N calls of numbers that there are not, each another one
 *	names=N                N times a name of its own, and getppid
 *	sleep=MS               one clock_nanosleep
 *	name=TEXT hexname=HEX  renames the thread
 *	stdin                  waits until standard input ends or has a byte
 *	tick=MS                sleeps that long, for ever
 *	join=DIRECTORY         moves the process to that cgroup
 *	thread=N WORK… end     N threads at once do the work, and are joined
 *	fork=N WORK… end       N processes, one after the other, do the work and are reaped
 *
 * Static, so that it runs in any image, and so that it makes no calls of its own between these.
 */
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define THREADS_MAX 64
#define COMM_MAX    15

#define STRANGE_FIRST 100000

static void fail(const char *what)
{
	fprintf(stderr, "load: %s: %s\n", what, strerror(errno));
	exit(1);
}

static void do_getppid(void)
{
	syscall(SYS_getppid);
}

static void do_getpgrp(void)
{
	getpgrp();
}

static void do_badclose(void)
{
	syscall(SYS_close, -1);
}

static void do_write(void)
{
	static int fd = -1;

	if (fd < 0)
		fd = open("/dev/null", O_WRONLY | O_CLOEXEC);
	if (write(fd, "x", 1) != 1)
		fail("write");
}

static const struct {
	const char *name;
	void (*call)(void);
} calls[] = {
	{ "getppid", do_getppid },
	{ "getpgrp", do_getpgrp },
	{ "badclose", do_badclose },
	{ "write", do_write },
};

static void set_name(const char *name)
{
	if (prctl(PR_SET_NAME, name) < 0)
		fail("prctl");
}

static void call_strange(long n)
{
	while (n--)
		syscall(STRANGE_FIRST + n);
}

static void take_names(long n)
{
	char name[32];

	for (long i = 0; i < n; i++) {
		snprintf(name, sizeof(name), "name-%ld", i);
		set_name(name);
		do_getppid();
	}
}

static void set_hex_name(const char *hex)
{
	char name[COMM_MAX + 1] = { 0 };
	unsigned int byte;

	for (size_t i = 0; i < COMM_MAX && sscanf(hex, "%2x", &byte) == 1; i++, hex += 2)
		name[i] = (char)byte;
	set_name(name);
}

static void sleep_ms(long ms)
{
	struct timespec left = { ms / 1000, ms % 1000 * 1000000 };

	while (clock_nanosleep(CLOCK_MONOTONIC, 0, &left, &left) == EINTR)
		;
}

static void join_cgroup(const char *directory)
{
	char path[4096];
	int fd;

	snprintf(path, sizeof(path), "%s/cgroup.procs", directory);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0 || write(fd, "0", 1) != 1)
		fail(path);
	close(fd);
}

/* True if @word is @key followed by "="; the value is in @ret_value. */
static int has_key(const char *word, const char *key, const char **ret_value)
{
	size_t length = strlen(key);

	if (strncmp(word, key, length) != 0 || word[length] != '=')
		return 0;

	*ret_value = word + length + 1;
	return 1;
}

static char **work(char **words);

static void *thread_main(void *words)
{
	work(words);
	return NULL;
}

static void in_threads(long n, char **words)
{
	pthread_t threads[THREADS_MAX];

	if (n > THREADS_MAX)
		n = THREADS_MAX;
	for (long i = 0; i < n; i++) {
		errno = pthread_create(&threads[i], NULL, thread_main, words);
		if (errno)
			fail("pthread_create");
	}
	for (long i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
}

static void in_processes(long n, char **words)
{
	for (long i = 0; i < n; i++) {
		pid_t pid = fork();
		int status;

		if (pid < 0)
			fail("fork");
		if (pid == 0) {
			work(words);
			_exit(0);
		}
		if (waitpid(pid, &status, 0) < 0 || status)
			fail("waitpid");
	}
}

static char **skip_to_end(char **words)
{
	int depth = 1;

	for (; *words; words++) {
		if (strncmp(*words, "thread=", 7) == 0 || strncmp(*words, "fork=", 5) == 0)
			depth++;
		else if (strcmp(*words, "end") == 0 && --depth == 0)
			return words + 1;
	}
	return words;
}

static void one(const char *word)
{
	const char *value;

	for (size_t i = 0; i < sizeof(calls) / sizeof(*calls); i++) {
		if (!has_key(word, calls[i].name, &value))
			continue;
		for (long n = atol(value); n > 0; n--)
			calls[i].call();
		return;
	}

	if (has_key(word, "sleep", &value)) {
		sleep_ms(atol(value));
	} else if (has_key(word, "name", &value)) {
		set_name(value);
	} else if (has_key(word, "hexname", &value)) {
		set_hex_name(value);
	} else if (has_key(word, "strange", &value)) {
		call_strange(atol(value));
	} else if (has_key(word, "names", &value)) {
		take_names(atol(value));
	} else if (strcmp(word, "stdin") == 0) {
		char byte;

		if (read(STDIN_FILENO, &byte, 1) < 0)
			fail("stdin");
	} else if (has_key(word, "tick", &value)) {
		for (;;)
			sleep_ms(atol(value));
	} else if (has_key(word, "join", &value)) {
		join_cgroup(value);
	} else {
		errno = EINVAL;
		fail(word);
	}
}

/* Does the work up to its "end", and returns what follows. */
static char **work(char **words)
{
	const char *value;

	while (*words && strcmp(*words, "end") != 0) {
		char *word = *words++;

		if (has_key(word, "thread", &value)) {
			in_threads(atol(value), words);
			words = skip_to_end(words);
		} else if (has_key(word, "fork", &value)) {
			in_processes(atol(value), words);
			words = skip_to_end(words);
		} else {
			one(word);
		}
	}
	return words;
}

int main(int argc, char **argv)
{
	/* As PID 1 of a container it would otherwise not hear of a signal to end. */
	signal(SIGTERM, _exit);
	work(argv + 1);
	return argc > 1 ? 0 : 2;
}
