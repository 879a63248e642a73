/* SPDX-License-Identifier: BSD-2-Clause */
/* A host's root made of files in a temporary directory. */
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "src/host_root.h"

struct fake_root {
	char path[64];
	struct host_root *root;
};

#define FAKE_PATH_MAX 4096

static inline void fake_die(const char *what, const char *path)
{
	fprintf(stderr, "fake root: %s '%s': %m\n", what, path);
	abort();
}

static inline const char *fake_path(const struct fake_root *fake, const char *path, char *ret)
{
	if (snprintf(ret, FAKE_PATH_MAX, "%s/%s", fake->path, path) >= FAKE_PATH_MAX)
		fake_die("name", path);
	return ret;
}

static inline void fake_open(struct fake_root *fake)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(fake->path, sizeof(fake->path), "%.40s/cgscope-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(fake->path))
		fake_die("mkdtemp", fake->path);
	if (chmod(fake->path, 0755) < 0)
		fake_die("chmod", fake->path);
	if (host_root_open(fake->path, &fake->root) < 0)
		fake_die("host_root_open", fake->path);
}

static inline int fake_remove_one(const char *path, const struct stat *st, int type,
				  struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

static inline void fake_close(struct fake_root *fake)
{
	host_root_close(fake->root);
	nftw(fake->path, fake_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

static inline void fake_mkdir(const struct fake_root *fake, const char *path)
{
	char full[FAKE_PATH_MAX];

	fake_path(fake, path, full);
	for (char *p = full + strlen(fake->path) + 1; (p = strchr(p, '/')); p++) {
		*p = 0;
		mkdir(full, 0755);
		*p = '/';
	}
	mkdir(full, 0755);
}

static inline void fake_mkdir_parent(const struct fake_root *fake, const char *path)
{
	char *copy = strdup(path), *slash = strrchr(copy, '/');

	if (slash) {
		*slash = 0;
		fake_mkdir(fake, copy);
	}
	free(copy);
}

/* Written aside and renamed, as the runtimes do. */
static inline void fake_write_bytes(const struct fake_root *fake, const char *path,
				    const void *bytes, size_t n)
{
	char full[FAKE_PATH_MAX], aside[FAKE_PATH_MAX + 8];
	FILE *file;

	fake_mkdir_parent(fake, path);
	fake_path(fake, path, full);
	snprintf(aside, sizeof(aside), "%s.tmp", full);
	file = fopen(aside, "w");
	if (!file || fwrite(bytes, 1, n, file) != n || fclose(file) != 0 || rename(aside, full) < 0)
		fake_die("write", full);
}

__attribute__((format(printf, 3, 4))) static inline void
fake_write(const struct fake_root *fake, const char *path, const char *format, ...)
{
	char *text;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		fake_die("format", path);
	fake_write_bytes(fake, path, text, (size_t)n);
	free(text);
}

/* Copies @from out of the tests' data. */
static inline void fake_copy(const struct fake_root *fake, const char *from, const char *path)
{
	char name[FAKE_PATH_MAX], *text;
	FILE *file;
	size_t n;

	snprintf(name, sizeof(name), "%s/%s", TEST_DATA, from);
	file = fopen(name, "r");
	text = malloc(1 << 20);
	if (!file || !text)
		fake_die("read", name);
	n = fread(text, 1, 1 << 20, file);
	fclose(file);
	fake_write_bytes(fake, path, text, n);
	free(text);
}

static inline void fake_symlink(const struct fake_root *fake, const char *target, const char *path)
{
	char full[FAKE_PATH_MAX];

	fake_mkdir_parent(fake, path);
	if (symlink(target, fake_path(fake, path, full)) < 0)
		fake_die("symlink", full);
}

static inline void fake_unlink(const struct fake_root *fake, const char *path)
{
	char full[FAKE_PATH_MAX];

	nftw(fake_path(fake, path, full), fake_remove_one, 16, FTW_DEPTH | FTW_PHYS);
}
