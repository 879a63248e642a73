/* SPDX-License-Identifier: BSD-2-Clause */
#include <jansson.h>

#include "fuzz.h"
#include "src/text.h"

static void check(const char *text, size_t length, size_t room)
{
	json_t *json;

	PROMISE(length < room && strnlen(text, room) == length);
	json = json_stringn(text, length); /* refuses what is not UTF-8 */
	PROMISE(json);
	json_decref(json);
}

/* The first byte is the room for the result. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	size_t room, n;
	char *bytes, *text;

	if (size == 0)
		return 0;
	room = data[0] + 1U;
	bytes = malloc(size);
	text = malloc(room);
	PROMISE(bytes && text);
	memcpy(bytes, data + 1, size - 1);

	n = text_to_utf8(bytes, size - 1, text, room);
	check(text, n, room);

	n = text_to_word(bytes, size - 1, text, room);
	check(text, n, room);
	for (size_t i = 0; i < n; i++)
		PROMISE((unsigned char)text[i] > ' ' && text[i] != 0x7f);
	free(text);
	free(bytes);
	return 0;
}
