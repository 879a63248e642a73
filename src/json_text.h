/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * JSON that somebody else wrote. A parsed value takes a hundred times the memory of its text, so
 * the values are counted before anything is made of them.
 */
#pragma once

#include <stddef.h>

struct json_t;

/*
 * Parses @text: an object or an array, of at most @max_values. Returns what the caller decrefs, or
 * NULL: no JSON, or too much of it.
 */
struct json_t *json_text_load(const char *text, size_t len, size_t max_values);
