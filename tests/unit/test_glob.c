/* SPDX-License-Identifier: BSD-2-Clause */
#include "src/glob.h"

#include <fnmatch.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static const struct {
	const char *pattern;
	const char *text;
	bool matches;
} rows[] = {
	{ "", "", true },
	{ "", "a", false },
	{ "a", "", false },
	{ "*", "", true },
	{ "*", "a/b", true },
	{ "**", "", true },
	{ "?", "", false },
	{ "?", "/", true },
	{ "abc", "abc", true },
	{ "abc", "ab", false },
	{ "abc", "abcd", false },
	{ "a*", "abc", true },
	{ "*c", "abc", true },
	{ "*b", "abc", false },
	{ "a*c", "ac", true },
	{ "a*b*c", "a1b2b3c", true },
	{ "a*b*c", "a1c2b3", false },
	{ "*ab", "aab", true },
	{ "*aab*", "aaaaab", true },
	{ "/docker/*", "/docker/5aaf/init.scope", true },
	{ "/docker/*", "/docker", false },
	{ "*docker-*.scope", "/system.slice/docker-5aaf.scope", true },
	{ "shop-*-7d9f", "shop-web-7d9f", true },
	{ "[abc]", "b", true },
	{ "[abc]", "d", false },
	{ "[a-c]x", "bx", true },
	{ "[a-c]x", "dx", false },
	{ "[!a-c]", "d", true },
	{ "[^a-c]", "b", false },
	{ "[]a]", "]", true },
	{ "[!]a]", "]", false },
	{ "[a-]", "-", true },
	{ "[-a]", "-", true },
	{ "*[0-9]", "web-1", true },
	{ "*[0-9]", "web-x", false },
	{ "[", "[", true },
	{ "[", "", false },
	{ "[a", "[a", true },
	{ "[!", "[!", true },
	{ "[]", "[]", true },
	{ "[*]", "*", true },
	{ "[*]", "a", false },
	{ "[[]", "[", true },
	{ "\\*", "\\x", true },
	{ "\\*", "*", false },
	{ "a\\", "a\\", true },
	{ "[\\]", "\\", true },
	{ "*qemu\\x2d1*", "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope", true },
	{ "?\?", "\xc3\xa4", true },
	{ "[\xa0-\xff]", "\xff", true },
	{ "A", "a", false },
};

static void test_rows(void **state)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		if (glob_match(rows[i].pattern, rows[i].text) != rows[i].matches)
			fail_msg("\"%s\" against \"%s\" must %s", rows[i].pattern, rows[i].text,
				 rows[i].matches ? "match" : "not match");
	}
}

/* Every string up to @size characters of @alphabet, in turn. */
static bool next_string(char *s, size_t size, const char *alphabet)
{
	for (size_t i = 0; i < size; i++) {
		const char *at;

		if (s[i] == '\0') {
			s[i] = alphabet[0];
			s[i + 1] = '\0';
			return true;
		}
		at = strchr(alphabet, s[i]);
		if (at[1] != '\0') {
			s[i] = at[1];
			return true;
		}
		s[i] = alphabet[0];
	}
	return false;
}

/* Short patterns are safe for fnmatch, and it must agree on each of them. */
static void test_agrees_with_fnmatch(void **state)
{
	char pattern[6 + 1] = "";

	do {
		char text[4 + 1] = "";

		do {
			bool expected = fnmatch(pattern, text, FNM_NOESCAPE) == 0;

			if (glob_match(pattern, text) != expected)
				fail_msg("\"%s\" against \"%s\" must %s", pattern, text,
					 expected ? "match" : "not match");
		} while (next_string(text, 4, "ab"));
	} while (next_string(pattern, 6, "ab*?"));
}

/* Exponential matchers do not come back from this. */
static void test_many_stars(void **state)
{
	char pattern[401], text[4001];

	for (size_t i = 0; i < 200; i++)
		memcpy(pattern + 2 * i, "*a", 2);
	pattern[399] = 'b';
	pattern[400] = '\0';
	memset(text, 'a', 4000);
	text[4000] = '\0';
	assert_false(glob_match(pattern, text));
	text[3999] = 'b';
	assert_true(glob_match(pattern, text));
}

static void test_magic(void **state)
{
	assert_false(glob_has_magic(""));
	assert_false(glob_has_magic("/docker/5aaf]"));
	assert_true(glob_has_magic("*"));
	assert_true(glob_has_magic("a?"));
	assert_true(glob_has_magic("[a]"));
	assert_true(glob_has_magic("[]]"));
	assert_false(glob_has_magic("["));
	assert_false(glob_has_magic("/we[ird"));
	assert_false(glob_has_magic("[]"));
	assert_false(glob_has_magic("[!]"));
	assert_true(glob_has_magic("[a?"));
	assert_false(glob_has_magic("/machine.slice/machine-qemu\\x2d1.scope"));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_rows),
		cmocka_unit_test(test_agrees_with_fnmatch),
		cmocka_unit_test(test_many_stars),
		cmocka_unit_test(test_magic),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
