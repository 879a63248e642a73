/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The outputs: each reads a report and writes it. Returns 0, or -errno of the writing (-EPIPE
 * when the reader has gone); -ENOMEM.
 *
 * Everything is flushed on return. A line reaches the FILE in one piece; JSON lines are flushed one
 * by one, so that each is one write(2) if the FILE is fully buffered with at least JSON_LINE_MAX
 * bytes (setvbuf() with a buffer, which is the caller's).
 */
#pragma once

#include <stdio.h>

#include "options.h"
#include "report.h"

/* Longest JSON line with its newline: Docker and containerd cut log lines at 16 KiB. */
#define JSON_LINE_MAX 16384

/*
 * Of one row, at up to 40 bytes each; the rest is summed up as "other". Whoever traces a process
 * can let it return any of the 4095 that there are.
 */
#define OUTPUT_ERRNOS_MAX 64

typedef int (*output_fn)(const struct report *report, const struct options *options, FILE *out);

int output_text(const struct report *report, const struct options *options, FILE *out);
int output_json(const struct report *report, const struct options *options, FILE *out);

/* One JSON line for `cgscope resolve`. @tried may be NULL. */
struct identity;
struct resolve_trace;
int output_identity(const char *target, const struct identity *identity,
		    const struct resolve_trace *tried, FILE *out);
