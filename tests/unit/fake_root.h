/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A host's root made of files in a temporary directory. Paths are below it, with or without a
 * slash in front; directories on the way are made. What cannot be done ends the program.
 */
#pragma once

#include <stddef.h>

#include "src/host_root.h"

struct fake_root {
	char path[64];
	struct host_root *root;
};

#define FAKE_PATH_MAX 4096

void fake_open(struct fake_root *fake);
void fake_close(struct fake_root *fake);

/* The same as a test's fixture: *@state is the struct fake_root. */
int fake_setup(void **state);
int fake_teardown(void **state);

/* The whole of @path, in @ret of FAKE_PATH_MAX bytes, which is returned. */
const char *fake_path(const struct fake_root *fake, const char *path, char *ret);

void fake_mkdir(const struct fake_root *fake, const char *path);
void fake_symlink(const struct fake_root *fake, const char *target, const char *path);

/* A file, written aside and renamed, as the runtimes do. */
void fake_write_bytes(const struct fake_root *fake, const char *path, const void *bytes, size_t n);
__attribute__((format(printf, 3, 4))) void fake_write(const struct fake_root *fake,
						      const char *path, const char *format, ...);

/* "[<item>,<item>,…]" of @size bytes or so. */
void fake_write_list(const struct fake_root *fake, const char *path, const char *item, size_t size);

/* Copies @from, of the tests' data. */
void fake_copy(const struct fake_root *fake, const char *from, const char *path);

/* Docker's file of a container. */
#define FAKE_DOCKER "/var/lib/docker/containers/"
void fake_docker(const struct fake_root *fake, const char *id, const char *name);

/* Removes @path and all below it. */
void fake_unlink(const struct fake_root *fake, const char *path);
