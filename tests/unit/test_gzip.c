/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include <cmocka.h>

#include "src/cleanup.h"
#include "src/gzip.h"

/* Packs and lets zlib unpack, demanding gzip's header, and that the stream ends where it ends. */
static void check_round_trip(const unsigned char *data, size_t n)
{
	_cleanup_(freep) unsigned char *packed = NULL, *back = malloc(n + 1);
	z_stream stream = { 0 };
	size_t n_packed = 0;

	assert_int_equal(gzip_pack(data, n, &packed, &n_packed), 0);
	assert_true(n_packed >= 18); /* header and trailer */
	assert_memory_equal(packed, "\x1f\x8b\x08", 3);

	assert_int_equal(inflateInit2(&stream, 15 + 16), Z_OK);
	stream.next_in = packed;
	stream.avail_in = (uInt)n_packed;
	stream.next_out = back;
	stream.avail_out = (uInt)n + 1;
	assert_int_equal(inflate(&stream, Z_FINISH), Z_STREAM_END);
	assert_int_equal(stream.avail_in, 0);
	assert_int_equal(stream.total_out, n);
	assert_int_equal(inflateEnd(&stream), Z_OK);
	assert_memory_equal(back, data, n);
}

static void test_round_trip(void **state)
{
	static const size_t sizes[] = { 0, 1, 2, 1000, 65535, 65536, 65537, 3 << 20 };
	_cleanup_(freep) unsigned char *random = malloc(3 << 20), *text = malloc(3 << 20);
	uint64_t x = 1;

	for (size_t i = 0; i < 3 << 20; i++) {
		x = x * 6364136223846793005ull + 1442695040888963407ull;
		random[i] = (unsigned char)(x >> 56); /* grows when it is packed */
		text[i] = (unsigned char)"cgscope_syscalls_total{namespace=\"\"} 1\n"[i % 39];
	}
	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
		check_round_trip(random, sizes[i]);
		check_round_trip(text, sizes[i]);
	}
}

static void test_packs(void **state)
{
	_cleanup_(freep) unsigned char *packed = NULL;
	_cleanup_(freep) char *zeros = calloc(1, 1 << 20);
	size_t n = 0;

	assert_int_equal(gzip_pack(zeros, 1 << 20, &packed, &n), 0);
	assert_true(n < (1 << 20) / 20);
}

/* What would not fit into zlib's 32 bits is refused before a byte of it is read. */
static void test_too_large(void **state)
{
	static const size_t sizes[] = { GZIP_MAX + 1, (size_t)1 << 32, ((size_t)1 << 32) + 1,
					SIZE_MAX };
	unsigned char *packed = (unsigned char *)state;
	size_t n = 4711;

	for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++)
		assert_int_equal(gzip_pack("", sizes[i], &packed, &n), -EFBIG);
	assert_ptr_equal(packed, state);
	assert_int_equal(n, 4711);
}

static const struct {
	const char *accepted;
	bool is_gzip;
} headers[] = {
	{ NULL, false },
	{ "", false },
	{ "gzip", true },
	{ "GZip", true },
	{ "x-gzip", true },
	{ "X-GZIP", true },
	{ "gzip, deflate, br", true },
	{ "deflate,gzip", true },
	{ "deflate\t,\tgzip\t", true },
	{ ",, ,gzip,,", true }, /* empty members are to be ignored */
	{ "gzip;q=1", true },
	{ "gzip;q=1.000", true },
	{ "gzip;q=0.001", true },
	{ "gzip;Q=0.5", true },
	{ "gzip ; q=0.5", true },
	{ "deflate, gzip;q=0.5", true },
	{ "*", true },
	{ "*;q=0.1", true },
	{ "deflate, *", true },
	{ "gzip;q=1.0, identity; q=0.5, *;q=0", true },
	{ "gzip, identity", true },
	{ "identity;q=0, gzip;q=0.1", true },
	/* Not taken. */
	{ "gzip;q=0", false },
	{ "gzip;q=0.", false },
	{ "gzip;q=0.0", false },
	{ "gzip;q=0.000", false },
	{ "gzip; q=0", false },
	{ "gzip ;q=0 , deflate", false },
	{ "GZIP;Q=0", false },
	{ "x-gzip;q=0", false },
	{ "gzip;q=0, *", false },
	{ "*, gzip;q=0", false },
	{ "*;q=0", false },
	{ "identity", false },
	{ "deflate, br, zstd", false },
	{ "identity, gzip;q=0.5", false },
	{ "identity, *;q=0.5", false },
	/* Not gzip. */
	{ "notgzip", false },
	{ "gzipped", false },
	{ "not-gzip", false },
	{ "gzi", false },
	{ "pgzip, gzip2", false },
	{ "gzip.", false },
	{ "**", false },
	{ "deflate;gzip", false },
	{ "deflate;q=gzip", false },
	{ "\"gzip\"", false },
	/* Malformed. */
	{ "gzip;", false },
	{ "gzip;q", false },
	{ "gzip;q=", false },
	{ "gzip;q=,", false },
	{ "gzip;q=x", false },
	{ "gzip;q=-1", false },
	{ "gzip;q=2", false },
	{ "gzip;q=1.001", false },
	{ "gzip;q=00.5", false },
	{ "gzip;q=.5", false },
	{ "gzip;q=0.0001", false },
	{ "gzip;q=0.5x", false },
	{ "gzip;q=0.5;q=1", false },
	{ "gzip;level=1", false },
	{ "gzip gzip", false },
	{ ";q=1", false },
	{ "gzip;q=9, gzip", true },
};

static void test_accepted(void **state)
{
	for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
		/* On the heap, and exactly as long as it is, so that reading on is seen. */
		_cleanup_(freep) char *accepted =
			headers[i].accepted ? strdup(headers[i].accepted) : NULL;

		if (gzip_is_accepted(accepted) != headers[i].is_gzip)
			fail_msg("\"%s\": expected %d", accepted, headers[i].is_gzip);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_round_trip),
		cmocka_unit_test(test_packs),
		cmocka_unit_test(test_too_large),
		cmocka_unit_test(test_accepted),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
