/* SPDX-License-Identifier: BSD-2-Clause */
#include "json_text.h"

#include <jansson.h>
#include <stdbool.h>

/*
 * Whether @text has more than @max values, if it is JSON: but for the outermost, each stands behind
 * a comma or is the first in a bracket.
 */
static bool has_more(const char *text, size_t len, size_t max)
{
	bool in_string = false;
	size_t n = 0;

	for (size_t i = 0; i < len && n <= max; i++) {
		if (text[i] == '"')
			in_string = !in_string;
		else if (in_string)
			i += text[i] == '\\'; /* and what it stands in front of */
		else
			n += text[i] == ',' || text[i] == '[' || text[i] == '{';
	}
	return n > max;
}

/*
 * Without ALLOW_NUL one \u0000 in any string loses the file; without INT_AS_REAL an unlimited
 * rlimit (18446744073709551615) in an OCI config does.
 */
json_t *json_text_load(const char *text, size_t len, size_t max_values)
{
	if (has_more(text, len, max_values))
		return NULL;
	return json_loadb(text, len, JSON_ALLOW_NUL | JSON_DECODE_INT_AS_REAL, NULL);
}
