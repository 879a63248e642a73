/* SPDX-License-Identifier: BSD-2-Clause */
#include "runtime/state.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/cleanup.h"
#include "src/host_cache.h"
#include "src/runtime_unit.h"

#define HASH_LEN     64
#define NAME_MAX_LEN 1024 /* image references are the longest */
#define K8S_NAME_MAX 253  /* a DNS subdomain */
#define SLICE_DEPTH  16

bool state_id_is_hash(const char *id)
{
	return strspn(id, "0123456789abcdef") == HASH_LEN && id[HASH_LEN] == 0;
}

static const char *honest_string(const json_t *object, const char *key)
{
	const json_t *value = json_object_get(object, key);
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);

	/* A NUL inside would make a different name of it. */
	if (!text || len == 0 || len > NAME_MAX_LEN || strlen(text) != len)
		return NULL;
	return text;
}

char *state_string(const json_t *object, const char *key)
{
	const char *text = honest_string(object, key);

	return text ? strdup(text) : NULL;
}

bool state_is_name(const char *name)
{
	size_t len = strspn(name, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
				  "0123456789_.-");

	return len > 0 && len <= NAME_MAX_LEN && name[len] == 0;
}

static bool is_k8s_name_n(const char *name, size_t len)
{
	return len > 0 && len <= K8S_NAME_MAX &&
	       strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789.-") >= len;
}

bool state_is_k8s_name(const char *name)
{
	return is_k8s_name_n(name, strlen(name));
}

char *state_k8s_name(const json_t *object, const char *key)
{
	const char *text = honest_string(object, key);

	return text && state_is_k8s_name(text) ? strdup(text) : NULL;
}

int state_split_log_name(const char *name, size_t len, const char *uid, char **ret_namespace,
			 char **ret_pod)
{
	_cleanup_(freep) char *namespace = NULL;
	const char *end = name + len, *pod, *tail;

	pod = memchr(name, '_', len);
	tail = pod ? memchr(pod + 1, '_', (size_t)(end - pod) - 1) : NULL;
	if (!tail)
		return -EINVAL;
	if (!is_k8s_name_n(name, (size_t)(pod - name)) ||
	    !is_k8s_name_n(pod + 1, (size_t)(tail - pod) - 1))
		return -EINVAL;
	if (uid &&
	    (strlen(uid) != (size_t)(end - tail) - 1 || memcmp(uid, tail + 1, strlen(uid)) != 0))
		return -EINVAL;

	namespace = strndup(name, (size_t)(pod - name));
	if (!namespace)
		return -ENOMEM;
	*ret_pod = strndup(pod + 1, (size_t)(tail - pod) - 1);
	if (!*ret_pod)
		return -ENOMEM;
	*ret_namespace = TAKE_PTR(namespace);
	return 0;
}

/* The next component of @path from *@at on, before @end; its length, 0 at the end. */
static size_t next_component(const char *path, size_t end, size_t *at)
{
	size_t n = 0;

	while (*at < end && path[*at] == '/')
		++*at;
	while (*at + n < end && path[*at + n] != '/')
		n++;
	return n;
}

/* Whether all components of @path[0, @end) are slices; *@ret_at: where the first other one is. */
static bool is_all_slices(const char *path, size_t end, size_t *ret_at)
{
	size_t at = 0, n;

	for (; (n = next_component(path, end, &at)) > 0; at += n) {
		*ret_at = at;
		if (!span_ends_with((struct span){ path + at, n }, ".slice"))
			return false;
	}
	return true;
}

/* Whether there is a unit that is no slice in @path[0, @end): systemd may have given it away. */
static bool has_unit(const char *path, size_t end)
{
	size_t at = 0, n;

	for (; (n = next_component(path, end, &at)) > 0; at += n)
		if (span_ends_with((struct span){ path + at, n }, ".service") ||
		    span_ends_with((struct span){ path + at, n }, ".scope"))
			return true;
	return false;
}

/*
 * Where a runtime is that makes a relative path below its own cgroup: in slices and its service. On
 * v2 it is below the parent of that, which may hold processes or cgroups and not both.
 */
static bool is_service(const char *path, size_t end)
{
	size_t at = 0, n;

	if (is_all_slices(path, end, &at))
		return true;
	n = next_component(path, end, &at);
	if (!runtime_unit_is((struct span){ path + at, n }))
		return false;
	at += n;
	return next_component(path, end, &at) == 0;
}

/*
 * Whether the front of a path, up to @end, may stand before what a runtime calls the path of its
 * container. It may where the runtime has that front for its root: a node in a container, of which
 * nobody knows or it would have been the answer; and a user's own. Anywhere else somebody has
 * imitated the tail.
 */
static bool may_precede(const struct runtime_query *query, size_t end, bool is_relative)
{
	const char *path = query->path;
	struct cgroup_parse parse;
	size_t at = 0;
	uid_t uid;

	/* From the namespace of another cgroup it is not known what there is. */
	while (next_component(path, end, &at) == 2 && memcmp(path + at, "..", 2) == 0)
		at += 2;
	if (next_component(path, end, &at) == 0 || state_user(query, &uid))
		return true;
	if (is_relative && is_service(path, end))
		return true;
	cgroup_path_parse(path, &parse);
	return parse.n_links > 0 && parse.links[0].end <= end &&
	       !has_unit(path, parse.links[0].start);
}

/* Whether the link's path is @tail, or ends in it as whole components behind what may be there. */
static bool is_tail(const struct runtime_query *query, const char *tail, bool is_relative)
{
	const char *path = query->path;
	size_t end = query->link->end, n;

	while (*tail == '/')
		tail++;
	n = strlen(tail);
	while (n > 0 && tail[n - 1] == '/')
		n--;
	if (n == 0 || n > end || memcmp(path + end - n, tail, n) != 0)
		return false;
	return (n == end || path[end - n - 1] == '/') && may_precede(query, end - n, is_relative);
}

/* systemd's nesting: "a-b.slice" lies at "a.slice/a-b.slice". Writes the path with a last slash. */
static bool expand_slice(const char *slice, size_t len, char *ret, size_t size)
{
	size_t used = 0;

	if (len <= strlen(".slice") || memcmp(slice + len - 6, ".slice", 6) != 0)
		return false;
	len -= strlen(".slice");
	ret[0] = 0;
	if (len == 1 && slice[0] == '-') /* the root slice */
		return true;

	for (size_t i = 1; i <= len; i++) {
		int n;

		if (i < len && slice[i] != '-')
			continue;
		n = snprintf(ret + used, size - used, "%.*s.slice/", (int)i, slice);
		if (n < 0 || (size_t)n >= size - used)
			return false;
		used += (size_t)n;
	}
	return true;
}

/*
 * The name of the unit in its slice. Without ".scope" it is CRI-O's sandbox that has no process;
 * a name that is a slice stands for itself.
 */
static bool unit_names_path(const char *parent, const char *prefix, size_t prefix_len,
			    const char *name, const struct runtime_query *query)
{
	static const char *const suffixes[] = { ".scope", "" };
	char expected[2 * STATE_PATH_MAX];

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++) {
		int n = snprintf(expected, sizeof(expected), "%s%.*s%s%s%s", parent,
				 (int)prefix_len, prefix, prefix_len > 0 ? "-" : "", name,
				 suffixes[i]);

		if (n > 0 && (size_t)n < sizeof(expected) && is_tail(query, expected, false))
			return true;
	}
	return false;
}

/*
 * "slice:prefix:name" is what systemd cgroup drivers are given; a runtime with the other driver
 * takes it for the name of one directory. A path is taken as it is, and one without a slash in
 * front from where the runtime is. Either may be the tail of the real one, where the runtime has
 * another root.
 */
bool state_names_path(const char *cgroups_path, const struct runtime_query *query)
{
	const char *first = strchr(cgroups_path, ':');
	const char *second = first ? strchr(first + 1, ':') : NULL;
	const char *slice = cgroups_path;
	bool is_literal = second && !strchr(second + 1, ':') && !strchr(cgroups_path, '/');
	size_t slice_len, prefix_len;
	char parent[STATE_PATH_MAX];

	if (is_tail(query, cgroups_path, cgroups_path[0] != '/'))
		return true;
	if (!is_literal)
		return false;

	slice_len = (size_t)(first - slice);
	prefix_len = (size_t)(second - first) - 1;
	if (slice_len > 0)
		return expand_slice(slice, slice_len, parent, sizeof(parent)) &&
		       unit_names_path(parent, first + 1, prefix_len, second + 1, query);
	/* What systemd itself takes: the system's slice, or the user's if it is a user's manager.
	 */
	return unit_names_path("system.slice/", first + 1, prefix_len, second + 1, query) ||
	       unit_names_path("user.slice/", first + 1, prefix_len, second + 1, query);
}

int state_check_bundle(const json_t *config, const struct runtime_query *query)
{
	const json_t *value;
	const char *cgroups_path;

	if (!json_is_object(config))
		return -EBADMSG;
	value = json_object_get(json_object_get(config, "linux"), "cgroupsPath");
	cgroups_path = honest_string(json_object_get(config, "linux"), "cgroupsPath");
	/* One that is there and makes no sense is no permission. */
	if (!cgroups_path)
		return json_string_length(value) > 0 ? -EBADMSG : 0;
	return state_names_path(cgroups_path, query) ? 0 : -EPERM;
}

int state_read_bundle(const struct host_root *root, const char *base, const char *path,
		      uid_t uid_allowed, const struct runtime_query *query, json_t **ret)
{
	_cleanup_(json_decrefp) json_t *config = NULL;
	int r;

	r = host_cache_read_json(root, base, path, STATE_FILE_MAX, uid_allowed, &config, NULL);
	if (r < 0)
		return r;
	r = state_check_bundle(config, query);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(config);
	return 0;
}

bool state_is_in(const struct runtime_query *query, const char *top)
{
	const char *path = query->path + strspn(query->path, "/");
	size_t n = query->link->start - (size_t)(path - query->path);

	return n == strlen(top) && strncmp(path, top, n) == 0;
}

bool state_is_in_slices(const struct runtime_query *query)
{
	size_t at;

	return is_all_slices(query->path, query->link->start, &at);
}

bool state_user(const struct runtime_query *query, uid_t *ret)
{
	const char *p = query->path, *limit = query->path + query->link->start;

	while ((p = strstr(p, "user@")) && p < limit) {
		bool starts = p == query->path || p[-1] == '/';
		unsigned long uid;
		char *end;

		p += strlen("user@");
		if (!starts || *p < '0' || *p > '9')
			continue;
		uid = strtoul(p, &end, 10);
		if (strncmp(end, ".service/", strlen(".service/")) != 0 || uid >= UINT32_MAX)
			continue;
		*ret = (uid_t)uid;
		return true;
	}
	return false;
}

/* name:password:uid:gid:gecos:home:shell. Read as a file: the libraries ask this system's. */
static bool passwd_home(const char *line, size_t len, uid_t uid, char *ret, size_t size)
{
	const char *fields[7], *end = line + len;
	size_t n = 0, home_len;
	char *uid_end;

	for (const char *p = line; p && n < 7; n++) {
		fields[n] = p;
		p = memchr(p, ':', (size_t)(end - p));
		if (p)
			p++;
	}
	if (n < 6 || fields[2] == end || strtoul(fields[2], &uid_end, 10) != uid ||
	    uid_end == fields[2] || *uid_end != ':')
		return false;

	home_len = strcspn(fields[5], ":\n");
	if (home_len == 0 || fields[5][0] != '/' || home_len >= size)
		return false;
	memcpy(ret, fields[5], home_len);
	ret[home_len] = 0;
	return true;
}

int state_home(const struct host_root *root, uid_t uid, char *ret, size_t size)
{
	const char *text = host_cache_text(root, "/etc/passwd");

	while (text && *text) {
		size_t len = strcspn(text, "\n");

		if (passwd_home(text, len, uid, ret, size))
			return 0;
		text += len;
		text += *text == '\n';
	}
	return -ENOENT;
}

const char *state_below_home(const char *home, const char *place)
{
	size_t n = strlen(home);

	while (n > 0 && home[n - 1] == '/')
		n--;
	if (strncmp(place, home, n) != 0 || place[n] != '/')
		return NULL;
	place += n + strspn(place + n, "/");
	return *place ? place : NULL;
}

/* The value of a line `key = "value"`, or with single quotes. */
static bool toml_string(const char *line, const char *end, const char *key, char *ret, size_t size)
{
	size_t key_len = strlen(key);
	const char *close;
	char quote;

	line += strspn(line, " \t");
	if (strncmp(line, key, key_len) != 0)
		return false;
	line += key_len;
	line += strspn(line, " \t");
	if (*line++ != '=')
		return false;
	line += strspn(line, " \t");
	quote = *line;
	if (line >= end || (quote != '"' && quote != '\''))
		return false;
	close = memchr(line + 1, quote, (size_t)(end - line) - 1);
	if (!close || close == line + 1 || (size_t)(close - line) > size)
		return false;

	snprintf(ret, size, "%.*s", (int)(close - line) - 1, line + 1);
	return true;
}

/* Whether the line is the header of @table. */
static bool is_toml_table(const char *line, const char *table)
{
	size_t n = strlen(table);

	line += 1 + strspn(line + 1, " \t");
	return strncmp(line, table, n) == 0 && line[n + strspn(line + n, " \t")] == ']';
}

bool state_toml(const char *text, const char *table, const char *key, char *ret, size_t size)
{
	bool is_in = !table;

	while (text && *text) {
		const char *line = text + strspn(text, " \t"), *end = text + strcspn(text, "\n");

		if (*line == '[')
			is_in = table && is_toml_table(line, table);
		else if (is_in && toml_string(line, end, key, ret, size))
			return true;
		text = *end ? end + 1 : end;
	}
	return false;
}

static int weight(int error)
{
	switch (error) {
	case 0:
		return 5;
	case -EPERM:
		return 4;
	case -EBADMSG:
		return 3;
	case -EAGAIN:
		return 2;
	case -ENOENT:
		return 0;
	default:
		return 1;
	}
}

int state_merge(int a, int b)
{
	return weight(b) > weight(a) ? b : a;
}

void state_report_root(const struct host_root *root, const char *path,
		       void (*found)(const char *path, int error, void *data), void *data)
{
	int fd = host_cache_dir(root, path);

	if (fd != -ENOENT)
		found(path, fd < 0 ? fd : 0, data);
}

int state_watch(struct container *container, const char *base, const char *path,
		const struct file_stamp *stamp)
{
	_cleanup_(freep) char *base_copy = strdup(base);
	_cleanup_(freep) char *path_copy = strdup(path);

	if (!base_copy || !path_copy)
		return -ENOMEM;
	if (container->n_watches == CONTAINER_WATCHES_MAX)
		return -ENOSPC;
	container->watches[container->n_watches++] = (struct container_watch){
		.base = TAKE_PTR(base_copy),
		.path = TAKE_PTR(path_copy),
		.stamp = *stamp,
	};
	return 0;
}
