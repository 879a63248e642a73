/* SPDX-License-Identifier: BSD-2-Clause */
#include "identity_json.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "text.h"

/* text_to_utf8() writes at most three bytes, U+FFFD, for one that it does not take. */
json_t *json_string_safe(const char *bytes)
{
	_cleanup_(freep) char *safe = NULL;
	size_t n = strlen(bytes), size = 3 * n + 1;

	safe = malloc(size);
	if (!safe)
		return NULL;
	n = text_to_utf8(bytes, n, safe, size);
	return json_stringn(safe, n);
}

/* Sets object.key, or object.key.inner if @inner is given, to @value unless that is NULL. */
static int add_string(json_t *object, const char *key, const char *inner, const char *value)
{
	if (!value)
		return 0;

	if (inner) {
		json_t *child = json_object_get(object, key);

		if (!child) {
			child = json_object();
			if (json_object_set_new(object, key, child) < 0)
				return -ENOMEM;
		}
		object = child;
		key = inner;
	}
	return json_object_set_new(object, key, json_string_safe(value)) < 0 ? -ENOMEM : 0;
}

/* Adds @child, which is taken over, as object.key unless it is empty. */
static int add_object(json_t *object, const char *key, json_t *child)
{
	if (!child)
		return -ENOMEM;
	if (json_object_size(child) == 0) {
		json_decref(child);
		return 0;
	}
	return json_object_set_new(object, key, child) < 0 ? -ENOMEM : 0;
}

struct member {
	const char *key;
	const char *inner;
	const char *value;
};

static json_t *object_of(const struct member *members, size_t n_members)
{
	json_t *object = json_object();

	for (size_t i = 0; object && i < n_members; i++) {
		const struct member *m = &members[i];

		if (add_string(object, m->key, m->inner, m->value) < 0) {
			json_decref(object);
			return NULL;
		}
	}
	return object;
}

#define OBJECT_OF(...)                                                                             \
	object_of((const struct member[]){ __VA_ARGS__ },                                          \
		  sizeof((const struct member[]){ __VA_ARGS__ }) / sizeof(struct member))

static json_t *k8s_object(const struct identity *identity, const char *node)
{
	return OBJECT_OF({ "node", "name", node },
			 { "namespace", "name", identity->namespace_name },
			 { "pod", "name", identity->pod_name }, { "pod", "uid", identity->pod_uid },
			 { "container", "name", identity->k8s_container_name });
}

static json_t *cgroup_object(const struct identity *identity)
{
	char id[24] = "";

	/* A string: readers that keep numbers as doubles would round it. */
	if (identity->cgroup_id != 0)
		snprintf(id, sizeof(id), "%" PRIu64, identity->cgroup_id);
	return OBJECT_OF({ "id", NULL, id[0] ? id : NULL },
			 { "path", NULL, identity->cgroup_path });
}

int identity_add_json(const struct identity *identity, const char *node, json_t *object)
{
	int r;

	r = add_string(object, "kind", NULL, identity_kind_name(identity->kind));
	if (r < 0)
		return r;
	r = add_object(object, "container",
		       OBJECT_OF({ "id", NULL, identity->container_id },
				 { "name", NULL, identity->container_name },
				 { "runtime", "name", identity->runtime_name },
				 { "image", "name", identity->image_name }));
	if (r < 0)
		return r;
	r = add_object(object, "k8s", k8s_object(identity, node));
	if (r < 0)
		return r;
	r = add_string(object, "qos", NULL, qos_class_name(identity->qos));
	if (r < 0)
		return r;
	r = add_object(object, "systemd", OBJECT_OF({ "unit", NULL, identity->unit }));
	if (r < 0)
		return r;
	r = add_object(object, "cgroup", cgroup_object(identity));
	if (r < 0)
		return r;
	if (json_object_set_new(object, "resolved", json_boolean(identity->resolved)) < 0)
		return -ENOMEM;
	return add_string(object, "name_source", NULL, identity->name_source);
}
