/* SPDX-License-Identifier: BSD-2-Clause */
/* The command line, parsed and checked. Pure: no file is opened, nothing but argv and environ is
 * read. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "bpf/abi.h"

enum command {
	COMMAND_MONITOR,
	COMMAND_RESOLVE,
	COMMAND_CHECK,
};

enum row_unit {
	ROW_PROCESS, /* default */
	ROW_CONTAINER,
	ROW_THREAD,
};

enum output_format {
	OUTPUT_TEXT,
	OUTPUT_JSON,
};

#define COMMS_MAX 1024

struct string_list {
	const char **items; /* point into argv, or into option storage for split lists */
	size_t n;
};

struct options {
	enum command command;
	uint64_t interval_ns;
	uint64_t intervals;	  /* 0: until a signal */
	struct string_list comms; /* cut to 15 bytes; at most COMMS_MAX */
	struct string_list cgroups;
	struct string_list containers;
	struct string_list pods;
	struct string_list namespaces;
	int32_t *pids;
	size_t n_pids;
	struct string_list syscalls; /* one name each; known to src/syscalls.h */
	bool containers_only;
	enum row_unit by;
	uint32_t top; /* 0: all */
	enum output_format output;
	uint64_t in_flight_ns; /* 0: off */
	const char *listen;    /* ADDR:PORT, [ADDR]:PORT, :PORT, unix:/PATH; NULL: no listener */
	uint32_t metrics_syscalls;
	const char *host_root; /* NULL: by evidence */
	const char *node;
	const char *btf;
	unsigned verbose;	    /* how often it was given */
	struct string_list targets; /* of resolve */
	/* Owned storage behind the lists; see options_done(). */
	char **storage;
	size_t n_storage;
};

enum options_result {
	OPTIONS_RUN,
	OPTIONS_HELP, /* print options_help() on stdout, exit 0 */
	OPTIONS_VERSION,
	OPTIONS_ERROR, /* @ret_error says what and what to do, in one line; exit 2 */
};

/*
 * @node_default: the host name, for --node where $NODE_NAME is unset. @ret borrows from @argv, the
 * environment and @node_default; it is to be released with options_done() whatever the result.
 */
enum options_result options_parse(int argc, char **argv, const char *node_default,
				  struct options *ret, char *ret_error, size_t error_size);
void options_help(FILE *out);
void options_done(struct options *options);
