/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A line of output as it is put together: in one buffer, so that it leaves in one write, and
 * without printf, which costs most of the time of large outputs and asks the locale for the point.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

struct line {
	char *data; /* not terminated */
	size_t size;
	size_t n;
	bool is_full; /* something did not fit and was left out whole */
};

static inline void line_add_bytes(struct line *line, const char *bytes, size_t n)
{
	if (n > line->size - line->n) {
		line->is_full = true;
		return;
	}
	memcpy(line->data + line->n, bytes, n);
	line->n += n;
}

/* Here, so that the length of a constant is one. */
static inline void line_add(struct line *line, const char *text)
{
	line_add_bytes(line, text, strlen(text));
}

void line_add_uint(struct line *line, uint64_t number);
void line_add_int(struct line *line, int64_t number);

/* Thousandths, as decimals: 1234 is "1.234". */
void line_add_thousandths(struct line *line, uint64_t thousandths);

/* Milliseconds, and seconds, with three decimals, rounded to the nearest. */
void line_add_ms(struct line *line, uint64_t ns);
void line_add_s(struct line *line, uint64_t ns);

/* "2026-11-22T13:00:10.000Z": UTC; the milliseconds are cut. */
void line_add_time(struct line *line, uint64_t realtime_ns);

/* Writes it to @out as one piece and starts anew. Returns 0; -errno; -EMSGSIZE if it was full. */
int line_write(struct line *line, FILE *out);
