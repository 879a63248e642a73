/* SPDX-License-Identifier: BSD-2-Clause */
#include "runtime/daemon.h"

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cgroup_path.h"
#include "src/cleanup.h"
#include "src/host_cache.h"

/* A copy of the line at *@text, which goes on to the next one; NULL at the end. */
static char *next_line(const char **text)
{
	size_t n = strcspn(*text, "\n");
	char *line = **text ? strndup(*text, n) : NULL;

	*text += (*text)[n] ? n + 1 : n;
	return line;
}

static bool is_in_container(const char *cgroups)
{
	char *line;

	while ((line = next_line(&cgroups))) {
		struct cgroup_parse parse;

		cgroup_path_parse(cgroup_line_path(line, NULL), &parse);
		free(line);
		if (parse.n_links > 0 || parse.pod_end > 0)
			return true;
	}
	return false;
}

static const char *file_of(const struct host_root *root, long pid, const char *name)
{
	char path[64];

	(void)snprintf(path, sizeof(path), "/proc/%ld/%s", pid, name);
	return host_cache_text(root, path);
}

/* Takes the value of @name, "--name=value" or "--name" and "value", out of @arguments. */
static char *find_option(const char *arguments, const char *name)
{
	size_t n = strlen(name);
	bool is_next = false;
	char *value = NULL, *line;

	while ((line = next_line(&arguments))) {
		bool is_here = strncmp(line, name, n) == 0 && line[n] == '=';

		if (is_next || is_here) {
			free(value);
			value = strdup(is_here ? line + n + 1 : line);
			is_next = false;
		} else {
			is_next = strcmp(line, name) == 0;
		}
		free(line);
	}
	return value;
}

char *daemon_option(const struct host_root *root, const char *pid_file, const char *name)
{
	const char *text = host_cache_text(root, pid_file);
	const char *cgroups, *arguments;
	long pid = text ? strtol(text, NULL, 10) : 0;

	if (pid <= 0)
		return NULL;
	cgroups = file_of(root, pid, "cgroup");
	if (!cgroups || is_in_container(cgroups))
		return NULL;
	arguments = file_of(root, pid, "cmdline");
	return arguments ? find_option(arguments, name) : NULL;
}
