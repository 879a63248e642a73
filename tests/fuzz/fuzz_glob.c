/* SPDX-License-Identifier: BSD-2-Clause */
#include <fnmatch.h>
#include <stdbool.h>

#include "fuzz.h"
#include "src/glob.h"

/* fnmatch agrees, but takes its time over stars, and knows more kinds of brackets. */
static bool is_comparable(const char *pattern)
{
	size_t n_stars = 0;

	for (const char *s = pattern; *s != '\0'; s++) {
		if (*s == '[')
			return false;
		n_stars += *s == '*';
	}
	return n_stars <= 3;
}

/* A pattern, a NUL and a text. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *pattern = fuzz_first(&data, &size);
	char *text = fuzz_string(data, size);
	bool matches = glob_match(pattern, text);

	if (!glob_has_magic(pattern))
		PROMISE(matches == (strcmp(pattern, text) == 0));
	if (is_comparable(pattern))
		PROMISE(matches == (fnmatch(pattern, text, FNM_NOESCAPE) == 0));
	free(text);
	free(pattern);
	return 0;
}
