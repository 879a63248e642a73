/* SPDX-License-Identifier: BSD-2-Clause */
/* Bytes that strangers chose, made fit for a line of text or JSON. */
#pragma once

#include <stddef.h>

/* Room for any comm or word of @n bytes: an escape takes four times a byte, U+FFFD three. */
#define TEXT_WORD_SIZE(n) (4 * (n) + 1)

/*
 * Copies @bytes (up to NUL or @n; NULL is empty) as valid UTF-8, each invalid byte as U+FFFD, cut
 * at a character if it does not fit. For JSON: control characters stay, the encoder escapes them;
 * DEL, C1, line separators and bidi controls become U+FFFD, since an encoder writes them as they
 * are. Returns the length.
 */
size_t text_to_utf8(const char *bytes, size_t n, char *ret, size_t size);

/*
 * As above, and fit to stand as one word in a line of text: controls, blanks (ASCII and Unicode),
 * DEL, C1, line separators, bidi controls and invisible characters, '=' left alone, are written
 * \xNN per byte; a backslash is doubled. An empty word is "-"; the word "-" itself is \x2d.
 */
size_t text_to_word(const char *bytes, size_t n, char *ret, size_t size);

/*
 * The same for a message, up to where it has to be cut: what a user wrote, or somebody else made.
 * Lives as long as the block in which it is asked for.
 */
#define TEXT_SHOWN_SIZE	  1024
#define text_shown(bytes) text_show((bytes), (char[TEXT_SHOWN_SIZE]){ 0 })
const char *text_show(const char *bytes, char ret[static TEXT_SHOWN_SIZE]);
