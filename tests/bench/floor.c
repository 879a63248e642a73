/* SPDX-License-Identifier: BSD-2-Clause */
/* Holds the floor's programs attached until a signal: bench_floor empty|timestamps. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "floor.skel.h"

int main(int argc, char **argv)
{
	struct floor_bpf *skel;

	if (argc != 2 || (strcmp(argv[1], "empty") != 0 && strcmp(argv[1], "timestamps") != 0)) {
		fprintf(stderr, "usage: %s empty|timestamps\n", argv[0]);
		return 2;
	}
	skel = floor_bpf__open();
	if (!skel)
		return 1;
	skel->rodata->timestamps = strcmp(argv[1], "timestamps") == 0;
	if (floor_bpf__load(skel) < 0 || floor_bpf__attach(skel) < 0)
		return 1;
	puts("attached");
	fflush(stdout);
	pause();
	return 0;
}
