/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What was found below the host's root, remembered for a while: base directories (also that they
 * are missing), configuration files, listings and large JSON documents that many containers share.
 * A thousand containers ask for the same twenty directories; they are opened once.
 */
#pragma once

#include <stddef.h>

#include "host_root.h"

struct host_cache;
struct json_t;

int host_cache_new(const struct host_root *root, struct host_cache **ret);
void host_cache_free(struct host_cache *cache);

/* Forgets everything: what was missing may have come, what is held may have been replaced. */
void host_cache_forget(struct host_cache *cache);

/* Forgets the documents: they are large, and asked for again only when they have changed. */
void host_cache_trim(struct host_cache *cache);

/*
 * What is returned below is borrowed and valid until one of the functions above, or until it is
 * asked for again, or 15 other things.
 */

/* An fd of the base directory @path, or -errno. */
int host_cache_dir(const struct host_root *root, const char *path);

/*
 * The text of the configuration file @path, or NULL. A NUL in it is a newline, as it ends each
 * argument in /proc/PID/cmdline.
 */
const char *host_cache_text(const struct host_root *root, const char *path);

/* The names in the directory @path as "/name/name/", or NULL: no name holds a slash. */
const char *host_cache_list(const struct host_root *root, const char *path);

/*
 * Reads the JSON file @path below the base directory @base, opening it only if it is there.
 * Returns 0; -ENOENT; -EBADMSG if it is there but not to be believed (a link, a FIFO, of a foreign
 * owner, too large, no JSON); -EACCES or another -errno if it cannot be read. The caller decrefs.
 *
 * Whoever @uid_allowed is, if anybody, may have written it to make work: it has to be small, and
 * of one user's documents only so much is read a second; -EAGAIN: not yet.
 */
int host_cache_read_json(const struct host_root *root, const char *base, const char *path,
			 size_t max_bytes, uid_t uid_allowed, struct json_t **ret,
			 struct file_stamp *ret_stamp);

/* As above, a text, which the caller frees; as large as it may be it is small. Not remembered. */
int host_cache_read_text(const struct host_root *root, const char *base, const char *path,
			 size_t max_bytes, uid_t uid_allowed, char **ret);

/*
 * As host_cache_read_json(), remembered for as long as the file is the same, and the document is
 * borrowed. Users' do not make root's forgotten.
 */
int host_cache_json(const struct host_root *root, const char *base, const char *path,
		    size_t max_bytes, uid_t uid_allowed, struct json_t **ret,
		    struct file_stamp *ret_stamp);
