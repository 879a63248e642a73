/* SPDX-License-Identifier: BSD-2-Clause */
#include "publisher.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "listener.h"

/* The page of metrics may take a twentieth of the time: then short intervals go without one. */
#define RENDER_SHARE 20

struct publisher {
	const struct options *options;
	struct publisher_source source;
	struct metrics_cgroups cgroups;
	struct metrics *metrics;
	struct listener *listener;
	uint64_t render_due_ns;
	bool is_stopping;
	bool was_attached; /* on the last page before */
};

static void publisher_closep(struct publisher **publisher)
{
	publisher_close(*publisher);
}

int publisher_open(const struct options *options, const struct publisher_source *source,
		   struct publisher **ret, char *ret_error, size_t error_size)
{
	_cleanup_(publisher_closep) struct publisher *publisher = calloc(1, sizeof(*publisher));
	int r;

	if (!publisher)
		return -ENOMEM;
	publisher->options = options;
	publisher->source = *source;
	publisher->cgroups = (struct metrics_cgroups){
		.exists = source->cgroup_exists,
		.is_resolved = source->cgroup_is_resolved,
		.data = source->data,
	};
	r = listener_open(options->listen, &publisher->listener, ret_error, error_size);
	if (r == 0)
		r = metrics_new(options->metrics_syscalls, &publisher->metrics);
	if (r < 0)
		return r;
	*ret = TAKE_PTR(publisher);
	return 0;
}

void publisher_close(struct publisher *publisher)
{
	if (!publisher)
		return;
	listener_close(publisher->listener);
	metrics_free(publisher->metrics);
	free(publisher);
}

const char *publisher_address(const struct publisher *publisher)
{
	return publisher ? listener_address(publisher->listener) : NULL;
}

static int publish(struct publisher *publisher)
{
	uint64_t start = monotonic_ns(), number;
	struct metrics_self self = { 0 };
	char *page;
	size_t n;
	int r;

	if (start < publisher->render_due_ns || !listener_has_room(publisher->listener))
		return 0;
	publisher->source.read_self(&self, publisher->source.data);
	/* An end that is meant is not a failure that a scrape of the last page should tell of. */
	if (publisher->is_stopping)
		self.attached = publisher->was_attached;
	publisher->was_attached = self.attached;
	metrics_read_process(&self.process);
	r = metrics_render(publisher->metrics, &self, &page, &n, &number);
	if (r == 0)
		r = listener_publish(publisher->listener, page, n, number);
	publisher->render_due_ns = monotonic_ns() + RENDER_SHARE * (monotonic_ns() - start);
	return r;
}

int publisher_start(struct publisher *publisher)
{
	int r;

	if (!publisher)
		return 0;
	r = publish(publisher);
	if (r == 0)
		r = listener_start(publisher->listener, publisher->options->interval_ns,
				   publisher->source.is_attached, publisher->source.data);
	return r;
}

/* Series are by container and of all calls, whatever the rows of the output are. */
int publisher_add(struct publisher *publisher, const struct snapshot *snapshot,
		  const struct report_source *source, const struct report *report)
{
	_cleanup_(report_freep) struct report *whole = NULL;
	uint64_t served;
	struct options options;
	int r;

	if (!publisher)
		return 0;
	options = *publisher->options;
	if (options.by != ROW_CONTAINER || options.top) {
		options.by = ROW_CONTAINER;
		options.top = 0;
		r = report_build(snapshot, source, &options, &whole);
		if (r < 0)
			return r;
		report = whole;
	}
	served = listener_served(publisher->listener);
	r = metrics_add(publisher->metrics, report, served, &publisher->cgroups);
	if (r == 0)
		r = publish(publisher);
	if (r < 0)
		return r;
	listener_interval_out(publisher->listener);
	return 0;
}

void publisher_stop_asking(struct publisher *publisher)
{
	if (!publisher)
		return;
	publisher->is_stopping = true;
	listener_stop_asking(publisher->listener);
}
