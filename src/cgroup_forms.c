/* SPDX-License-Identifier: BSD-2-Clause */
#include "cgroup_forms.h"

#include <string.h>

#define ID_LEN	       64
#define STATIC_UID_LEN 32

static bool is_hex(char c)
{
	return char_is_digit(c) || (c >= 'a' && c <= 'f');
}

static bool all_hex(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		if (!is_hex(s[i]))
			return false;
	return true;
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

	name = span_without_suffix(name, ".slice");
	for (size_t i = 0; i < sizeof(lengths) / sizeof(lengths[0]); i++) {
		struct span uid, before;

		if (name.n < lengths[i] + strlen("pod"))
			continue;
		uid = (struct span){ name.s + name.n - lengths[i], lengths[i] };
		before = (struct span){ name.s, name.n - lengths[i] };
		if (!span_tail_is(before, "pod"))
			continue;
		if (lengths[i] == STATIC_UID_LEN ? !all_hex(uid.s, uid.n) : !is_uuid(uid, true))
			continue;

		before.n -= strlen("pod");
		*ret_before = span_without_suffix(before, "-");
		*ret_uid = uid;
		return true;
	}
	return false;
}

static enum qos_class pod_qos(struct span before, struct span parent)
{
	if (span_tail_is(before, "burstable") || span_equals(parent, "burstable"))
		return QOS_BURSTABLE;
	if (span_tail_is(before, "besteffort") || span_equals(parent, "besteffort"))
		return QOS_BESTEFFORT;
	/* Guaranteed pods have no level of their own, but a stranger's directory is no proof. */
	if (span_tail_is(before, "kubepods") || span_equals(parent, "kubepods"))
		return QOS_GUARANTEED;
	return QOS_UNKNOWN;
}

bool cgroup_form_is_pod(struct span name, struct span parent, struct span *ret_uid,
			enum qos_class *ret_qos)
{
	struct span before;

	if (!find_pod(name, &before, ret_uid))
		return false;
	*ret_qos = pod_qos(before, parent);
	return true;
}

enum qos_class cgroup_form_qos_level(struct span name, struct span parent, bool is_last)
{
	bool is_bare = span_equals(parent, "kubepods") && is_last;

	name = span_without_suffix(name, ".slice");
	if (span_tail_is(name, "kubepods-burstable") || (is_bare && span_equals(name, "burstable")))
		return QOS_BURSTABLE;
	if (span_tail_is(name, "kubepods-besteffort") ||
	    (is_bare && span_equals(name, "besteffort")))
		return QOS_BESTEFFORT;
	return QOS_UNKNOWN;
}

bool cgroup_form_split(struct span name, struct span *ret_slice, struct span *ret_tail,
		       bool *ret_joined)
{
	const char *first = memchr(name.s, ':', name.n);
	const char *second, *end = name.s + name.n;

	if (!first)
		return false;
	second = memchr(first + 1, ':', (size_t)(end - first) - 1);
	if (!second || end - second - 1 != ID_LEN || !all_hex(second + 1, ID_LEN))
		return false;

	*ret_joined = second > first + 1;
	*ret_slice = (struct span){ name.s, (size_t)(first - name.s) };
	*ret_tail = (struct span){ *ret_joined ? first + 1 : second + 1, 0 };
	ret_tail->n = (size_t)(end - ret_tail->s);
	return true;
}

static enum cgroup_form container(enum cgroup_hint hint, struct span id,
				  struct cgroup_container *ret)
{
	ret->hint = hint;
	ret->id = id;
	ret->is_bare = false;
	return FORM_CONTAINER;
}

/* A name that is no id may be anything, even nothing. */
static enum cgroup_form named(enum cgroup_hint hint, struct span name, struct cgroup_container *ret)
{
	return is_name(name) ? container(hint, name, ret) : FORM_NAMELESS;
}

/* kata's overhead is kept by the sandbox's id, or below a copy of the pod's whole path. */
static bool is_pod_tree(struct span name)
{
	return span_equals(name, "kubepods") || span_equals(name, "kubelet") ||
	       span_equals(name, "docker") || span_ends_with(name, ".slice");
}

/* Directories whose every child is one. */
static enum cgroup_form parse_by_parent(const struct cgroup_place *place,
					struct cgroup_container *ret)
{
	struct span parent = place->parent, grandparent = place->grandparent, name = place->name;

	if (span_equals(parent, "lxc"))
		return named(span_equals(grandparent, "libvirt") ? HINT_LIBVIRT_LXC : HINT_LXC,
			     name, ret);
	if (span_equals(parent, "qemu") && span_equals(grandparent, "libvirt"))
		return named(HINT_LIBVIRT_QEMU, name, ret);
	if (span_equals(parent, "lxc.payload"))
		return named(HINT_LXC, name, ret);
	if (span_equals(parent, "kata_overhead") && !is_pod_tree(name))
		return named(HINT_KATA, name, ret);
	return span_equals(parent, "lxc.monitor") ? FORM_MONITOR : FORM_NONE;
}

/* Processes of the runtime on the host's side, beside the container that the name holds. */
static enum cgroup_form parse_monitor(const struct cgroup_place *place,
				      struct cgroup_container *ret)
{
	static const char *const prefixes[] = { "crio-conmon-", "crio-conmon:", "libpod-conmon-",
						"libpod-conmon:", "lxc.monitor." };

	for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
		if (span_starts_with(place->name, prefixes[i]))
			return FORM_MONITOR;
	return span_equals(place->name, "conmon") ? FORM_MONITOR : FORM_NONE;
}

static enum cgroup_form parse_supervisor(const struct cgroup_place *place,
					 struct cgroup_container *ret)
{
	return span_equals(place->name, "supervisor") ? FORM_SUPERVISOR : FORM_NONE;
}

static enum cgroup_form parse_garden(const struct cgroup_place *place, struct cgroup_container *ret)
{
	struct span parent = place->parent;

	/* With CPU entitlements, well-behaved and other containers are kept apart. */
	if (span_equals(parent, "good") || span_equals(parent, "bad"))
		parent = place->grandparent;
	if (!span_equals(parent, "garden") || !is_garden_handle(place->name))
		return FORM_NONE;
	return container(HINT_GARDEN, place->name, ret);
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
		if (span_equals(word, prefixes[i].word))
			return prefixes[i].hint;
	return HINT_NONE;
}

/* "<id>", "word-<id>", either with ".scope". */
static enum cgroup_form parse_hex_id(const struct cgroup_place *place, struct cgroup_container *ret)
{
	struct span name = span_without_suffix(place->name, ".scope"), id, word;
	enum cgroup_hint hint;
	char joint;

	if (name.n < ID_LEN)
		return FORM_NONE;
	id = (struct span){ name.s + name.n - ID_LEN, ID_LEN };
	if (!all_hex(id.s, id.n))
		return FORM_NONE;
	if (name.n == ID_LEN) {
		(void)container(span_equals(place->parent, "docker") || place->below_ecs
					? HINT_DOCKER
					: HINT_NONE,
				id, ret);
		ret->is_bare = true;
		return FORM_CONTAINER;
	}

	word = (struct span){ name.s, name.n - ID_LEN - 1 };
	joint = name.s[word.n];
	if (word.n == 0 || joint != (place->is_joined ? ':' : '-'))
		return FORM_NONE;

	hint = prefix_hint(word);
	/* CRI-O puts a sandbox without a process into a bare directory, all else into a scope. */
	if (hint == HINT_CRIO && !place->is_joined && name.n == place->name.n &&
	    span_ends_with(place->parent, ".slice"))
		hint = HINT_CRIO_SANDBOX;
	return container(hint, id, ret);
}

/* AWS Fargate: the task's 32 digits and the container's number. */
static enum cgroup_form parse_fargate(const struct cgroup_place *place,
				      struct cgroup_container *ret)
{
	struct span name = place->name;

	if (name.n <= STATIC_UID_LEN + 1 || name.n > STATIC_UID_LEN + 1 + 20)
		return FORM_NONE;
	if (!all_hex(name.s, STATIC_UID_LEN) || name.s[STATIC_UID_LEN] != '-')
		return FORM_NONE;
	if (!span_all_digits(
		    (struct span){ name.s + STATIC_UID_LEN + 1, name.n - STATIC_UID_LEN - 1 }))
		return FORM_NONE;
	return container(HINT_ECS, name, ret);
}

static bool unescape_byte(const char *s, size_t n, char *ret)
{
	unsigned value = 0;

	if (n < 4 || s[0] != '\\' || s[1] != 'x')
		return false;
	for (size_t i = 2; i < 4; i++) {
		if (!is_hex(s[i]))
			return false;
		value = value * 16 + (unsigned)(char_is_digit(s[i]) ? s[i] - '0' : s[i] - 'a' + 10);
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

	if (!span_starts_with(*name, prefix))
		return false;
	rest = span_without_prefix(*name, prefix);
	while (digits < rest.n && char_is_digit(rest.s[digits]))
		digits++;
	if (digits == 0 || digits + 1 >= rest.n || rest.s[digits] != '-')
		return false;

	*name = (struct span){ rest.s + digits + 1, rest.n - digits - 1 };
	return true;
}

static bool is_machine_slice(struct span name)
{
	return span_equals(name, "machine.slice") ||
	       (span_starts_with(name, "machine-") && span_ends_with(name, ".slice"));
}

/* libvirt's own names where there is no systemd. */
static enum cgroup_form parse_libvirt(const struct cgroup_place *place,
				      struct cgroup_container *ret)
{
	struct span name = place->name;
	enum cgroup_hint hint;

	if (span_ends_with(name, ".libvirt-qemu")) {
		hint = HINT_LIBVIRT_QEMU;
		name = span_without_suffix(name, ".libvirt-qemu");
	} else if (span_ends_with(name, ".libvirt-lxc")) {
		hint = HINT_LIBVIRT_LXC;
		name = span_without_suffix(name, ".libvirt-lxc");
	} else {
		return FORM_NONE;
	}

	if (!strip_numbered(&name, "qemu-"))
		(void)strip_numbered(&name, "lxc-");
	return named(hint, name, ret);
}

/* Leaves the name of a template unit that runs one container: systemd's own, and NixOS's. */
static bool strip_nspawn_unit(struct span *name, struct span parent)
{
	static const char nspawn[] = "systemd-nspawn@", nixos[] = "container@";
	const char *prefix = span_starts_with(*name, nspawn) ? nspawn : nixos;

	if (!span_starts_with(*name, prefix) || !span_ends_with(*name, ".service"))
		return false;
	/* Anybody may call a service so; one in the machines' slice runs a machine. */
	if (prefix == nixos && !is_machine_slice(parent))
		return false;
	*name = span_without_prefix(span_without_suffix(*name, ".service"), prefix);
	return true;
}

/* systemd-machined's "machine-<escaped name>.scope"; libvirt's names carry driver and number. */
static enum cgroup_form parse_machine(const struct cgroup_place *place,
				      struct cgroup_container *ret)
{
	enum cgroup_hint hint = HINT_NSPAWN;
	struct span name = place->name;

	if (strip_nspawn_unit(&name, place->parent)) {
		name = unescape(name, ret->buffer, sizeof(ret->buffer));
	} else if (span_starts_with(name, "machine-") && span_ends_with(name, ".scope") &&
		   is_machine_slice(place->parent)) {
		name = span_without_prefix(span_without_suffix(name, ".scope"), "machine-");
		name = unescape(name, ret->buffer, sizeof(ret->buffer));
		if (strip_numbered(&name, "qemu-"))
			hint = HINT_LIBVIRT_QEMU;
		else if (strip_numbered(&name, "lxc-"))
			hint = HINT_LIBVIRT_LXC;
	} else {
		return FORM_NONE;
	}
	return named(hint, name, ret);
}

/* Nomad's own drivers: "<allocation>.<task>.scope" below nomad.slice/share.slice. */
static enum cgroup_form parse_nomad(const struct cgroup_place *place, struct cgroup_container *ret)
{
	struct span parent = span_without_suffix(place->parent, ".slice");
	struct span name = span_without_suffix(place->name, ".scope");

	if (!place->below_nomad || span_ends_with(name, ".slice"))
		return FORM_NONE;
	if (!span_equals(parent, "share") && !span_equals(parent, "reserve")) {
		/* Before the pools there was one level less; there only the form tells. */
		if (!span_equals(parent, "nomad") || name.n <= POD_UID_MAX + 1 ||
		    !is_uuid((struct span){ name.s, POD_UID_MAX }, false) ||
		    name.s[POD_UID_MAX] != '.')
			return FORM_NONE;
	}
	return named(HINT_NOMAD, name, ret);
}

static enum cgroup_form parse_lxc(const struct cgroup_place *place, struct cgroup_container *ret)
{
	if (!span_starts_with(place->name, "lxc.payload."))
		return FORM_NONE;
	return named(
		HINT_LXC,
		span_without_suffix(span_without_prefix(place->name, "lxc.payload."), ".scope"),
		ret);
}

static enum cgroup_form parse_kata(const struct cgroup_place *place, struct cgroup_container *ret)
{
	if (!span_starts_with(place->name, "kata_") || span_equals(place->name, "kata_overhead"))
		return FORM_NONE;
	return named(HINT_KATA,
		     span_without_prefix(span_without_suffix(place->name, ".scope"), "kata_"), ret);
}

enum cgroup_form cgroup_form_parse(const struct cgroup_place *place, struct cgroup_container *ret)
{
	/* The first one counts. */
	static enum cgroup_form (*const parsers[])(const struct cgroup_place *place,
						   struct cgroup_container *ret) = {
		parse_by_parent, parse_monitor, parse_supervisor, parse_garden,
		parse_hex_id,	 parse_fargate, parse_lxc,	  parse_kata,
		parse_machine,	 parse_libvirt, parse_nomad,
	};

	for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++) {
		enum cgroup_form form = parsers[i](place, ret);

		if (form != FORM_NONE)
			return form;
	}
	return FORM_NONE;
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
