/* SPDX-License-Identifier: BSD-2-Clause */
/* In place of listener.c in a build without libmicrohttpd. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "listener.h"

int listener_open(const char *address, struct listener **ret, char *ret_error, size_t error_size)
{
	(void)snprintf(ret_error, error_size, "this build has no listener (libmicrohttpd)");
	return -ENOSYS;
}

void listener_close(struct listener *listener)
{
}

const char *listener_address(const struct listener *listener)
{
	return "";
}

int listener_start(struct listener *listener, uint64_t interval_ns,
		   listener_attached_fn is_attached, void *data)
{
	return -ENOSYS;
}

bool listener_has_room(struct listener *listener)
{
	return false;
}

int listener_publish(struct listener *listener, char *text, size_t n, uint64_t number)
{
	free(text);
	return 0;
}

uint64_t listener_served(struct listener *listener)
{
	return 0;
}

void listener_stop_asking(struct listener *listener)
{
}

void listener_interval_out(struct listener *listener)
{
}
