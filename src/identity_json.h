/* SPDX-License-Identifier: BSD-2-Clause */
/* An identity as JSON: the same keys in a container's record and in `cgscope resolve`. */
#pragma once

#include <jansson.h>

#include "identity.h"

/*
 * Adds kind, container, k8s, qos, systemd, cgroup, resolved and name_source to @object: absent
 * facts as absent keys, strangers' bytes made valid UTF-8. k8s.node.name is @node unless that is
 * NULL. Returns 0 or -ENOMEM.
 */
int identity_add_json(const struct identity *identity, const char *node, json_t *object);

/* A string made of @bytes, which need not be UTF-8; a new reference, NULL without memory. */
json_t *json_string_safe(const char *bytes);
