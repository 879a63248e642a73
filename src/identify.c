/* SPDX-License-Identifier: BSD-2-Clause */
#include "identify.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "runtime/state.h"

void link_answer_done(struct link_answer *answer)
{
	container_done(&answer->container);
	*answer = (struct link_answer){ 0 };
}

/*
 * Whether nothing below it is believed even where nobody knows it: a system that is recognised by
 * its name alone, whose guests build what they like. A Fargate task has a machine of its own, and
 * may be a node whose pods are further in.
 */
static bool hides_guests(enum cgroup_hint hint)
{
	switch (hint) {
	case HINT_KATA:
	case HINT_GARDEN:
	case HINT_LXC:
	case HINT_NSPAWN:
	case HINT_LIBVIRT_LXC:
	case HINT_LIBVIRT_QEMU:
	case HINT_NOMAD:
		return true;
	default:
		return false;
	}
}

/* The component of @path from *@at on; its length, 0 at the end. */
static size_t component(const char *path, size_t *at)
{
	*at += strspn(path + *at, "/");
	return strcspn(path + *at, "/\n");
}

/* A directory that systemd made, below which nobody else names the children. */
static bool is_slice(const char *name, size_t len)
{
	return len > 6 && memcmp(name + len - 6, ".slice", 6) == 0;
}

/* Whether the component @name may be a directory of a runtime's; a copy of it in @ret then. */
static bool take_name(const char *name, size_t len, char ret[static CONTAINER_ID_MAX + 1])
{
	if (len == 0 || len > CONTAINER_ID_MAX)
		return false;
	memcpy(ret, name, len);
	ret[len] = 0;
	return host_root_id_is_safe(ret);
}

/*
 * With the cgroupfs driver plain containerd uses "/<namespace>/<id>" with any name for an id,
 * which looks like everything else, so only its state can tell.
 */
static bool guess_plain(const char *path, const struct cgroup_parse *parse, struct candidate *ret)
{
	char namespace[CONTAINER_ID_MAX + 1];
	size_t at = 0, start, len;

	len = component(path, &at);
	if (is_slice(path + at, len) || !take_name(path + at, len, namespace))
		return false;
	start = at + len;
	len = component(path, &start);
	if (parse->n_links > 0 && parse->links[0].start <= start)
		return false;
	if (parse->pod_end > 0 && parse->pod_end <= start + len)
		return false;

	*ret = (struct candidate){ .link = { .start = start, .end = start + len },
				   .is_guess = true };
	return take_name(path + start, len, ret->link.id) && !state_id_is_hash(ret->link.id);
}

/* What a user made below their own service manager is their word only. */
static bool is_users(const char *path, size_t end)
{
	struct cgroup_link link = { .start = end };
	struct runtime_query query = { .path = path, .link = &link };
	uid_t uid;

	return state_user(&query, &uid);
}

/* The pod that stands for itself where no container is in it. */
static bool is_bare_pod(const struct cgroup_parse *parse)
{
	return parse->n_links == 0 && parse->pod_end > 0;
}

static struct candidate pod_of(const struct cgroup_parse *parse)
{
	struct candidate pod = { .is_pod = true };

	pod.link.start = pod.link.end = parse->pod_end;
	pod.link.qos = parse->qos;
	memcpy(pod.link.pod_uid, parse->pod_uid, sizeof(pod.link.pod_uid));
	return pod;
}

size_t identify_candidates(const char *path, const struct cgroup_parse *parse,
			   struct candidate ret[static CANDIDATES_MAX])
{
	size_t n = 0;

	if (parse->is_root)
		return 0;
	if (guess_plain(path, parse, &ret[n]))
		n++;
	for (size_t i = 0; i < parse->n_links; i++)
		ret[n++] = (struct candidate){ .link = parse->links[i] };

	if (is_bare_pod(parse) && !is_users(path, parse->pod_end))
		ret[n++] = pod_of(parse);
	return n;
}

_Static_assert(sizeof(((struct resolve_trace *)NULL)->attempts) / sizeof(struct resolve_attempt) >=
		       CANDIDATES_MAX * RUNTIMES_MAX + 1,
	       "there is room for all that is asked, and for the kubelet");

static void note(struct resolve_trace *trace, const char *source, const char *id, int error)
{
	struct resolve_attempt *attempt;
	char *answer;
	size_t size;

	if (!trace)
		return;
	attempt = &trace->attempts[trace->n_attempts++];
	answer = attempt->answer;
	size = sizeof(attempt->answer);

	snprintf(attempt->source, sizeof(attempt->source), "%s %.12s", source, id);
	if (error == 0)
		snprintf(answer, size, "known");
	else if (error == -ENOENT)
		snprintf(answer, size, "not known");
	else if (error == -EPERM)
		snprintf(answer, size, "known under another cgroup, so this path is refused");
	else if (error == -EBADMSG)
		snprintf(answer, size, "known, but what is kept about it is damaged");
	else
		snprintf(answer, size, "cannot be read: %s", strerror(-error));
}

/*
 * A prefix can be imitated, so that for an id that is unique the other runtimes are asked after
 * those that the prefix names.
 */
static int ask_runtimes(const struct host_root *root, const struct runtime_query *query,
			struct resolve_trace *trace, struct link_answer *answer)
{
	bool everyone = state_id_is_hash(query->link->id);
	int result = -ENOENT;

	for (int pass = 0; pass < (everyone ? 2 : 1); pass++) {
		for (size_t i = 0; runtimes[i]; i++) {
			int r;

			if (runtimes[i]->match(query) != (pass == 0) ||
			    (pass > 0 && runtimes[i]->by_name))
				continue;
			r = runtimes[i]->inspect(root, query, &answer->container);
			note(trace, runtimes[i]->name, query->link->id, r);
			if (r == 0)
				answer->runtime = runtimes[i];
			if (r == 0 || r == -EPERM)
				return r;
			result = state_merge(result, r);
		}
	}
	return result;
}

static enum link_verdict verdict_of(int error, const struct candidate *candidate)
{
	if (error == 0)
		return LINK_ACCEPTED;
	if (candidate->is_guess)
		return LINK_ABSENT;
	if (error == -EPERM)
		return LINK_REFUSED;
	/* Damaged metadata is no reason to believe somebody further in. */
	if (error == -EBADMSG || hides_guests(candidate->link.hint))
		return LINK_OPAQUE;
	/* Nor is that which is to be read a little later. */
	return error == -EAGAIN ? LINK_UNASKED : LINK_ABSENT;
}

static bool lacks_names(const struct container *container)
{
	return !container->pod_name || (!container->is_sandbox && !container->k8s_container_name);
}

void identify_ask(const struct host_root *root, const char *path, const struct candidate *candidate,
		  bool is_outermost, struct resolve_trace *trace, struct link_answer *ret)
{
	const struct cgroup_link *link = &candidate->link;
	struct runtime_query query = { .path = path, .link = link };
	struct link_answer answer = { .verdict = LINK_OPAQUE };

	if (!candidate->is_pod) {
		int r = ask_runtimes(root, &query, trace, &answer);

		answer.verdict = verdict_of(r, candidate);
		answer.is_known = answer.verdict == LINK_ACCEPTED ||
				  answer.verdict == LINK_REFUSED || r == -EBADMSG;
	}

	if (link->pod_uid[0] && answer.verdict != LINK_REFUSED && is_outermost &&
	    lacks_names(&answer.container) && !is_users(path, link->start)) {
		bool found = kubelet_fill(root, link->pod_uid, link->id, &answer.container);

		note(trace, "kubelet-logs", link->id[0] ? link->id : link->pod_uid,
		     found ? 0 : -ENOENT);
		if (found && !answer.container.source)
			answer.container.source = "kubelet-logs";
		answer.is_known |= found;
	}
	*ret = answer;
}

size_t identify_choose(const enum link_verdict *verdicts, const struct candidate *candidates,
		       size_t n)
{
	size_t absent = CHOSEN_NONE;

	for (size_t i = 0; i < n; i++) {
		if (verdicts[i] == LINK_ACCEPTED)
			return i;
		/* By id only: but not further in than one that was met before. */
		if (verdicts[i] == LINK_OPAQUE)
			return absent != CHOSEN_NONE ? absent : i;
		if (verdicts[i] == LINK_UNASKED && !candidates[i].is_guess)
			return absent != CHOSEN_NONE ? absent : i;
		if (verdicts[i] == LINK_ABSENT && !candidates[i].is_guess && absent == CHOSEN_NONE)
			absent = i;
	}
	return absent;
}

static enum identity_kind kind_of(const struct candidate *candidate,
				  const struct link_answer *answer)
{
	enum cgroup_hint hint = candidate->link.hint;

	if (candidate->is_pod)
		return IDENTITY_POD;
	if (hint == HINT_LIBVIRT_QEMU) /* a virtual machine */
		return IDENTITY_UNIT;
	if (answer->container.is_sandbox || hint == HINT_CRIO_SANDBOX || hint == HINT_KATA)
		return IDENTITY_SANDBOX;
	return IDENTITY_CONTAINER;
}

/* @path[0, @end) with one slash in front. */
static char *path_until(const char *path, size_t end)
{
	char *copy;

	if (asprintf(&copy, "%s%.*s", path[0] == '/' ? "" : "/", (int)end, path) < 0)
		return NULL;
	return copy;
}

/*
 * An id keeps its key when its cgroup is made anew, as on Docker's restart. Below a user's manager
 * it is that user's word, and not summed with anybody else's; an id without metadata is only a
 * path.
 */
static char *key_of(const char *path, const struct candidate *candidate,
		    const struct link_answer *answer)
{
	const struct cgroup_link *link = &candidate->link;
	struct runtime_query query = { .path = path, .link = link };
	bool is_hash = state_id_is_hash(link->id);
	char owner[32] = "", *key = NULL;
	uid_t uid;
	int n;

	if (state_user(&query, &uid))
		snprintf(owner, sizeof(owner), "user@%u:", (unsigned)uid);
	if (answer->verdict != LINK_ACCEPTED || candidate->is_guess)
		n = asprintf(&key, "path:%s%.*s", path[0] == '/' ? "" : "/", (int)link->end, path);
	else
		n = asprintf(&key, "%s%s%s%s", owner, is_hash ? "" : answer->runtime->name,
			     is_hash ? "" : ":", link->id);
	return n < 0 ? NULL : key;
}

/* Copies @from unless it is NULL or empty; clears @ok without memory. */
static char *copy_of(const char *from, bool *ok)
{
	char *copy;

	if (!from || !from[0])
		return NULL;
	copy = strdup(from);
	if (!copy)
		*ok = false;
	return copy;
}

/* The unit that a virtual machine's scope is. */
static char *unit_of(const char *path, const struct cgroup_link *link, bool *ok)
{
	char *unit = strndup(path + link->start, link->end - link->start);

	if (!unit)
		*ok = false;
	return unit;
}

int identify_make(const char *path, const struct candidate *candidate,
		  const struct link_answer *answer, struct identity *ret)
{
	const struct container *container = &answer->container;
	const struct cgroup_link *link = &candidate->link;
	struct identity identity = {
		.kind = kind_of(candidate, answer),
		.qos = link->qos,
		.resolved = answer->verdict == LINK_ACCEPTED || container->source,
		.name_source = container->source,
		.key = key_of(path, candidate, answer),
		.cgroup_path = path_until(path, link->end),
	};
	bool ok = identity.key && identity.cgroup_path;

	identity.container_id = copy_of(link->id, &ok);
	identity.container_name = copy_of(container->name, &ok);
	identity.runtime_name = copy_of(
		answer->runtime ? answer->runtime->name : cgroup_hint_runtime(link->hint), &ok);
	identity.image_name = copy_of(container->image_name, &ok);
	identity.pod_name = copy_of(container->pod_name, &ok);
	identity.pod_uid = copy_of(link->pod_uid[0] ? link->pod_uid : container->pod_uid, &ok);
	identity.namespace_name = copy_of(container->namespace_name, &ok);
	identity.k8s_container_name = copy_of(container->k8s_container_name, &ok);
	if (identity.kind == IDENTITY_UNIT) {
		identity.unit = unit_of(path, link, &ok);
		identity.resolved = true;
	}

	if (!ok) {
		identity_done(&identity);
		return -ENOMEM;
	}
	*ret = identity;
	return 0;
}

int identify_make_own(const char *path, const struct cgroup_parse *parse, struct identity *ret)
{
	struct identity identity = { .resolved = true };
	int n;

	if (parse->is_root) {
		identity.kind = IDENTITY_HOST;
		identity.cgroup_path = strdup("/");
		n = asprintf(&identity.key, "host");
	} else if (parse->unit_end > 0) {
		identity.kind = IDENTITY_UNIT;
		identity.cgroup_path = path_until(path, parse->unit_end);
		n = asprintf(&identity.unit, "%s%s%.*s", parse->unit_owner,
			     parse->unit_owner[0] ? "/" : "",
			     (int)(parse->unit_end - parse->unit_start), path + parse->unit_start);
		if (n < 0)
			identity.unit = NULL;
		else
			n = asprintf(&identity.key, "unit:%s", identity.unit);
	} else {
		identity.resolved = false;
		identity.cgroup_path = path_until(path, strcspn(path, "\n"));
		n = asprintf(&identity.key, "path:%s", path);
	}
	if (n < 0)
		identity.key = NULL;
	/* With a link or a pod that is not believed on the path, the class is no better. */
	if (parse->n_links == 0 && parse->pod_end == 0)
		identity.qos = parse->qos;

	if (!identity.key || !identity.cgroup_path) {
		identity_done(&identity);
		return -ENOMEM;
	}
	*ret = identity;
	return 0;
}

static void note_chain(struct resolve_trace *trace, const struct cgroup_parse *parse)
{
	if (!trace)
		return;
	for (size_t i = 0; i < parse->n_links; i++)
		memcpy(trace->chain[i], parse->links[i].id, sizeof(trace->chain[i]));
	trace->n_chain = parse->n_links;
}

/*
 * Nobody here knows any link of a path that is no cgroup of this machine: a line of a log, or of
 * another node. The rule for what may be believed has nothing to hold on to, and the question
 * is what the text says: the innermost container, and the innermost pod. A virtual machine in a
 * container, as KubeVirt's, is none.
 */
static struct candidate read_text(const struct cgroup_parse *parse,
				  const struct candidate *candidates, size_t n)
{
	struct candidate said;

	if (n > 1 && candidates[n - 1].link.hint == HINT_LIBVIRT_QEMU &&
	    !candidates[n - 2].is_guess)
		n--;
	said = candidates[n - 1];
	memcpy(said.link.pod_uid, parse->pod_uid, sizeof(said.link.pod_uid));
	said.link.qos = parse->qos;
	return said;
}

int identify_path(const struct host_root *root, const char *path, bool text_only,
		  struct resolve_trace *trace, struct identity *ret)
{
	struct candidate candidates[CANDIDATES_MAX];
	enum link_verdict verdicts[CANDIDATES_MAX] = { 0 };
	struct link_answer answers[CANDIDATES_MAX] = { 0 };
	struct cgroup_parse parse;
	bool is_known = false;
	size_t n, asked, chosen;
	int r;

	cgroup_path_parse(path, &parse);
	note_chain(trace, &parse);
	n = identify_candidates(path, &parse, candidates);
	/* What a user's text says is no claim on anybody's account. */
	if (text_only && is_bare_pod(&parse) && is_users(path, parse.pod_end))
		candidates[n++] = pod_of(&parse);
	for (asked = 0; asked < n; asked++) {
		bool is_outermost = asked == 0 || (asked == 1 && candidates[0].is_guess);

		identify_ask(root, path, &candidates[asked], is_outermost, trace, &answers[asked]);
		verdicts[asked] = answers[asked].verdict;
		is_known |= answers[asked].is_known;
		if (verdicts[asked] == LINK_ACCEPTED || verdicts[asked] == LINK_OPAQUE) {
			asked++;
			break;
		}
	}

	chosen = identify_choose(verdicts, candidates, asked);
	if (chosen == CHOSEN_NONE) {
		r = identify_make_own(path, &parse, ret);
	} else if (text_only && !is_known) {
		struct candidate said = read_text(&parse, candidates, n);
		struct link_answer nothing = { .verdict = LINK_ABSENT };

		r = identify_make(path, &said, &nothing, ret);
	} else {
		r = identify_make(path, &candidates[chosen], &answers[chosen], ret);
	}

	for (size_t i = 0; i < asked; i++)
		link_answer_done(&answers[i]);
	return r;
}
