/* SPDX-License-Identifier: BSD-2-Clause */
#include "line.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#define DIGITS_MAX 20

void line_add_bytes(struct line *line, const char *bytes, size_t n)
{
	if (n > line->size - line->n) {
		line->is_full = true;
		return;
	}
	memcpy(line->data + line->n, bytes, n);
	line->n += n;
}

void line_add(struct line *line, const char *text)
{
	line_add_bytes(line, text, strlen(text));
}

void line_add_uint(struct line *line, uint64_t number)
{
	char digits[DIGITS_MAX];
	size_t first = DIGITS_MAX;

	do {
		digits[--first] = (char)('0' + number % 10);
		number /= 10;
	} while (number);
	line_add_bytes(line, digits + first, DIGITS_MAX - first);
}

void line_add_int(struct line *line, int64_t number)
{
	if (number >= 0) {
		line_add_uint(line, (uint64_t)number);
		return;
	}
	line_add_bytes(line, "-", 1);
	line_add_uint(line, -(uint64_t)number);
}

void line_add_thousandths(struct line *line, uint64_t thousandths)
{
	unsigned rest = (unsigned)(thousandths % 1000);
	char decimals[4] = {
		'.',
		(char)('0' + rest / 100),
		(char)('0' + rest / 10 % 10),
		(char)('0' + rest % 10),
	};

	line_add_uint(line, thousandths / 1000);
	line_add_bytes(line, decimals, sizeof(decimals));
}

static uint64_t divide_rounded(uint64_t number, uint64_t by)
{
	return number / by + (number % by >= by / 2);
}

void line_add_ms(struct line *line, uint64_t ns)
{
	line_add_thousandths(line, divide_rounded(ns, 1000));
}

void line_add_s(struct line *line, uint64_t ns)
{
	line_add_thousandths(line, divide_rounded(ns, 1000000));
}

void line_add_time(struct line *line, uint64_t realtime_ns)
{
	time_t seconds = (time_t)(realtime_ns / 1000000000);
	char text[64];
	struct tm tm;
	int n;

	gmtime_r(&seconds, &tm);
	n = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900,
		     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		     (unsigned)(realtime_ns / 1000000 % 1000));
	line_add_bytes(line, text, (size_t)n);
}

int line_write(struct line *line, FILE *out)
{
	size_t n = line->n;

	line->n = 0;
	if (line->is_full) {
		line->is_full = false;
		return -EMSGSIZE;
	}
	errno = 0;
	if (fwrite(line->data, 1, n, out) != n)
		return errno ? -errno : -EIO;
	return 0;
}
