/* SPDX-License-Identifier: BSD-2-Clause */
#include "gzip.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <zlib.h>

#include "cleanup.h"

/* Pages of metrics repeat themselves: the fastest level makes a twentieth of one. */
#define LEVEL	    1
#define WINDOW_BITS (15 + 16) /* with gzip's header, not zlib's */
#define MEMORY	    8

int gzip_pack(const void *data, size_t n, unsigned char **ret, size_t *ret_n)
{
	_cleanup_(freep) unsigned char *packed = NULL;
	z_stream stream = { .next_in = (unsigned char *)data };
	unsigned char *shrunk;
	size_t size;
	int r;

	if (n > GZIP_MAX)
		return -EFBIG;
	if (deflateInit2(&stream, LEVEL, Z_DEFLATED, WINDOW_BITS, MEMORY, Z_DEFAULT_STRATEGY) !=
	    Z_OK)
		return -ENOMEM;
	size = deflateBound(&stream, n);
	packed = malloc(size);
	stream.avail_in = (uInt)n;
	stream.next_out = packed;
	stream.avail_out = (uInt)size;
	/* Within the bound one call does it. */
	r = packed ? deflate(&stream, Z_FINISH) : Z_MEM_ERROR;
	size = stream.total_out;
	(void)deflateEnd(&stream);
	if (r != Z_STREAM_END)
		return -ENOMEM;

	shrunk = realloc(packed, size);
	if (shrunk)
		packed = shrunk;
	*ret = TAKE_PTR(packed);
	*ret_n = size;
	return 0;
}

/* --- Accept-Encoding --- */

#define BLANKS	 " \t"
#define UNSET	 (-1)
#define QUALITY1 1000 /* "q=1"; qualities have up to three decimals */

struct member {
	const char *coding;
	size_t n;
	int quality;
};

/* "0", "0.5", "1.000". Returns what is behind it, or NULL. */
static const char *parse_quality(const char *s, int *ret)
{
	int quality, unit = QUALITY1;

	if (*s != '0' && *s != '1')
		return NULL;
	quality = (*s++ - '0') * unit;
	if (*s == '.') {
		s++;
		for (unit /= 10; *s >= '0' && *s <= '9'; s++, unit /= 10) {
			if (unit == 0)
				return NULL;
			quality += (*s - '0') * unit;
		}
	}
	*ret = quality;
	return quality <= QUALITY1 ? s : NULL;
}

/* "gzip", "*;q=0.5" and the like, of @s up to a comma or the end. */
static bool parse_member(const char *s, struct member *ret)
{
	s += strspn(s, BLANKS);
	*ret = (struct member){ .coding = s, .n = strcspn(s, BLANKS ",;"), .quality = QUALITY1 };
	s += ret->n;
	s += strspn(s, BLANKS);
	if (*s == ';') {
		s++;
		s += strspn(s, BLANKS);
		if (strncasecmp(s, "q=", 2) != 0)
			return false;
		s = parse_quality(s + 2, &ret->quality);
		if (!s)
			return false;
		s += strspn(s, BLANKS);
	}
	return ret->n > 0 && (*s == ',' || *s == '\0');
}

static bool is_coding(const struct member *member, const char *name)
{
	return member->n == strlen(name) && strncasecmp(member->coding, name, member->n) == 0;
}

bool gzip_is_accepted(const char *accepted)
{
	int gzip = UNSET, any = UNSET, plain = UNSET;

	for (const char *s = accepted; s;) {
		struct member member;
		const char *comma = strchr(s, ',');
		int *quality = NULL;

		if (parse_member(s, &member)) {
			if (is_coding(&member, "gzip") || is_coding(&member, "x-gzip"))
				quality = &gzip;
			else if (is_coding(&member, "identity"))
				quality = &plain;
			else if (is_coding(&member, "*"))
				quality = &any;
		}
		if (quality && member.quality > *quality)
			*quality = member.quality;
		s = comma ? comma + 1 : NULL;
	}
	/* "*" is about what has no member of its own. */
	if (gzip == UNSET)
		gzip = any;
	return gzip > 0 && gzip >= plain;
}
