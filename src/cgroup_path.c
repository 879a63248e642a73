/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Container runtimes and the kubelet leave their mark in the names of the cgroups they make. The
 * parser reads the components from the outside in and asks of each: a pod, a monitor, a
 * container? It demands exact forms (64 lower-case hex digits, a UUID), since anything near
 * them may be a file descriptor's hash, a terminal's UUID or an imitation. The forms themselves are
 * in cgroup_forms.c.
 */
#include "cgroup_path.h"

#include <errno.h>
#include <string.h>

#include "cgroup_forms.h"
#include "span.h"

struct component {
	struct span name; /* without the "_" that systemd puts before controller-like names */
	size_t start;
	size_t end;
	bool joined; /* "prefix:id", the tail of a "slice:prefix:id" */
};

struct parser {
	const char *path;
	size_t length;
	struct cgroup_parse *ret;
	struct component prev;
	struct component prev2;
	/* 1 + index of a link that is a podman pod if another link or a monitor is in it. */
	size_t grouping;
	bool below_ecs;
	bool below_nomad;
	bool climbs; /* has ".." */
	bool ended;
	/* Where the unit's span begins if a directory that is no slice came first. */
	bool has_plain;
	size_t plain_start;
	size_t owner_end;
	bool unit_found;
};

static bool is_unit_file(struct span name)
{
	static const char *const suffixes[] = { ".service", ".scope", ".mount", ".swap",
						".socket" };

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (span_ends_with(name, suffixes[i]))
			return true;
	return false;
}

static bool parse_pod(struct parser *parser, const struct component *component)
{
	struct cgroup_parse *ret = parser->ret;
	struct span uid;

	if (!cgroup_form_is_pod(component->name, parser->prev.name, &uid, &ret->qos))
		return false;

	for (size_t i = 0; i < uid.n; i++)
		ret->pod_uid[i] = uid.s[i] == '_' ? '-' : uid.s[i];
	ret->pod_uid[uid.n] = '\0';
	ret->pod_end = component->end;
	return true;
}

static bool parse_qos_level(struct parser *parser, const struct component *component)
{
	enum qos_class qos = cgroup_form_qos_level(component->name, parser->prev.name,
						   component->end == parser->length);

	if (qos == QOS_UNKNOWN)
		return false;
	if (parser->ret->pod_uid[0] == '\0')
		parser->ret->qos = qos;
	return true;
}

static void drop_grouping(struct parser *parser)
{
	if (parser->grouping > 0 && parser->grouping == parser->ret->n_links)
		parser->ret->n_links--;
	parser->grouping = 0;
}

static void add_link(struct parser *parser, const struct component *component,
		     const struct cgroup_container *container)
{
	struct cgroup_parse *ret = parser->ret;
	struct cgroup_link *link;

	drop_grouping(parser);
	if (ret->n_links == CGROUP_LINKS_MAX) {
		ret->n_more++;
		return;
	}

	link = &ret->links[ret->n_links++];
	*link = (struct cgroup_link){
		.hint = container->hint,
		.start = component->start,
		.end = component->end,
		.qos = ret->qos,
	};
	memcpy(link->id, container->id.s, container->id.n);
	memcpy(link->pod_uid, ret->pod_uid, sizeof(link->pod_uid));
	if (container->is_bare && span_equals(parser->prev.name, "libpod_parent") &&
	    ret->n_more == 0)
		parser->grouping = ret->n_links;
}

/*
 * systemd-nspawn keeps itself in "supervisor" and its guest in "payload", side by side below
 * the unit that carries the name.
 */
static void drop_guest(struct parser *parser)
{
	struct cgroup_parse *ret = parser->ret;
	const struct cgroup_link *last = ret->n_links > 0 ? &ret->links[ret->n_links - 1] : NULL;

	if (last && last->hint == HINT_NSPAWN && ret->n_more == 0 && last->end == parser->prev.end)
		ret->n_links--;
}

static void parse_container(struct parser *parser, const struct component *component)
{
	const struct cgroup_place place = {
		.name = component->name,
		.parent = parser->prev.name,
		.grandparent = parser->prev2.name,
		.is_joined = component->joined,
		/* A Fargate task may be a node of Kubernetes, with another runtime. */
		.below_ecs = parser->below_ecs && parser->ret->pod_uid[0] == '\0',
		.below_nomad = parser->below_nomad,
	};
	struct cgroup_container container;
	enum cgroup_form form = cgroup_form_parse(&place, &container);

	if (form == FORM_CONTAINER)
		add_link(parser, component, &container);
	else if (form == FORM_SUPERVISOR)
		drop_guest(parser);
	else if (form == FORM_MONITOR && span_equals(parser->prev2.name, "libpod_parent"))
		drop_grouping(parser);
}

static void pass_component(struct parser *parser, const struct component *component)
{
	if (span_starts_with(component->name, "nomad"))
		parser->below_nomad = true;
	parser->prev2 = parser->prev;
	parser->prev = *component;
}

static void parse_component(struct parser *parser, const struct component *component)
{
	if (!parse_pod(parser, component) && !parse_qos_level(parser, component))
		parse_container(parser, component);
	pass_component(parser, component);
}

/* The front of a "slice:prefix:id": a pod's slice perhaps, but the one container is the id. */
static void parse_slice(struct parser *parser, const struct component *slice)
{
	if (!parse_pod(parser, slice))
		(void)parse_qos_level(parser, slice);
	pass_component(parser, slice);
}

/* cgroupfs drivers given a systemd path take "slice:prefix:id" for the name of a directory. */
static bool split_colons(const struct component *whole, struct component *ret_slice,
			 struct component *ret_tail)
{
	*ret_slice = *whole;
	*ret_tail = *whole;
	return cgroup_form_split(whole->name, &ret_slice->name, &ret_tail->name, &ret_tail->joined);
}

/* systemd's per-user manager; what is below belongs to that user, whatever it is called. */
static bool is_user_manager(struct span name)
{
	if (!span_starts_with(name, "user@") || !span_ends_with(name, ".service"))
		return false;
	name = span_without_prefix(span_without_suffix(name, ".service"), "user@");
	return name.n <= 10 && span_all_digits(name);
}

static void parse_unit(struct parser *parser, const struct component *component)
{
	struct cgroup_parse *ret = parser->ret;
	struct span name = component->name;
	size_t start = component->end - name.n;

	if (parser->unit_found || ret->n_links > 0)
		return;

	if (span_ends_with(name, ".slice")) {
		if (parser->has_plain)
			return;
	} else if (!is_unit_file(name)) {
		if (!parser->has_plain)
			parser->plain_start = component->start;
		parser->has_plain = true;
		return;
	} else if (parser->has_plain) {
		start = parser->plain_start;
		parser->unit_found = true;
	} else if (ret->unit_owner[0] == '\0' && is_user_manager(name)) {
		memcpy(ret->unit_owner, name.s, name.n);
		parser->owner_end = component->end;
	} else {
		parser->unit_found = true;
	}

	ret->unit_start = start;
	ret->unit_end = component->end;
}

static void parse_whole(struct parser *parser, const struct component *whole)
{
	struct component slice, tail;

	parse_unit(parser, whole);

	/*
	 * A runtime's mount is nobody's cgroup, even when it is named like a container. Inside a
	 * container it is a part of that one like all else.
	 */
	if (span_ends_with(whole->name, ".mount") || span_ends_with(whole->name, ".swap")) {
		if (parser->ret->n_links == 0) {
			parser->ret->pod_uid[0] = '\0';
			parser->ret->pod_end = 0;
			parser->ret->qos = QOS_UNKNOWN;
		}
		parser->ended = true;
		return;
	}

	if (!split_colons(whole, &slice, &tail)) {
		parse_component(parser, whole);
		return;
	}
	if (slice.name.n > 0)
		parse_slice(parser, &slice);
	parse_component(parser, &tail);
}

/* Without the mark that the kernel puts behind the path of a removed cgroup. */
static size_t path_length(const char *path)
{
	static const char deleted[] = " (deleted)";
	size_t n = strcspn(path, "\n");
	struct span span = { path, n };

	if (span_ends_with(span, deleted) && path[n - strlen(deleted) - 1] != '/')
		n -= strlen(deleted);
	while (n > 0 && path[n - 1] == '/')
		n--;
	return n;
}

/* The next component from offset @at on that is a name; returns false at the end. */
static bool next_component(struct parser *parser, size_t *at, struct component *ret)
{
	while (*at < parser->length) {
		const char *s = parser->path + *at;
		const char *slash = memchr(s, '/', parser->length - *at);
		struct span name = { s, slash ? (size_t)(slash - s) : parser->length - *at };
		size_t start = *at;

		*at += name.n + (slash ? 1 : 0);
		if (span_equals(name, ".."))
			parser->climbs = true;
		if (name.n == 0 || span_equals(name, ".") || span_equals(name, ".."))
			continue;

		*ret = (struct component){ .name = name, .start = start, .end = start + name.n };
		if (name.s[0] == '_' && name.n > 1)
			ret->name = span_without_prefix(name, "_");
		return true;
	}
	return false;
}

static bool is_init_scope(const struct component *component)
{
	return span_equals(component->name, "init.scope") &&
	       component->end - component->start == component->name.n;
}

void cgroup_path_parse(const char *path, struct cgroup_parse *ret)
{
	struct parser parser = { .path = path, .length = path_length(path), .ret = ret };
	struct component component;
	size_t at = 0, n = 0;

	memset(ret, 0, sizeof(*ret));
	while (!parser.ended && next_component(&parser, &at, &component)) {
		if (n++ == 0)
			parser.below_ecs = span_starts_with(component.name, "ecs");
		parse_whole(&parser, &component);
	}

	ret->is_users = parser.owner_end > 0;
	/* The user's manager itself is a unit of the system. */
	if (ret->unit_end == parser.owner_end)
		ret->unit_owner[0] = '\0';

	if (!parser.climbs)
		ret->is_root = n == 0 ? path[0] == '/' : n == 1 && is_init_scope(&component);
}

const char *cgroup_line_path(const char *line, int *ret_hierarchy)
{
	size_t digits = strspn(line, "0123456789");
	int hierarchy = 0;
	const char *path;

	if (ret_hierarchy)
		*ret_hierarchy = -1;
	if (digits == 0 || digits > 9 || line[digits] != ':')
		return line;
	path = line + digits + 1;
	path += strcspn(path, ":/\n");
	if (*path != ':')
		return line;

	for (size_t i = 0; i < digits; i++)
		hierarchy = hierarchy * 10 + (line[i] - '0');
	if (ret_hierarchy)
		*ret_hierarchy = hierarchy;
	return path + 1;
}

/* Length of the leading "/.." components, and their number. */
static size_t count_climbs(const char *path, size_t *ret_n)
{
	size_t at = 0, n = 0;

	for (;;) {
		size_t slashes = strspn(path + at, "/");
		const char *name = path + at + slashes;

		if (strncmp(name, "..", 2) != 0 || (name[2] != '/' && name[2] != '\0'))
			break;
		at += slashes + 2;
		n++;
	}
	*ret_n = n;
	return at;
}

static bool has_dotdot(const char *path)
{
	for (const char *p = strstr(path, ".."); p; p = strstr(p + 1, ".."))
		if ((p == path || p[-1] == '/') && (p[2] == '/' || p[2] == '\0'))
			return true;
	return false;
}

static size_t trimmed_length(const char *path, size_t n)
{
	while (n > 0 && path[n - 1] == '/')
		n--;
	return n;
}

int cgroup_path_join(const char *own, const char *seen, char *ret, size_t size)
{
	size_t n_climbs, own_n, seen_n;
	const char *rest = seen + count_climbs(seen, &n_climbs);

	if (has_dotdot(own) || has_dotdot(rest))
		return -EINVAL;

	own += strspn(own, "/");
	own_n = trimmed_length(own, strlen(own));
	for (; n_climbs > 0; n_climbs--) {
		if (own_n == 0)
			return -ERANGE;
		while (own_n > 0 && own[own_n - 1] != '/')
			own_n--;
		own_n = trimmed_length(own, own_n);
	}

	rest += strspn(rest, "/");
	seen_n = trimmed_length(rest, strlen(rest));
	if (own_n + seen_n + 3 > size) /* two slashes and the NUL */
		return -ENAMETOOLONG;

	*ret++ = '/';
	memcpy(ret, own, own_n);
	ret += own_n;
	if (own_n > 0 && seen_n > 0)
		*ret++ = '/';
	memcpy(ret, rest, seen_n);
	ret[seen_n] = '\0';
	return 0;
}

void cgroup_path_squeeze(char *path)
{
	char *end = path;

	for (const char *s = path; *s; s++) {
		if (*s != '/' || end == path || end[-1] != '/')
			*end++ = *s;
	}
	if (end > path + 1 && end[-1] == '/')
		end--;
	*end = '\0';
}
