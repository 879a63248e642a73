/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>
#include <jansson.h>

#include "src/text.h"

#define FFFD "\xef\xbf\xbd"

struct text_case {
	const char *bytes;
	const char *utf8;
	const char *word;
};

static const struct text_case cases[] = {
	{ "nginx", "nginx", "nginx" },
	{ "", "", "-" },
	{ "-", "-", "\\x2d" },
	{ "--", "--", "--" },
	{ "a b", "a b", "a\\x20b" },
	{ "a=b", "a=b", "a=b" },
	{ "a\\x20b", "a\\x20b", "a\\\\x20b" },
	{ "\"'", "\"'", "\"'" },
	{ "a\nb\tc\r", "a\nb\tc\r", "a\\x0ab\\x09c\\x0d" },
	{ "\x1b[2J", "\x1b[2J", "\\x1b[2J" },
	{ "\x7f", FFFD, "\\x7f" },
	/* two, three and four bytes */
	{ "\xc3\xa9", "\xc3\xa9", "\xc3\xa9" },
	{ "\xe2\x82\xac", "\xe2\x82\xac", "\xe2\x82\xac" },
	{ "\xf0\x9f\x90\x99", "\xf0\x9f\x90\x99", "\xf0\x9f\x90\x99" },
	{ "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf", "\xf4\x8f\xbf\xbf" },
	/* C1 as a character, and as a bare byte */
	{ "\xc2\x9b[31m", FFFD "[31m", "\\xc2\\x9b[31m" },
	{ "\x9b[31m", FFFD "[31m", FFFD "[31m" },
	/* bidi: RLO, isolate, mark, Arabic letter mark */
	{ "a\xe2\x80\xaez", "a" FFFD "z", "a\\xe2\\x80\\xaez" },
	{ "\xe2\x81\xa7", FFFD, "\\xe2\\x81\\xa7" },
	{ "\xe2\x80\x8f", FFFD, "\\xe2\\x80\\x8f" },
	{ "\xd8\x9c", FFFD, "\\xd8\\x9c" },
	/* separators of lines and paragraphs */
	{ "\xe2\x80\xa8", FFFD, "\\xe2\\x80\\xa8" },
	{ "a\xe2\x80\xa9z", "a" FFFD "z", "a\\xe2\\x80\\xa9z" },
	/* blanks and the invisible: NBSP, ideographic space, ZWSP, BOM, a tag */
	{ "\xc2\xa0", "\xc2\xa0", "\\xc2\\xa0" },
	{ "\xe3\x80\x80", "\xe3\x80\x80", "\\xe3\\x80\\x80" },
	{ "\xe2\x80\x8b", "\xe2\x80\x8b", "\\xe2\\x80\\x8b" },
	{ "\xef\xbb\xbf", "\xef\xbb\xbf", "\\xef\\xbb\\xbf" },
	{ "\xf3\xa0\x81\x81", "\xf3\xa0\x81\x81", "\\xf3\\xa0\\x81\\x81" },
	/* cut, overlong, surrogate, too large, lone continuation, never a lead */
	{ "a\xe2\x82", "a" FFFD FFFD, "a" FFFD FFFD },
	{ "\xc0\xaf", FFFD FFFD, FFFD FFFD },
	{ "\xe0\x80\xaf", FFFD FFFD FFFD, FFFD FFFD FFFD },
	{ "\xf0\x8f\xbf\xbf", FFFD FFFD FFFD FFFD, FFFD FFFD FFFD FFFD },
	{ "\xed\xa0\x80", FFFD FFFD FFFD, FFFD FFFD FFFD },
	{ "\xf4\x90\x80\x80", FFFD FFFD FFFD FFFD, FFFD FFFD FFFD FFFD },
	{ "\x80", FFFD, FFFD },
	{ "\xff\xfe", FFFD FFFD, FFFD FFFD },
	{ "\xe2z", FFFD "z", FFFD "z" },
};

static void test_table(void **state)
{
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char out[64];

		assert_int_equal(text_to_utf8(cases[i].bytes, SIZE_MAX, out, sizeof(out)),
				 strlen(cases[i].utf8));
		assert_string_equal(out, cases[i].utf8);
		assert_int_equal(text_to_word(cases[i].bytes, SIZE_MAX, out, sizeof(out)),
				 strlen(cases[i].word));
		assert_string_equal(out, cases[i].word);
	}
}

static void test_bounds_of_the_input(void **state)
{
	/* Not terminated, so that a read past the end is seen by the address sanitizer. */
	char *bytes = malloc(4);
	char out[16];

	assert_non_null(bytes);
	memcpy(bytes, "ab\xe2\x82", 4);
	assert_int_equal(text_to_utf8(bytes, 4, out, sizeof(out)), 8);
	assert_string_equal(out, "ab" FFFD FFFD);
	assert_int_equal(text_to_word(bytes, 2, out, sizeof(out)), 2);
	assert_string_equal(out, "ab");
	assert_int_equal(text_to_word(bytes, 0, out, sizeof(out)), 1);
	assert_string_equal(out, "-");
	free(bytes);

	assert_int_equal(text_to_utf8("a\0b", 3, out, sizeof(out)), 1);
	assert_int_equal(text_to_utf8(NULL, 5, out, sizeof(out)), 0);
	assert_string_equal(out, "");
	assert_int_equal(text_to_word(NULL, 5, out, sizeof(out)), 1);
	assert_string_equal(out, "-");
}

static void test_cut_at_a_character(void **state)
{
	char out[8] = "unused!";

	assert_int_equal(text_to_utf8("ab\xe2\x82\xac", SIZE_MAX, out, 5), 2);
	assert_string_equal(out, "ab");
	assert_int_equal(text_to_utf8("ab\xe2\x82\xac", SIZE_MAX, out, 6), 5);
	assert_int_equal(text_to_word("ab c", SIZE_MAX, out, 6), 2);
	assert_string_equal(out, "ab");
	assert_int_equal(text_to_word("a\\b", SIZE_MAX, out, 3), 1);
	assert_int_equal(text_to_utf8("abc", SIZE_MAX, out, 1), 0);
	assert_string_equal(out, "");

	memcpy(out, "unused!", 8);
	assert_int_equal(text_to_utf8("abc", SIZE_MAX, out, 0), 0);
	assert_int_equal(text_to_word("", SIZE_MAX, out, 0), 0);
	assert_string_equal(out, "unused!");
}

static void test_random_bytes(void **state)
{
	unsigned seed = 1;

	for (int round = 0; round < 20000; round++) {
		char bytes[15], out[TEXT_WORD_SIZE(sizeof(bytes))];
		json_t *json;

		for (size_t i = 0; i < sizeof(bytes); i++)
			bytes[i] = (char)(rand_r(&seed) >> 4);
		text_to_utf8(bytes, sizeof(bytes), out, sizeof(out));
		json = json_string(out);
		assert_non_null(json);
		json_decref(json);

		text_to_word(bytes, sizeof(bytes), out, sizeof(out));
		json = json_string(out);
		assert_non_null(json);
		json_decref(json);
		assert_true(out[0] != '\0');
		for (const char *c = out; *c; c++)
			assert_true((unsigned char)*c > 0x20 && *c != 0x7f);
	}
}

static void test_shown(void **state)
{
	char long_text[2 * TEXT_SHOWN_SIZE];

	assert_string_equal(text_shown("/a b\x1b\xff"), "/a\\x20b\\x1b\xef\xbf\xbd");
	assert_string_equal(text_shown("x"), "x");
	assert_string_equal(text_shown(""), "-");
	memset(long_text, 'x', sizeof(long_text) - 1);
	long_text[sizeof(long_text) - 1] = '\0';
	assert_int_equal(strlen(text_shown(long_text)), TEXT_SHOWN_SIZE - 1);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_table),
		cmocka_unit_test(test_bounds_of_the_input),
		cmocka_unit_test(test_cut_at_a_character),
		cmocka_unit_test(test_random_bytes),
		cmocka_unit_test(test_shown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
