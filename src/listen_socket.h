/* SPDX-License-Identifier: BSD-2-Clause */
/* The socket that --listen names, Internet or Unix. */
#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/types.h>
#include <sys/un.h>

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

struct listen_socket {
	int fd;		   /* -1: somebody else has come to own it */
	char address[128]; /* with the port that was chosen if none (0) was given */
	char unix_path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "": not a Unix socket */
	dev_t unix_dev;							/* what was made there */
	ino_t unix_ino;
};

/*
 * Binds to "ADDR:PORT", "[ADDR]:PORT", ":PORT" or "unix:/PATH", and listens. A peer that takes
 * nothing for @timeout_s is given up. Returns 0 or -errno; -EINVAL: not an address. @ret can be
 * closed in any case.
 */
int listen_socket_open(const char *text, unsigned timeout_s, struct listen_socket *ret);

/* Also removes a Unix socket, if it is still the one that was made. */
void listen_socket_close(struct listen_socket *socket);
