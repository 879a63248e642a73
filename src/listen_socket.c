/* SPDX-License-Identifier: BSD-2-Clause */
#include "listen_socket.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cleanup.h"

/* What the kernel keeps of an answer for a client that does not read. */
#define SEND_BUFFER (256 << 10)

static bool parse_port(const char *text, in_port_t *ret)
{
	unsigned long port;
	char *end;

	if (*text < '0' || *text > '9')
		return false;
	port = strtoul(text, &end, 10);
	if (*end || port > UINT16_MAX)
		return false;
	*ret = htons((uint16_t)port);
	return true;
}

/* The address before the colon of "ADDR:PORT", without brackets; NULL is any. */
static bool parse_host(const char *host, in_port_t port, union address *ret, socklen_t *ret_n)
{
	if (!host || inet_pton(AF_INET6, host, &ret->v6.sin6_addr) == 1) {
		ret->v6.sin6_family = AF_INET6;
		ret->v6.sin6_port = port;
		*ret_n = sizeof(ret->v6);
		return true;
	}
	if (strcmp(host, "localhost") == 0)
		host = "127.0.0.1";
	if (inet_pton(AF_INET, host, &ret->v4.sin_addr) != 1)
		return false;
	ret->v4.sin_family = AF_INET;
	ret->v4.sin_port = port;
	*ret_n = sizeof(ret->v4);
	return true;
}

static int parse_inet(const char *text, union address *ret, socklen_t *ret_n)
{
	const char *colon = strrchr(text, ':');
	size_t n = colon ? (size_t)(colon - text) : 0;
	char host[INET6_ADDRSTRLEN + 2];
	in_port_t port;

	if (!colon || !parse_port(colon + 1, &port) || n >= sizeof(host))
		return -EINVAL;
	if (n > 2 && text[0] == '[' && colon[-1] == ']') {
		text++;
		n -= 2;
	}
	memcpy(host, text, n);
	host[n] = '\0';
	return parse_host(n ? host : NULL, port, ret, ret_n) ? 0 : -EINVAL;
}

static int parse_unix(const char *path, union address *ret, socklen_t *ret_n)
{
	if (path[0] != '/' || strlen(path) >= sizeof(ret->un.sun_path))
		return -EINVAL;
	ret->un.sun_family = AF_UNIX;
	memcpy(ret->un.sun_path, path, strlen(path) + 1);
	*ret_n = sizeof(ret->un);
	return 0;
}

static void set_socket_options(int fd, int family, unsigned timeout_s)
{
	int one = 1, zero = 0, buffer = SEND_BUFFER, timeout_ms = (int)timeout_s * 1000;

	/* Accepted sockets inherit these. None is vital. */
	(void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	(void)setsockopt(fd, SOL_SOCKET, SO_SNDBUF, &buffer, sizeof(buffer));
	if (family == AF_UNIX)
		return;
	(void)setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &timeout_ms, sizeof(timeout_ms));
	if (family == AF_INET6)
		(void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &zero, sizeof(zero));
}

/* Whether the Unix socket there is nobody's any more: its owner was killed. */
static bool is_abandoned(const union address *address, socklen_t n)
{
	/* One whose owner does not accept would let the caller wait: it has one, at any rate. */
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	struct stat st;

	return lstat(address->un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       connect(fd, &address->any, n) < 0 && errno == ECONNREFUSED;
}

static int bind_socket(const union address *address, socklen_t n, unsigned timeout_s, int *ret_fd)
{
	_cleanup_(closep) int fd = -1;
	int r;

	fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	set_socket_options(fd, address->any.sa_family, timeout_s);
	r = bind(fd, &address->any, n) < 0 ? -errno : 0;
	if (r == -EADDRINUSE && address->any.sa_family == AF_UNIX && is_abandoned(address, n)) {
		(void)unlink(address->un.sun_path);
		r = bind(fd, &address->any, n) < 0 ? -errno : 0;
	}
	if (r < 0)
		return r;
	if (listen(fd, SOMAXCONN) < 0)
		return -errno;
	*ret_fd = TAKE_FD(fd);
	return 0;
}

/* By then another may have put a socket of its own in the place of this one. */
static void remove_unix_socket(const struct listen_socket *socket)
{
	struct stat st;

	if (lstat(socket->unix_path, &st) == 0 && st.st_dev == socket->unix_dev &&
	    st.st_ino == socket->unix_ino)
		(void)unlink(socket->unix_path);
}

static int open_unix(const char *path, unsigned timeout_s, struct listen_socket *ret)
{
	union address address = { 0 };
	struct stat st;
	socklen_t n;
	int r;

	r = parse_unix(path, &address, &n);
	if (r == 0)
		r = bind_socket(&address, n, timeout_s, &ret->fd);
	if (r < 0)
		return r;
	if (lstat(path, &st) < 0) {
		r = -errno;
		(void)unlink(path);
		return r;
	}
	ret->unix_dev = st.st_dev;
	ret->unix_ino = st.st_ino;
	(void)snprintf(ret->unix_path, sizeof(ret->unix_path), "%s", path);
	return 0;
}

static int open_socket(const char *text, unsigned timeout_s, struct listen_socket *ret)
{
	static const char unix_prefix[] = "unix:";
	union address address = { 0 };
	socklen_t n = 0;
	int r;

	if (strncmp(text, unix_prefix, strlen(unix_prefix)) == 0)
		return open_unix(text + strlen(unix_prefix), timeout_s, ret);

	r = parse_inet(text, &address, &n);
	if (r == 0)
		r = bind_socket(&address, n, timeout_s, &ret->fd);
	/* Any address, on a machine without IPv6. */
	if (text[0] == ':' && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
		in_port_t port = address.v6.sin6_port;

		address = (union address){ .v4 = { .sin_family = AF_INET, .sin_port = port } };
		r = bind_socket(&address, sizeof(address.v4), timeout_s, &ret->fd);
	}
	return r;
}

static void note_address(struct listen_socket *ret)
{
	union address address = { 0 };
	socklen_t n = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "";

	if (ret->unix_path[0]) {
		(void)snprintf(ret->address, sizeof(ret->address), "unix:%s", ret->unix_path);
		return;
	}
	if (getsockname(ret->fd, &address.any, &n) < 0)
		return;
	if (address.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host));
		(void)snprintf(ret->address, sizeof(ret->address), "[%s]:%u", host,
			       ntohs(address.v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof(host));
		(void)snprintf(ret->address, sizeof(ret->address), "%s:%u", host,
			       ntohs(address.v4.sin_port));
	}
}

int listen_socket_open(const char *text, unsigned timeout_s, struct listen_socket *ret)
{
	int r;

	*ret = (struct listen_socket){ .fd = -1 };
	r = open_socket(text, timeout_s, ret);
	if (r < 0)
		return r;
	note_address(ret);
	return 0;
}

void listen_socket_close(struct listen_socket *socket)
{
	closep(&socket->fd);
	if (socket->unix_path[0])
		remove_unix_socket(socket);
}
