/* SPDX-License-Identifier: BSD-2-Clause */
#include <stdbool.h>

#include "fuzz.h"
#include "src/cgroup_path.h"

static bool is_visible(const char *id)
{
	for (; *id != '\0'; id++)
		if (*id <= ' ' || *id > '~' || *id == '/')
			return false;
	return true;
}

static void check(const char *path, const struct cgroup_parse *parse)
{
	size_t length = strlen(path), floor = 0;

	PROMISE(parse->n_links <= CGROUP_LINKS_MAX);
	PROMISE(parse->n_more == 0 || parse->n_links == CGROUP_LINKS_MAX);
	for (size_t i = 0; i < parse->n_links; i++) {
		const struct cgroup_link *link = &parse->links[i];

		PROMISE(floor <= link->start && link->start < link->end && link->end <= length);
		PROMISE(path[link->end] == '/' || strchr(" \n", path[link->end]));
		PROMISE(link->id[0] != '\0' && is_visible(link->id));
		PROMISE((unsigned)link->hint < HINT_N_);
		PROMISE(strlen(link->pod_uid) <= POD_UID_MAX);
		floor = link->end;
	}
	PROMISE((parse->pod_uid[0] != '\0') == (parse->pod_end != 0));
	PROMISE(strlen(parse->pod_uid) <= POD_UID_MAX && parse->pod_end <= length);
	PROMISE(parse->unit_start <= parse->unit_end && parse->unit_end <= length);
	PROMISE(parse->unit_owner[0] == '\0' || parse->unit_end > 0);
	PROMISE(!parse->is_root || parse->n_links == 0);
}

/* What a container makes below its own cgroup does not change who it is. */
static void check_outermost(const char *path, const struct cgroup_parse *parse)
{
	const struct cgroup_link *link = &parse->links[0];
	struct cgroup_parse outer;
	char *cut;

	if (parse->n_links == 0)
		return;
	cut = fuzz_string((const uint8_t *)path, link->end);
	cgroup_path_parse(cut, &outer);
	PROMISE(outer.n_links == 1);
	PROMISE(memcmp(&outer.links[0], link, sizeof(*link)) == 0);
	PROMISE(outer.unit_start == parse->unit_start && outer.unit_end == parse->unit_end);
	PROMISE(strcmp(outer.unit_owner, parse->unit_owner) == 0);
	free(cut);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *line = fuzz_string(data, size);
	struct cgroup_parse parse;
	const char *path;
	int hierarchy;

	path = cgroup_line_path(line, &hierarchy);
	PROMISE(path >= line && path <= line + strlen(line));
	PROMISE(hierarchy >= 0 || (hierarchy == -1 && path == line));

	cgroup_path_parse(path, &parse);
	check(path, &parse);
	check_outermost(path, &parse);
	free(line);
	return 0;
}
