/* SPDX-License-Identifier: BSD-2-Clause */
/* What every Prometheus client says about its own process. */
#include <dirent.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "cleanup.h"
#include "clock.h"
#include "metrics.h"

static uint64_t count_fds(void)
{
	_cleanup_(closedirp) DIR *dir = opendir("/proc/self/fd");
	uint64_t n = 0;

	while (dir && readdir(dir))
		n++;
	return n > 3 ? n - 3 : 0; /* without ".", ".." and this directory's own */
}

/* When the process was started: field 22 of /proc/self/stat, the 19th after the state. */
static uint64_t start_ticks(void)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/stat", "re");
	unsigned long long ticks;
	char text[1024] = "";
	const char *behind;

	if (!file || !fgets(text, sizeof(text), file))
		return 0;
	behind = strrchr(text, ')');
	if (!behind || sscanf(behind,
			      ") %*c %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s %*s "
			      "%*s %*s %*s %*s %llu",
			      &ticks) != 1)
		return 0;
	return ticks;
}

static void read_memory(struct metrics_process *ret)
{
	_cleanup_(fclosep) FILE *file = fopen("/proc/self/statm", "re");
	uint64_t page_size = (uint64_t)sysconf(_SC_PAGESIZE);
	unsigned long long size, resident;

	if (!file || fscanf(file, "%llu %llu", &size, &resident) != 2)
		return;
	ret->virtual_bytes = size * page_size;
	ret->resident_bytes = resident * page_size;
}

static uint64_t timeval_ns(const struct timeval *time)
{
	return (uint64_t)time->tv_sec * NSEC_PER_SEC + (uint64_t)time->tv_usec * 1000;
}

void metrics_read_process(struct metrics_process *ret)
{
	uint64_t boot_ms = (clock_ns(CLOCK_REALTIME) - clock_ns(CLOCK_BOOTTIME)) / 1000000;
	struct rlimit limit = { 0 };
	struct rusage usage;

	*ret = (struct metrics_process){ .open_fds = count_fds() };
	if (getrusage(RUSAGE_SELF, &usage) == 0)
		ret->cpu_ns = timeval_ns(&usage.ru_utime) + timeval_ns(&usage.ru_stime);
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
		ret->max_fds = limit.rlim_cur;
	ret->start_ms = boot_ms + start_ticks() * 1000 / (uint64_t)sysconf(_SC_CLK_TCK);
	read_memory(ret);
}
