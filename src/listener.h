/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The HTTP end of --listen: /metrics, /healthz and /readyz, answered by a thread of its own from
 * what was handed over last, so that no client waits for an interval and no interval for a client.
 * Connections are few, short and cheap, whoever is at the other end.
 */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct listener;

/*
 * Binds to "ADDR:PORT", "[ADDR]:PORT", ":PORT" or "unix:/PATH"; connections wait until
 * listener_start(). Returns 0, or -errno with the reason in @ret_error; -ENOSYS: not in this build.
 */
int listener_open(const char *address, struct listener **ret, char *ret_error, size_t error_size);

/* Also ends the thread and removes a Unix socket. */
void listener_close(struct listener *listener);

/* The address with the port that was chosen if none (0) was given. */
const char *listener_address(const struct listener *listener);

/* Asked, by the thread, for every /readyz and /healthz. */
typedef bool (*listener_attached_fn)(void *data);

/*
 * Answers from now on. Capabilities are a thread's own: drop them before. Intervals are expected
 * every @interval_ns. Returns 0 or -errno.
 */
int listener_start(struct listener *listener, uint64_t interval_ns,
		   listener_attached_fn is_attached, void *data);

/* Not attached any more, on purpose: on return nobody asks, nor will. */
void listener_stop_asking(struct listener *listener);

/*
 * Whether another page may be published: a few clients that read slowly can hold on to old ones,
 * but not to any number of them.
 */
bool listener_has_room(struct listener *listener);

/*
 * What /metrics says from now on: @n bytes of @text, which it takes over. Numbers ascend, from 1.
 * Returns 0 or -ENOMEM; @text is gone in either case.
 */
int listener_publish(struct listener *listener, char *text, size_t n, uint64_t number);

/* The number of the last page of which a scrape was answered in full; 0: none. */
uint64_t listener_served(struct listener *listener);

/* For /readyz and /healthz: an interval is out. */
void listener_interval_out(struct listener *listener);
