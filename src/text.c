/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Names of processes, cgroups and containers are bytes that somebody inside a container chose: to
 * break a JSON line, to move the cursor of a terminal, or to look like another name. Here they
 * become characters, one at a time.
 */
#include "src/text.h"

#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define REPLACEMENT "\xef\xbf\xbd" /* U+FFFD */

struct code_range {
	uint32_t first;
	uint32_t last;
};

/* DEL, C1, separators of lines, and what changes the direction of the text around it. */
static const struct code_range unsafe_ranges[] = {
	{ 0x7f, 0x9f },	    { 0x061c, 0x061c }, { 0x200e, 0x200f },
	{ 0x2028, 0x202e }, { 0x2066, 0x2069 },
};

/* What in a word would end it, or not be seen in it. */
static const struct code_range unseen_ranges[] = {
	{ 0x00, 0x20 },	    { 0xa0, 0xa0 },	{ 0xad, 0xad },	      { 0x1680, 0x1680 },
	{ 0x180e, 0x180e }, { 0x2000, 0x200f }, { 0x2028, 0x202f },   { 0x205f, 0x206f },
	{ 0x3000, 0x3000 }, { 0xfeff, 0xfeff }, { 0xe0000, 0xe007f },
};

static bool in_ranges(uint32_t code, const struct code_range *ranges, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		if (code >= ranges[i].first && code <= ranges[i].last)
			return true;
	}
	return false;
}

static bool is_unsafe(uint32_t code)
{
	return code >= 0x7f &&
	       in_ranges(code, unsafe_ranges, sizeof(unsafe_ranges) / sizeof(unsafe_ranges[0]));
}

static bool is_unseen(uint32_t code)
{
	return in_ranges(code, unseen_ranges, sizeof(unseen_ranges) / sizeof(unseen_ranges[0]));
}

/*
 * Decodes the character at @s, of which @n > 0 bytes are there. Returns its length, or 0 if it is
 * none: cut, overlong, a surrogate or above U+10FFFF.
 */
static size_t decode(const unsigned char *s, size_t n, uint32_t *ret_code)
{
	static const uint32_t smallest[] = { 0, 0, 0x80, 0x800, 0x10000 };
	uint32_t code;
	size_t length;

	if (s[0] < 0x80) {
		*ret_code = s[0];
		return 1;
	}

	if (s[0] >= 0xc2 && s[0] <= 0xdf)
		length = 2;
	else if (s[0] >= 0xe0 && s[0] <= 0xef)
		length = 3;
	else if (s[0] >= 0xf0 && s[0] <= 0xf4)
		length = 4;
	else
		return 0;

	if (length > n)
		return 0;

	code = s[0] & (0x7fU >> length);
	for (size_t i = 1; i < length; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return 0;
		code = code << 6 | (s[i] & 0x3f);
	}
	if (code < smallest[length] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff))
		return 0;

	*ret_code = code;
	return length;
}

/* Writes \xNN for each of the @n bytes, at most 4 of them, and returns the length. */
static size_t escape(const unsigned char *s, size_t n, char *ret)
{
	static const char digits[] = "0123456789abcdef";

	for (size_t i = 0; i < n; i++) {
		*ret++ = '\\';
		*ret++ = 'x';
		*ret++ = digits[s[i] >> 4];
		*ret++ = digits[s[i] & 15];
	}
	return 4 * n;
}

/*
 * How the character at @s is written: up to 16 bytes to @ret, their number to @ret_n. Returns how
 * many bytes were read.
 */
static size_t convert(const unsigned char *s, size_t n, bool word, char *ret, size_t *ret_n)
{
	uint32_t code;
	size_t length;

	length = decode(s, n, &code);
	if (length == 0 || (!word && is_unsafe(code))) {
		memcpy(ret, REPLACEMENT, 3);
		*ret_n = 3;
	} else if (word && (is_unsafe(code) || is_unseen(code))) {
		*ret_n = escape(s, length, ret);
	} else if (word && code == '\\') {
		memcpy(ret, "\\\\", 2);
		*ret_n = 2;
	} else {
		memcpy(ret, s, length);
		*ret_n = length;
	}
	return length == 0 ? 1 : length;
}

/* Nearly all there is: ASCII that is written as it stands. */
static bool is_plain(unsigned char c, bool word)
{
	return word ? c > ' ' && c < 0x7f && c != '\\' : c < 0x7f;
}

static size_t text_copy(const char *bytes, size_t n, bool word, char *ret, size_t size)
{
	const unsigned char *s = (const unsigned char *)bytes;
	size_t used = 0;

	if (size == 0)
		return 0;

	while (n > 0) {
		char piece[16];
		size_t n_read, n_piece;

		if (is_plain(*s, word)) {
			if (used == size - 1)
				break;
			ret[used++] = (char)*s++;
			n--;
			continue;
		}
		n_read = convert(s, n, word, piece, &n_piece);
		if (n_piece > size - 1 - used)
			break;
		memcpy(ret + used, piece, n_piece);
		used += n_piece;
		s += n_read;
		n -= n_read;
	}

	ret[used] = '\0';
	return used;
}

size_t text_to_utf8(const char *bytes, size_t n, char *ret, size_t size)
{
	return text_copy(bytes, bytes ? strnlen(bytes, n) : 0, false, ret, size);
}

size_t text_to_word(const char *bytes, size_t n, char *ret, size_t size)
{
	n = bytes ? strnlen(bytes, n) : 0;
	if (n == 0)
		return text_copy("-", 1, false, ret, size);
	if (n == 1 && bytes[0] == '-')
		return text_copy("\\x2d", 4, false, ret, size);
	return text_copy(bytes, n, true, ret, size);
}

const char *text_show(const char *bytes, char ret[static TEXT_SHOWN_SIZE])
{
	text_to_word(bytes, SIZE_MAX, ret, TEXT_SHOWN_SIZE);
	return ret;
}
