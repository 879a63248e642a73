/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * fnmatch(3) tries every split at every "*", so that a pattern with twenty of them takes years on
 * a long cgroup path. Of all stars only the last one met ever has to give way: going back to an
 * earlier one could match nothing that the last one cannot. That bounds the work by the product
 * of the two lengths.
 */
#include "glob.h"

#include <stddef.h>
#include <string.h>

/* The bracket expression at @pattern ("["), or NULL if it has no end: then "[" is a character. */
static const char *bracket_end(const char *pattern)
{
	const char *s = pattern + 1;

	if (*s == '!' || *s == '^')
		s++;
	if (*s == ']') /* the first character in a set is never its end */
		s++;
	return strchr(s, ']');
}

static bool bracket_matches(const char *s, const char *end, char c)
{
	unsigned char byte = (unsigned char)c;
	bool negated, found = false;

	s++;
	negated = *s == '!' || *s == '^';
	if (negated)
		s++;
	while (s < end) {
		unsigned char low = (unsigned char)*s++, high = low;

		if (*s == '-' && s + 1 < end) {
			high = (unsigned char)s[1];
			s += 2;
		}
		if (low <= byte && byte <= high)
			found = true;
	}
	return found != negated;
}

/* Whether what stands at @pattern, which is not a star, matches @c; @ret is what is behind it. */
static bool match_one(const char *pattern, char c, const char **ret)
{
	const char *end;

	if (*pattern == '\0')
		return false;

	end = *pattern == '[' ? bracket_end(pattern) : NULL;
	*ret = end ? end + 1 : pattern + 1;
	if (end)
		return bracket_matches(pattern, end, c);
	return *pattern == '?' || *pattern == c;
}

bool glob_match(const char *pattern, const char *text)
{
	const char *star = NULL, *resume = NULL;

	while (*text != '\0') {
		if (*pattern == '*') {
			star = ++pattern;
			resume = text;
		} else if (match_one(pattern, *text, &pattern)) {
			text++;
		} else if (star) {
			pattern = star;
			text = ++resume;
		} else {
			return false;
		}
	}
	return pattern[strspn(pattern, "*")] == '\0';
}

bool glob_has_magic(const char *pattern)
{
	if (strpbrk(pattern, "*?"))
		return true;
	for (const char *s = strchr(pattern, '['); s; s = strchr(s + 1, '[')) {
		if (bracket_end(s))
			return true;
	}
	return false;
}
