/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Each fuzz_<name>.c is one entry for libFuzzer, which looks for inputs that break a promise.
 * Without libFuzzer replay.c feeds it the inputs that are known.
 */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* Unlike assert(), it is there in every build. */
#define PROMISE(what)                                                                              \
	do {                                                                                       \
		if (!(what)) {                                                                     \
			fprintf(stderr, "%s:%d: broken: %s\n", __FILE__, __LINE__, #what);         \
			abort();                                                                   \
		}                                                                                  \
	} while (0)

/* A string of exactly its length on the heap, so that a sanitizer sees one byte too far. */
static inline char *fuzz_string(const uint8_t *data, size_t size)
{
	char *ret = malloc(size + 1);

	PROMISE(ret);
	memcpy(ret, data, size);
	ret[size] = '\0';
	return ret;
}

/* For entries with two arguments: the first ends at the first NUL, the second is the rest. */
static inline char *fuzz_first(const uint8_t **data, size_t *size)
{
	size_t n = strnlen((const char *)*data, *size);
	char *ret = fuzz_string(*data, n);

	*data += n;
	*size -= n;
	if (*size > 0) {
		(*data)++;
		(*size)--;
	}
	return ret;
}
