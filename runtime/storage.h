/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The store of containers/storage, which CRI-O and Podman share: one directory per container below
 * "<driver>-containers", with the OCI bundle in it, and a list of all with their names.
 */
#pragma once

#include "runtime/state.h"

#define STORAGES_MAX 16

/* Directories that have "<driver>-containers" in them. */
struct storage_list {
	char items[STORAGES_MAX][STATE_PATH_MAX];
	size_t n;
};

/* The system's: as configured by CRI-O or containers/storage, and the defaults. */
void storage_find(const struct host_root *root, struct storage_list *ret);

/*
 * Reads the bundle of the link's id in the container directory @base (and @below in that, "" or
 * with a last slash), if its manager is @manager ("cri-o", "libpod"). Returns 0, -ENOENT, or as
 * state_read_bundle().
 */
int storage_read_bundle(const struct host_root *root, const char *base, const char *below,
			uid_t uid_allowed, const char *manager, const struct runtime_query *query,
			json_t **ret);
