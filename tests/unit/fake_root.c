/* SPDX-License-Identifier: BSD-2-Clause */
#include "fake_root.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static void die(const char *what, const char *path)
{
	fprintf(stderr, "fake root: %s '%s': %m\n", what, path);
	abort();
}

const char *fake_path(const struct fake_root *fake, const char *path, char *ret)
{
	if (snprintf(ret, FAKE_PATH_MAX, "%s/%s", fake->path, path) >= FAKE_PATH_MAX)
		die("name", path);
	return ret;
}

void fake_open(struct fake_root *fake)
{
	const char *tmp = getenv("TMPDIR");

	snprintf(fake->path, sizeof(fake->path), "%.40s/cgscope-XXXXXX", tmp ? tmp : "/tmp");
	if (!mkdtemp(fake->path))
		die("mkdtemp", fake->path);
	if (chmod(fake->path, 0755) < 0)
		die("chmod", fake->path);
	if (host_root_open(fake->path, &fake->root) < 0)
		die("host_root_open", fake->path);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *ftw)
{
	(void)st;
	(void)type;
	(void)ftw;
	return remove(path);
}

void fake_close(struct fake_root *fake)
{
	host_root_close(fake->root);
	nftw(fake->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fake_mkdir(const struct fake_root *fake, const char *path)
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

static void make_parent(const struct fake_root *fake, const char *path)
{
	char *copy = strdup(path), *slash = strrchr(copy, '/');

	if (slash) {
		*slash = 0;
		fake_mkdir(fake, copy);
	}
	free(copy);
}

/* Written aside and renamed, as the runtimes do. */
void fake_write_bytes(const struct fake_root *fake, const char *path, const void *bytes, size_t n)
{
	char full[FAKE_PATH_MAX], aside[FAKE_PATH_MAX + 8];
	FILE *file;

	make_parent(fake, path);
	fake_path(fake, path, full);
	snprintf(aside, sizeof(aside), "%s.tmp", full);
	file = fopen(aside, "w");
	if (!file || fwrite(bytes, 1, n, file) != n || fclose(file) != 0 || rename(aside, full) < 0)
		die("write", full);
}

void fake_write(const struct fake_root *fake, const char *path, const char *format, ...)
{
	char *text;
	va_list args;
	int n;

	va_start(args, format);
	n = vasprintf(&text, format, args);
	va_end(args);
	if (n < 0)
		die("format", path);
	fake_write_bytes(fake, path, text, (size_t)n);
	free(text);
}

void fake_docker(const struct fake_root *fake, const char *id, const char *name)
{
	char path[FAKE_PATH_MAX];

	(void)snprintf(path, sizeof(path), FAKE_DOCKER "%s/config.v2.json", id);
	fake_write(fake, path, "{\"ID\":\"%s\",\"Name\":\"/%s\"}", id, name);
}

void fake_write_list(const struct fake_root *fake, const char *path, const char *item, size_t size)
{
	size_t n = strlen(item), len = 1;
	char *text = malloc(size + n + 2);

	text[0] = '[';
	while (len < size) {
		memcpy(text + len, item, n);
		len += n;
		text[len++] = ',';
	}
	text[len - 1] = ']';
	fake_write_bytes(fake, path, text, len);
	free(text);
}

/* Copies @from out of the tests' data. */
void fake_copy(const struct fake_root *fake, const char *from, const char *path)
{
	char name[FAKE_PATH_MAX], *text;
	FILE *file;
	size_t n;

	snprintf(name, sizeof(name), "%s/%s", TEST_DATA, from);
	file = fopen(name, "r");
	text = malloc(1 << 20);
	if (!file || !text)
		die("read", name);
	n = fread(text, 1, 1 << 20, file);
	fclose(file);
	fake_write_bytes(fake, path, text, n);
	free(text);
}

void fake_symlink(const struct fake_root *fake, const char *target, const char *path)
{
	char full[FAKE_PATH_MAX];

	make_parent(fake, path);
	if (symlink(target, fake_path(fake, path, full)) < 0)
		die("symlink", full);
}

void fake_unlink(const struct fake_root *fake, const char *path)
{
	char full[FAKE_PATH_MAX];

	nftw(fake_path(fake, path, full), remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

int fake_setup(void **state)
{
	struct fake_root *fake = calloc(1, sizeof(*fake));

	if (!fake)
		die("memory", "");
	fake_open(fake);
	*state = fake;
	return 0;
}

int fake_teardown(void **state)
{
	fake_close(*state);
	free(*state);
	return 0;
}
