/* SPDX-License-Identifier: BSD-2-Clause */
/* An answer of `cgscope resolve` as a line of JSON. */
#include "output.h"

#include <errno.h>
#include <stdlib.h>

#include <jansson.h>

#include "cleanup.h"
#include "identity_json.h"
#include "resolver.h"

static json_t *tried_array(const struct resolve_trace *tried)
{
	_cleanup_(json_decrefp) json_t *array = json_array();

	for (size_t i = 0; i < tried->n_attempts; i++) {
		const struct resolve_attempt *attempt = &tried->attempts[i];
		json_t *item;

		item = json_pack("{s:o, s:o}", "source", json_string_safe(attempt->source),
				 "answer", json_string_safe(attempt->answer));
		if (json_array_append_new(array, item) < 0)
			return NULL;
	}
	return TAKE_PTR(array);
}

static json_t *chain_array(const struct resolve_trace *tried)
{
	_cleanup_(json_decrefp) json_t *array = json_array();

	for (size_t i = 0; i < tried->n_chain; i++)
		if (json_array_append_new(array, json_string_safe(tried->chain[i])) < 0)
			return NULL;
	return TAKE_PTR(array);
}

int output_identity(const char *target, const struct identity *identity,
		    const struct resolve_trace *tried, FILE *out)
{
	_cleanup_(json_decrefp) json_t *object = NULL;
	int r;

	object = json_pack("{s:i, s:s, s:o}", "schema_version", 1, "record", "resolve", "target",
			   json_string_safe(target));
	if (!object)
		return -ENOMEM;
	r = identity_add_json(identity, NULL, object);
	if (r < 0)
		return r;
	if (tried && tried->n_chain > 0 &&
	    json_object_set_new(object, "chain", chain_array(tried)) < 0)
		return -ENOMEM;
	if (tried && json_object_set_new(object, "tried", tried_array(tried)) < 0)
		return -ENOMEM;

	errno = 0;
	if (json_dumpf(object, out, JSON_COMPACT) < 0 || fputc('\n', out) == EOF)
		return errno ? -errno : -EIO;
	return fflush(out) == 0 ? 0 : errno ? -errno : -EIO;
}
