/* SPDX-License-Identifier: BSD-2-Clause */
/* What is sent over HTTP, packed with gzip for those who take it so. */
#pragma once

#include <stdbool.h>
#include <stddef.h>

/*
 * Packs the @n bytes at @data, which stay the caller's, with gzip's header. Returns 0 and the
 * result in @ret, @ret_n bytes to free(); -EFBIG if @n is over GZIP_MAX; -ENOMEM. The outputs are
 * untouched unless 0.
 */
int gzip_pack(const void *data, size_t n, unsigned char **ret, size_t *ret_n);

/* zlib counts in 32 bits, and what is packed can be a little larger than what was given. */
#define GZIP_MAX ((size_t)1 << 31)

/*
 * Whether a client that sent Accept-Encoding: @accepted is to get gzip (RFC 9110, 12.5.3): it
 * takes it, by its name or by "*", and does not say that it prefers to have it plain. A member
 * that is malformed counts for nothing. NULL: the header was not sent, so no.
 */
bool gzip_is_accepted(const char *accepted);
