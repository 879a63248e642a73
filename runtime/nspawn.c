/* SPDX-License-Identifier: BSD-2-Clause */
/* systemd-nspawn registers its containers with machined, under their names. */
#include "runtime/machined.h"
#include "runtime/registry.h"
#include "runtime/state.h"

static bool nspawn_match(const struct runtime_query *query)
{
	return query->link->hint == HINT_NSPAWN;
}

static int nspawn_inspect(const struct host_root *root, const struct runtime_query *query,
			  struct container *ret)
{
	return machined_inspect(root, query, query->link->id, ret);
}

static void nspawn_roots(const struct host_root *root,
			 void (*found)(const char *path, int error, void *data), void *data)
{
	state_report_root(root, MACHINES_DIR, found, data);
}

const struct runtime nspawn_runtime = {
	.name = "systemd-nspawn",
	.by_name = true,
	.match = nspawn_match,
	.inspect = nspawn_inspect,
	.roots = nspawn_roots,
};
