/* SPDX-License-Identifier: BSD-2-Clause */
/* A part of a text that somebody else keeps; it ends by its length, not by a NUL. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <string.h>

struct span {
	const char *s;
	size_t n;
};

static inline bool span_equals(struct span span, const char *text)
{
	return span.n == strlen(text) && memcmp(span.s, text, span.n) == 0;
}

static inline bool span_starts_with(struct span span, const char *text)
{
	size_t n = strlen(text);

	return span.n >= n && memcmp(span.s, text, n) == 0;
}

/* A suffix is only one if something stands before it. */
static inline bool span_ends_with(struct span span, const char *text)
{
	size_t n = strlen(text);

	return span.n > n && memcmp(span.s + span.n - n, text, n) == 0;
}

static inline struct span span_without_suffix(struct span span, const char *text)
{
	if (span_ends_with(span, text))
		span.n -= strlen(text);
	return span;
}

static inline struct span span_without_prefix(struct span span, const char *text)
{
	size_t n = strlen(text);

	return span_starts_with(span, text) ? (struct span){ span.s + n, span.n - n } : span;
}

/* Whether @span is @text, or ends in it behind a dash. */
static inline bool span_tail_is(struct span span, const char *text)
{
	size_t n = strlen(text);

	if (!span_ends_with(span, text))
		return span_equals(span, text);
	return span.s[span.n - n - 1] == '-';
}

static inline bool char_is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static inline bool span_all_digits(struct span span)
{
	for (size_t i = 0; i < span.n; i++)
		if (!char_is_digit(span.s[i]))
			return false;
	return span.n > 0;
}
