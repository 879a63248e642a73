/* SPDX-License-Identifier: BSD-2-Clause */
#include "line.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "clock.h"

#define DIGITS_MAX 20

static const char pairs[] = "00010203040506070809101112131415161718192021222324"
			    "25262728293031323334353637383940414243444546474849"
			    "50515253545556575859606162636465666768697071727374"
			    "75767778798081828384858687888990919293949596979899";

/* Returns the first of the digits, which end before @end. */
static char *put_digits(uint64_t number, char *end)
{
	for (; number >= 100; number /= 100)
		memcpy(end -= 2, &pairs[number % 100 * 2], 2);
	if (number >= 10)
		memcpy(end -= 2, &pairs[number * 2], 2);
	else
		*--end = (char)('0' + number);
	return end;
}

void line_add_uint(struct line *line, uint64_t number)
{
	char digits[DIGITS_MAX], *end = digits + sizeof(digits), *first = put_digits(number, end);

	line_add_bytes(line, first, (size_t)(end - first));
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
	char text[DIGITS_MAX + 4], *end = text + sizeof(text), *first;

	memcpy(end - 2, &pairs[rest % 100 * 2], 2);
	end[-3] = (char)('0' + rest / 100);
	end[-4] = '.';
	first = put_digits(thousandths / 1000, end - 4);
	line_add_bytes(line, first, (size_t)(end - first));
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
	time_t seconds = (time_t)(realtime_ns / NSEC_PER_SEC);
	char text[64];
	struct tm tm;
	int n;

	gmtime_r(&seconds, &tm);
	n = snprintf(text, sizeof(text), "%04d-%02d-%02dT%02d:%02d:%02d.%03uZ", tm.tm_year + 1900,
		     tm.tm_mon + 1, tm.tm_mday, tm.tm_hour, tm.tm_min, tm.tm_sec,
		     (unsigned)(realtime_ns / NSEC_PER_MSEC % 1000));
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
	if (fwrite_unlocked(line->data, 1, n, out) != n)
		return errno ? -errno : -EIO;
	return 0;
}
