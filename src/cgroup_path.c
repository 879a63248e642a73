/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Container runtimes and the kubelet leave their mark in the names of the cgroups they make. The
 * parser reads the components from the outside in and asks of each: a pod, a monitor, a
 * container? It demands exact forms (64 lower-case hex digits, a UUID), since anything near
 * them may be a file descriptor's hash, a terminal's UUID or an imitation.
 */
#include "cgroup_path.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>

#define ID_LEN	       64
#define STATIC_UID_LEN 32

struct span {
	const char *s;
	size_t n;
};

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
	size_t grouping; /* 1 + index of a link that is a podman pod if another link follows */
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

static bool equals(struct span span, const char *text)
{
	return span.n == strlen(text) && memcmp(span.s, text, span.n) == 0;
}

static bool starts_with(struct span span, const char *text)
{
	size_t n = strlen(text);

	return span.n >= n && memcmp(span.s, text, n) == 0;
}

/* A suffix is only one if something stands before it. */
static bool ends_with(struct span span, const char *text)
{
	size_t n = strlen(text);

	return span.n > n && memcmp(span.s + span.n - n, text, n) == 0;
}

static struct span without_suffix(struct span span, const char *text)
{
	if (ends_with(span, text))
		span.n -= strlen(text);
	return span;
}

static struct span without_prefix(struct span span, const char *text)
{
	size_t n = strlen(text);

	return (struct span){ span.s + n, span.n - n };
}

/* Whether @span is @text, or ends in it behind a dash. */
static bool tail_is(struct span span, const char *text)
{
	size_t n = strlen(text);

	if (!ends_with(span, text))
		return equals(span, text);
	return span.s[span.n - n - 1] == '-';
}

static bool is_digit(char c)
{
	return c >= '0' && c <= '9';
}

static bool is_hex(char c)
{
	return is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool all_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_hex(s[i]))
			return false;
	return true;
}

static bool all_digits(struct span span)
{
	for (size_t i = 0; i < span.n; i++)
		if (!is_digit(span.s[i]))
			return false;
	return span.n > 0;
}

/* Names become keys, file names and output: visible ASCII without a slash. */
static bool is_name(struct span span)
{
	if (span.n == 0 || span.n > CONTAINER_ID_MAX)
		return false;
	for (size_t i = 0; i < span.n; i++)
		if (span.s[i] <= ' ' || span.s[i] > '~' || span.s[i] == '/')
			return false;
	return true;
}

static bool is_unit_file(struct span name)
{
	static const char *const suffixes[] = { ".service", ".scope", ".mount", ".swap",
						".socket" };

	for (size_t i = 0; i < sizeof(suffixes) / sizeof(suffixes[0]); i++)
		if (ends_with(name, suffixes[i]))
			return true;
	return false;
}

/* The lengths of hex groups with a dash between; in slice names "_" stands for it. */
static bool is_grouped_hex(struct span span, const unsigned char *groups, size_t n_groups,
			   bool underscores)
{
	size_t at = 0;

	for (size_t i = 0; i < n_groups; i++) {
		if (i > 0) {
			if (at >= span.n)
				return false;
			if (span.s[at] != '-' && !(underscores && span.s[at] == '_'))
				return false;
			at++;
		}
		if (span.n - at < groups[i] || !all_hex(span.s + at, groups[i]))
			return false;
		at += groups[i];
	}
	return at == span.n;
}

static bool is_uuid(struct span span, bool underscores)
{
	static const unsigned char groups[] = { 8, 4, 4, 4, 12 };

	return is_grouped_hex(span, groups, sizeof(groups), underscores);
}

static bool is_garden_handle(struct span span)
{
	static const unsigned char groups[] = { 8, 4, 4, 4, 4 };

	return is_grouped_hex(span, groups, sizeof(groups), false) || is_uuid(span, false);
}

/*
 * Finds "pod<uid>" at the end of @name, at its start or behind a dash. Counted from the end:
 * "kubepods-burstable-pod…" holds "pod" twice, and an uid may itself begin with "d".
 */
static bool find_pod(struct span name, struct span *ret_before, struct span *ret_uid)
{
	static const size_t lengths[] = { STATIC_UID_LEN, POD_UID_MAX };

	name = without_suffix(name, ".slice");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct span uid, before;

		if (name.n < lengths[i] + strlen("pod"))
			continue;
		uid = (struct span){ name.s + name.n - lengths[i], lengths[i] };
		before = (struct span){ name.s, name.n - lengths[i] };
		if (!tail_is(before, "pod"))
			continue;
		if (lengths[i] == STATIC_UID_LEN ? !all_hex(uid.s, uid.n) : !is_uuid(uid, true))
			continue;

		before.n -= strlen("pod");
		*ret_before = without_suffix(before, "-");
		*ret_uid = uid;
		return true;
	}
	return false;
}

static enum qos_class pod_qos(struct span before, struct span parent)
{
	if (tail_is(before, "burstable") || equals(parent, "burstable"))
		return QOS_BURSTABLE;
	if (tail_is(before, "besteffort") || equals(parent, "besteffort"))
		return QOS_BESTEFFORT;
	/* Guaranteed pods have no level of their own, but a stranger's directory is no proof. */
	if (tail_is(before, "kubepods") || equals(parent, "kubepods"))
		return QOS_GUARANTEED;
	return QOS_UNKNOWN;
}

static bool parse_pod(struct parser *parser, const struct component *component)
{
	struct cgroup_parse *ret = parser->ret;
	struct span before, uid;

	if (!find_pod(component->name, &before, &uid))
		return false;

	for (size_t i = 0; i < uid.n; i++)
		ret->pod_uid[i] = uid.s[i] == '_' ? '-' : uid.s[i];
	ret->pod_uid[uid.n] = '\0';
	ret->pod_end = component->end;
	ret->qos = pod_qos(before, parser->prev.name);
	return true;
}

/*
 * The level between kubepods and the pods. As "burstable" in "kubepods" it only says so if it is
 * the cgroup itself: what is in there, and no pod, may be anything.
 */
static bool parse_qos_level(struct parser *parser, const struct component *component)
{
	struct span name = without_suffix(component->name, ".slice");
	bool is_bare = equals(parser->prev.name, "kubepods") && component->end == parser->length;
	enum qos_class qos;

	if (tail_is(name, "kubepods-burstable") || (is_bare && equals(name, "burstable")))
		qos = QOS_BURSTABLE;
	else if (tail_is(name, "kubepods-besteffort") || (is_bare && equals(name, "besteffort")))
		qos = QOS_BESTEFFORT;
	else
		return false;

	if (parser->ret->pod_uid[0] == '\0')
		parser->ret->qos = qos;
	return true;
}

static void add_link(struct parser *parser, const struct component *component,
		     enum cgroup_hint hint, struct span id)
{
	struct cgroup_parse *ret = parser->ret;
	struct cgroup_link *link;

	if (parser->grouping > 0 && parser->grouping == ret->n_links)
		ret->n_links--;
	parser->grouping = 0;

	if (ret->n_links == CGROUP_LINKS_MAX) {
		ret->n_more++;
		return;
	}

	link = &ret->links[ret->n_links++];
	*link = (struct cgroup_link){
		.hint = hint,
		.start = component->start,
		.end = component->end,
		.qos = ret->qos,
	};
	memcpy(link->id, id.s, id.n);
	memcpy(link->pod_uid, ret->pod_uid, sizeof(link->pod_uid));
}

static void add_name(struct parser *parser, const struct component *component,
		     enum cgroup_hint hint, struct span name)
{
	if (is_name(name))
		add_link(parser, component, hint, name);
}

/* Processes of the runtime on the host's side, beside the container that the name holds. */
static bool is_monitor(struct span name)
{
	static const char *const prefixes[] = { "crio-conmon-", "crio-conmon:", "libpod-conmon-",
						"libpod-conmon:", "lxc.monitor." };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (starts_with(name, prefixes[i]))
			return true;
	return equals(name, "conmon");
}

/*
 * systemd-nspawn keeps itself in "supervisor" and its guest in "payload", side by side below
 * the unit that carries the name.
 */
static bool parse_supervisor(struct parser *parser, struct span name)
{
	struct cgroup_parse *ret = parser->ret;
	const struct cgroup_link *last;

	if (!equals(name, "supervisor"))
		return false;

	last = ret->n_links > 0 ? &ret->links[ret->n_links - 1] : NULL;
	if (last && last->hint == HINT_NSPAWN && ret->n_more == 0 && last->end == parser->prev.end)
		ret->n_links--;
	return true;
}

/* kata's overhead is kept by the sandbox's id, or below a copy of the pod's whole path. */
static bool is_pod_tree(struct span name)
{
	return equals(name, "kubepods") || equals(name, "kubelet") || equals(name, "docker") ||
	       ends_with(name, ".slice");
}

/* Directories whose every child is one. */
static bool parse_by_parent(struct parser *parser, const struct component *component)
{
	struct span parent = parser->prev.name, grandparent = parser->prev2.name;
	struct span name = component->name;
	enum cgroup_hint hint;

	if (equals(parent, "lxc"))
		hint = equals(grandparent, "libvirt") ? HINT_LIBVIRT_LXC : HINT_LXC;
	else if (equals(parent, "qemu") && equals(grandparent, "libvirt"))
		hint = HINT_LIBVIRT_QEMU;
	else if (equals(parent, "lxc.payload"))
		hint = HINT_LXC;
	else if (equals(parent, "kata_overhead") && !is_pod_tree(name))
		hint = HINT_KATA;
	else if (equals(parent, "lxc.monitor"))
		return true;
	else
		return false;

	add_name(parser, component, hint, name);
	return true;
}

static bool parse_garden(struct parser *parser, const struct component *component)
{
	struct span parent = parser->prev.name;

	/* With CPU entitlements, well-behaved and other containers are kept apart. */
	if (equals(parent, "good") || equals(parent, "bad"))
		parent = parser->prev2.name;
	if (!equals(parent, "garden") || !is_garden_handle(component->name))
		return false;

	add_link(parser, component, HINT_GARDEN, component->name);
	return true;
}

static enum cgroup_hint prefix_hint(struct span word)
{
	static const struct {
		const char *word;
		enum cgroup_hint hint;
	} prefixes[] = {
		{ "docker", HINT_DOCKER },
		{ "cri-containerd", HINT_CONTAINERD },
		{ "crio", HINT_CRIO },
		{ "libpod", HINT_PODMAN },
		{ "libpod-payload", HINT_PODMAN },
		{ "nerdctl", HINT_NERDCTL },
	};

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (equals(word, prefixes[i].word))
			return prefixes[i].hint;
	return HINT_NONE;
}

static bool parse_bare_id(struct parser *parser, const struct component *component, struct span id)
{
	struct span parent = parser->prev.name;
	/* Below an ECS task; but a Fargate task may be a node of Kubernetes, with another runtime.
	 */
	bool is_docker =
		equals(parent, "docker") || (parser->below_ecs && parser->ret->pod_uid[0] == '\0');

	add_link(parser, component, is_docker ? HINT_DOCKER : HINT_NONE, id);
	if (equals(parent, "libpod_parent") && parser->ret->n_more == 0)
		parser->grouping = parser->ret->n_links;
	return true;
}

/* "<id>", "word-<id>", either with ".scope". */
static bool parse_hex_id(struct parser *parser, const struct component *component)
{
	struct span name = without_suffix(component->name, ".scope");
	struct span id, word;
	enum cgroup_hint hint;
	char joint;

	if (name.n < ID_LEN)
		return false;
	id = (struct span){ name.s + name.n - ID_LEN, ID_LEN };
	if (!all_hex(id.s, id.n))
		return false;
	if (name.n == ID_LEN)
		return parse_bare_id(parser, component, id);

	word = (struct span){ name.s, name.n - ID_LEN - 1 };
	joint = name.s[word.n];
	if (word.n == 0 || joint != (component->joined ? ':' : '-'))
		return false;

	hint = prefix_hint(word);
	/* CRI-O puts a sandbox without a process into a bare directory, all else into a scope. */
	if (hint == HINT_CRIO && !component->joined && name.n == component->name.n &&
	    ends_with(parser->prev.name, ".slice"))
		hint = HINT_CRIO_SANDBOX;
	add_link(parser, component, hint, id);
	return true;
}

/* AWS Fargate: the task's 32 digits and the container's number. */
static bool parse_fargate(struct parser *parser, const struct component *component)
{
	struct span name = component->name;

	if (name.n <= STATIC_UID_LEN + 1 || name.n > STATIC_UID_LEN + 1 + 20)
		return false;
	if (!all_hex(name.s, STATIC_UID_LEN) || name.s[STATIC_UID_LEN] != '-')
		return false;
	if (!all_digits((struct span){ name.s + STATIC_UID_LEN + 1, name.n - STATIC_UID_LEN - 1 }))
		return false;

	add_link(parser, component, HINT_ECS, name);
	return true;
}

static bool unescape_byte(const char *s, size_t n, char *ret)
{
	unsigned value = 0;

	if (n < 4 || s[0] != '\\' || s[1] != 'x')
		return false;
	for (size_t i = 2; i < 4; i++) {
		if (!is_hex(s[i]))
			return false;
		value = value * 16 + (unsigned)(is_digit(s[i]) ? s[i] - '0' : s[i] - 'a' + 10);
	}
	*ret = (char)value;
	return true;
}

/* Undoes systemd's "\xNN" into @buffer. An empty result: it does not fit. */
static struct span unescape(struct span escaped, char *buffer, size_t size)
{
	size_t n = 0;

	for (size_t i = 0; i < escaped.n; i++, n++) {
		if (n == size)
			return (struct span){ buffer, 0 };
		if (unescape_byte(escaped.s + i, escaped.n - i, &buffer[n]))
			i += 3;
		else
			buffer[n] = escaped.s[i];
	}
	return (struct span){ buffer, n };
}

/* Removes "qemu-N-" and the like. */
static bool strip_numbered(struct span *name, const char *prefix)
{
	struct span rest;
	size_t digits = 0;

	if (!starts_with(*name, prefix))
		return false;
	rest = without_prefix(*name, prefix);
	while (digits < rest.n && is_digit(rest.s[digits]))
		digits++;
	if (digits == 0 || digits + 1 >= rest.n || rest.s[digits] != '-')
		return false;

	*name = (struct span){ rest.s + digits + 1, rest.n - digits - 1 };
	return true;
}

static bool is_machine_slice(struct span name)
{
	return equals(name, "machine.slice") ||
	       (starts_with(name, "machine-") && ends_with(name, ".slice"));
}

/* libvirt's own names where there is no systemd. */
static bool parse_libvirt(struct parser *parser, const struct component *component)
{
	struct span name = component->name;
	enum cgroup_hint hint;

	if (ends_with(name, ".libvirt-qemu")) {
		hint = HINT_LIBVIRT_QEMU;
		name = without_suffix(name, ".libvirt-qemu");
	} else if (ends_with(name, ".libvirt-lxc")) {
		hint = HINT_LIBVIRT_LXC;
		name = without_suffix(name, ".libvirt-lxc");
	} else {
		return false;
	}

	if (!strip_numbered(&name, "qemu-"))
		(void)strip_numbered(&name, "lxc-");
	add_name(parser, component, hint, name);
	return true;
}

/* Leaves the name of a template unit that runs one container: systemd's own, and NixOS's. */
static bool strip_nspawn_unit(struct span *name, struct span parent)
{
	static const char nspawn[] = "systemd-nspawn@", nixos[] = "container@";
	const char *prefix = starts_with(*name, nspawn) ? nspawn : nixos;

	if (!starts_with(*name, prefix) || !ends_with(*name, ".service"))
		return false;
	/* Anybody may call a service so; one in the machines' slice runs a machine. */
	if (prefix == nixos && !is_machine_slice(parent))
		return false;
	*name = without_prefix(without_suffix(*name, ".service"), prefix);
	return true;
}

/* systemd-machined's "machine-<escaped name>.scope"; libvirt's names carry driver and number. */
static bool parse_machine(struct parser *parser, const struct component *component)
{
	char buffer[CONTAINER_ID_MAX + 1];
	enum cgroup_hint hint = HINT_NSPAWN;
	struct span name = component->name;

	if (strip_nspawn_unit(&name, parser->prev.name)) {
		name = unescape(name, buffer, sizeof(buffer));
	} else if (starts_with(name, "machine-") && ends_with(name, ".scope") &&
		   is_machine_slice(parser->prev.name)) {
		name = without_prefix(without_suffix(name, ".scope"), "machine-");
		name = unescape(name, buffer, sizeof(buffer));
		if (strip_numbered(&name, "qemu-"))
			hint = HINT_LIBVIRT_QEMU;
		else if (strip_numbered(&name, "lxc-"))
			hint = HINT_LIBVIRT_LXC;
	} else {
		return false;
	}

	add_name(parser, component, hint, name);
	return true;
}

/* Nomad's own drivers: "<allocation>.<task>.scope" below nomad.slice/share.slice. */
static bool parse_nomad(struct parser *parser, const struct component *component)
{
	struct span parent = without_suffix(parser->prev.name, ".slice");
	struct span name = without_suffix(component->name, ".scope");

	if (!parser->below_nomad || ends_with(name, ".slice"))
		return false;
	if (!equals(parent, "share") && !equals(parent, "reserve")) {
		/* Before the pools there was one level less; there only the form tells. */
		if (!equals(parent, "nomad") || name.n <= POD_UID_MAX + 1 ||
		    !is_uuid((struct span){ name.s, POD_UID_MAX }, false) ||
		    name.s[POD_UID_MAX] != '.')
			return false;
	}

	add_name(parser, component, HINT_NOMAD, name);
	return true;
}

static bool parse_by_name(struct parser *parser, const struct component *component)
{
	struct span name = component->name;

	if (starts_with(name, "lxc.payload.")) {
		name = without_suffix(without_prefix(name, "lxc.payload."), ".scope");
		add_name(parser, component, HINT_LXC, name);
		return true;
	}
	if (starts_with(name, "kata_") && !equals(name, "kata_overhead")) {
		name = without_suffix(name, ".scope");
		add_name(parser, component, HINT_KATA, without_prefix(name, "kata_"));
		return true;
	}
	return parse_machine(parser, component) || parse_libvirt(parser, component) ||
	       parse_nomad(parser, component);
}

static void pass_component(struct parser *parser, const struct component *component)
{
	if (starts_with(component->name, "nomad"))
		parser->below_nomad = true;
	parser->prev2 = parser->prev;
	parser->prev = *component;
}

static void parse_component(struct parser *parser, const struct component *component)
{
	(void)(parse_pod(parser, component) || parse_qos_level(parser, component) ||
	       parse_by_parent(parser, component) || is_monitor(component->name) ||
	       parse_supervisor(parser, component->name) || parse_garden(parser, component) ||
	       parse_hex_id(parser, component) || parse_fargate(parser, component) ||
	       parse_by_name(parser, component));
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
	struct span name = whole->name;
	const char *first = memchr(name.s, ':', name.n);
	const char *second, *end = name.s + name.n;

	if (!first)
		return false;
	second = memchr(first + 1, ':', (size_t)(end - first) - 1);
	if (!second || end - second - 1 != ID_LEN || !all_hex(second + 1, ID_LEN))
		return false;

	*ret_slice = *whole;
	ret_slice->name.n = (size_t)(first - name.s);
	*ret_tail = *whole;
	ret_tail->joined = second > first + 1;
	ret_tail->name.s = ret_tail->joined ? first + 1 : second + 1;
	ret_tail->name.n = (size_t)(end - ret_tail->name.s);
	return true;
}

/* systemd's per-user manager; what is below belongs to that user, whatever it is called. */
static bool is_user_manager(struct span name)
{
	if (!starts_with(name, "user@") || !ends_with(name, ".service"))
		return false;
	name = without_prefix(without_suffix(name, ".service"), "user@");
	return name.n <= 10 && all_digits(name);
}

static void parse_unit(struct parser *parser, const struct component *component)
{
	struct cgroup_parse *ret = parser->ret;
	struct span name = component->name;
	size_t start = component->end - name.n;

	if (parser->unit_found || ret->n_links > 0)
		return;

	if (ends_with(name, ".slice")) {
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
	if (ends_with(whole->name, ".mount") || ends_with(whole->name, ".swap")) {
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

	if (ends_with(span, deleted) && path[n - strlen(deleted) - 1] != '/')
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
		if (equals(name, ".."))
			parser->climbs = true;
		if (name.n == 0 || equals(name, ".") || equals(name, ".."))
			continue;

		*ret = (struct component){ .name = name, .start = start, .end = start + name.n };
		if (name.s[0] == '_' && name.n > 1)
			ret->name = without_prefix(name, "_");
		return true;
	}
	return false;
}

static bool is_init_scope(const struct component *component)
{
	return equals(component->name, "init.scope") &&
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
			parser.below_ecs = starts_with(component.name, "ecs");
		parse_whole(&parser, &component);
	}

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

const char *cgroup_hint_runtime(enum cgroup_hint hint)
{
	static const char *const names[] = {
		[HINT_NONE] = NULL,
		[HINT_DOCKER] = "docker",
		[HINT_CONTAINERD] = "containerd",
		[HINT_CRIO] = "cri-o",
		[HINT_CRIO_SANDBOX] = "cri-o",
		[HINT_PODMAN] = "podman",
		[HINT_NERDCTL] = "containerd", /* whose containers nerdctl makes */
		[HINT_KATA] = "kata",
		[HINT_ECS] = "ecs-fargate",
		[HINT_GARDEN] = "garden",
		[HINT_LXC] = "lxc",
		[HINT_NSPAWN] = "systemd-nspawn",
		[HINT_LIBVIRT_LXC] = "libvirt-lxc",
		[HINT_LIBVIRT_QEMU] = "libvirt-qemu",
		[HINT_NOMAD] = "nomad",
	};
	_Static_assert(sizeof(names) / sizeof(names[0]) == HINT_N_, "a hint without a line");

	return (unsigned)hint < HINT_N_ ? names[hint] : NULL;
}
