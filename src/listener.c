/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libmicrohttpd speaks HTTP; its sockets are polled here rather than by its own thread, so that a
 * connection's whole life has an end, which its time-out, of silence only, cannot give: a byte
 * every few seconds would keep one for ever.
 */
#include "listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include "cleanup.h"
#include "clock.h"
#include "gzip.h"
#include "table.h"

/*
 * Two Prometheus servers, the kubelet and a person with curl need a handful at a time. Beyond these
 * the oldest has to go, of the same address first: whoever is slow makes room for whoever comes, so
 * that probes get through.
 */
#define CONNECTIONS_MAX	       64
#define CONNECTIONS_PER_IP_MAX 16
#define ACCEPTED_MAX	       512	  /* together with those that are being closed */
#define CONNECTION_MEMORY      (16 << 10) /* headers that do not fit are refused */
#define SILENCE_S	       5
#define CONNECTION_S	       15

/* What the kernel keeps of an answer for a client that does not read. */
#define SEND_BUFFER (256 << 10)

/* The page that is current, one that is on its way to others, and some that are stuck. */
#define PAGES_MAX 4

/* How late an interval may be, in intervals and beyond, before cgscope counts as stuck. */
#define LATE_INTERVALS 2
#define LATE_EXTRA_NS  (5 * NSEC_PER_SEC)

struct page {
	char *text;
	size_t n;
	unsigned char *zipped; /* made by the thread when it is first asked for */
	size_t n_zipped;
	uint64_t number;
	atomic_uint refs;
	atomic_uint *n_pages; /* of the listener */
};

/* A connection, from its acceptance on; only the thread knows these. */
struct client {
	struct list all;
	int fd;
	struct in6_addr address; /* zero for a Unix socket */
	uint64_t opened_ns;
};

struct listener {
	char address[128];
	char unix_path[sizeof(((struct sockaddr_un *)NULL)->sun_path)]; /* "": not a Unix socket */
	int fd;	     /* until the daemon owns it */
	int stop_fd; /* ends the thread */
	struct MHD_Daemon *daemon;
	pthread_t thread;
	bool is_running;
	struct list clients; /* the oldest first, without those that were shut down */
	unsigned n_clients;

	pthread_mutex_t lock; /* all below */
	struct page *page;
	uint64_t served;
	uint64_t served_before;
	uint64_t interval_ns;
	uint64_t n_intervals;
	uint64_t last_interval_ns;	  /* or the start, as long as there was none */
	listener_attached_fn is_attached; /* NULL: no */
	void *is_attached_data;
	atomic_uint n_pages; /* that are in memory */
};

/* What a path has for an answer. */
struct answer {
	unsigned status;
	const char *type;
	const char *text;  /* of a small one */
	struct page *page; /* or this, referenced */
};

static void page_unref(struct page *page)
{
	if (!page || atomic_fetch_sub(&page->refs, 1) != 1)
		return;
	atomic_fetch_sub(page->n_pages, 1);
	free(page->text);
	free(page->zipped);
	free(page);
}

static void unref_page(void *page)
{
	page_unref(page);
}

/* --- addresses --- */

union address {
	struct sockaddr any;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_un un;
};

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

static void set_socket_options(int fd, int family)
{
	int one = 1, zero = 0, buffer = SEND_BUFFER, timeout_ms = CONNECTION_S * 1000;

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
	_cleanup_(closep) int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct stat st;

	return lstat(address->un.sun_path, &st) == 0 && S_ISSOCK(st.st_mode) &&
	       connect(fd, &address->any, n) < 0 && errno == ECONNREFUSED;
}

static int bind_socket(const union address *address, socklen_t n, int *ret_fd)
{
	_cleanup_(closep) int fd = -1;
	int r;

	fd = socket(address->any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (fd < 0)
		return -errno;
	set_socket_options(fd, address->any.sa_family);
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

static int open_socket(struct listener *listener, const char *text)
{
	static const char unix_prefix[] = "unix:";
	union address address = { 0 };
	socklen_t n = 0;
	int r;

	if (strncmp(text, unix_prefix, strlen(unix_prefix)) == 0) {
		text += strlen(unix_prefix);
		r = parse_unix(text, &address, &n);
		if (r == 0)
			r = bind_socket(&address, n, &listener->fd);
		if (r == 0)
			(void)snprintf(listener->unix_path, sizeof(listener->unix_path), "%s",
				       text);
		return r;
	}

	r = parse_inet(text, &address, &n);
	if (r == 0)
		r = bind_socket(&address, n, &listener->fd);
	/* Any address, on a machine without IPv6. */
	if (text[0] == ':' && (r == -EAFNOSUPPORT || r == -EADDRNOTAVAIL)) {
		in_port_t port = address.v6.sin6_port;

		address = (union address){ .v4 = { .sin_family = AF_INET, .sin_port = port } };
		r = bind_socket(&address, sizeof(address.v4), &listener->fd);
	}
	return r;
}

static void note_address(struct listener *listener)
{
	union address address = { 0 };
	socklen_t n = sizeof(address);
	char host[INET6_ADDRSTRLEN] = "";

	if (listener->unix_path[0]) {
		(void)snprintf(listener->address, sizeof(listener->address), "unix:%s",
			       listener->unix_path);
		return;
	}
	if (getsockname(listener->fd, &address.any, &n) < 0)
		return;
	if (address.any.sa_family == AF_INET6) {
		inet_ntop(AF_INET6, &address.v6.sin6_addr, host, sizeof(host));
		(void)snprintf(listener->address, sizeof(listener->address), "[%s]:%u", host,
			       ntohs(address.v6.sin6_port));
	} else {
		inet_ntop(AF_INET, &address.v4.sin_addr, host, sizeof(host));
		(void)snprintf(listener->address, sizeof(listener->address), "%s:%u", host,
			       ntohs(address.v4.sin_port));
	}
}

/* --- answers --- */

static const char index_text[] =
	"cgscope " CGSCOPE_VERSION "\n\n"
	"/metrics  for Prometheus\n"
	"/healthz  200 while the programs are attached and intervals come\n"
	"/readyz   200 once they are attached and the first interval is out\n";

static void answer_metrics(struct listener *listener, struct answer *ret)
{
	struct page *page = listener->page;

	if (!page) {
		*ret = (struct answer){ .status = 503, .text = "nothing was measured yet\n" };
		return;
	}
	atomic_fetch_add(&page->refs, 1);
	*ret = (struct answer){ .status = 200,
				.type = "text/plain; version=0.0.4; charset=utf-8",
				.page = page };
}

static bool is_attached(const struct listener *listener)
{
	return listener->is_attached && listener->is_attached(listener->is_attached_data);
}

static void answer_ready(struct listener *listener, struct answer *ret)
{
	if (!is_attached(listener))
		*ret = (struct answer){ .status = 503, .text = "the programs are not attached\n" };
	else if (listener->n_intervals == 0)
		*ret = (struct answer){ .status = 503,
					.text = "the first interval is not out yet\n" };
	else
		*ret = (struct answer){ .status = 200, .text = "ready\n" };
}

static void answer_health(struct listener *listener, struct answer *ret)
{
	uint64_t late_ns = LATE_INTERVALS * listener->interval_ns + LATE_EXTRA_NS;

	if (!is_attached(listener))
		*ret = (struct answer){ .status = 503,
					.text = "the programs are not attached any more\n" };
	else if (monotonic_ns() - listener->last_interval_ns > late_ns)
		*ret = (struct answer){ .status = 503,
					.text = "no interval has come out for too long\n" };
	else
		*ret = (struct answer){ .status = 200, .text = "healthy\n" };
}

static void answer_index(struct listener *listener, struct answer *ret)
{
	*ret = (struct answer){ .status = 200, .text = index_text };
}

static const struct {
	const char *path;
	void (*answer)(struct listener *listener, struct answer *ret);
} paths[] = {
	{ "/metrics", answer_metrics },
	{ "/readyz", answer_ready },
	{ "/healthz", answer_health },
	{ "/", answer_index },
};

static void find_answer(struct listener *listener, const char *path, const char *method,
			struct answer *ret)
{
	if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0) {
		*ret = (struct answer){ .status = 405, .text = "only GET and HEAD\n" };
		return;
	}
	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		if (strcmp(path, paths[i].path) != 0)
			continue;
		pthread_mutex_lock(&listener->lock);
		paths[i].answer(listener, ret);
		pthread_mutex_unlock(&listener->lock);
		return;
	}
	*ret = (struct answer){ .status = 404,
				.text = "only /metrics, /healthz and /readyz are here\n" };
}

/* As far as headers are kept; a client that says more than this gets plain text. */
struct field {
	char text[512];
	size_t n;
};

/* Several fields of one name are one with commas between. */
static enum MHD_Result append_field(void *data, enum MHD_ValueKind kind, const char *name,
				    const char *value)
{
	struct field *field = data;
	size_t left = sizeof(field->text) - field->n;
	int n;

	if (strcasecmp(name, MHD_HTTP_HEADER_ACCEPT_ENCODING) != 0)
		return MHD_YES;
	n = snprintf(field->text + field->n, left, "%s%s", field->n > 0 ? "," : "",
		     value ? value : "");
	if (n < 0 || (size_t)n >= left) {
		field->text[0] = '\0';
		return MHD_NO;
	}
	field->n += (size_t)n;
	return MHD_YES;
}

static bool wants_gzip(struct MHD_Connection *connection)
{
	struct field field = { 0 };

	(void)MHD_get_connection_values(connection, MHD_HEADER_KIND, append_field, &field);
	return gzip_is_accepted(field.text);
}

/* Once a page, by the thread. Without memory the client gets it plain. */
static bool zip(struct page *page)
{
	return page->zipped || gzip_pack(page->text, page->n, &page->zipped, &page->n_zipped) == 0;
}

static struct MHD_Response *make_response(const struct answer *answer, bool zipped)
{
	struct MHD_Response *response;
	void *body;

	if (!answer->page)
		return MHD_create_response_from_buffer(strlen(answer->text), (void *)answer->text,
						       MHD_RESPMEM_PERSISTENT);
	body = zipped ? (void *)answer->page->zipped : answer->page->text;
	response = MHD_create_response_from_buffer_with_free_callback_cls(
		zipped ? answer->page->n_zipped : answer->page->n, body, unref_page, answer->page);
	if (!response) {
		page_unref(answer->page);
		return NULL;
	}
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_VARY, "Accept-Encoding");
	if (zipped)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_ENCODING, "gzip");
	return response;
}

/* Without memory libmicrohttpd closes the connection, as it does on MHD_NO. */
static enum MHD_Result on_request(void *data, struct MHD_Connection *connection, const char *path,
				  const char *method, const char *version, const char *body,
				  size_t *body_size, void **request_data)
{
	struct answer answer = { 0 };
	struct MHD_Response *response;
	enum MHD_Result result;

	find_answer(data, path, method, &answer);
	if (answer.page && strcmp(method, "GET") == 0)
		*request_data = (void *)(uintptr_t)answer.page->number;
	response =
		make_response(&answer, answer.page && wants_gzip(connection) && zip(answer.page));
	if (!response)
		return MHD_NO;

	/* A scrape is rare: one connection each, so that its end is the connection's. */
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
	(void)MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE,
				      answer.type ? answer.type : "text/plain; charset=utf-8");
	if (answer.status == MHD_HTTP_METHOD_NOT_ALLOWED)
		(void)MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
	result = MHD_queue_response(connection, answer.status, response);
	MHD_destroy_response(response);
	return result;
}

static void on_completed(void *data, struct MHD_Connection *connection, void **request_data,
			 enum MHD_RequestTerminationCode how)
{
	struct listener *listener = data;
	uint64_t number = (uintptr_t)*request_data;

	if (number == 0 || how != MHD_REQUEST_TERMINATED_COMPLETED_OK)
		return;
	pthread_mutex_lock(&listener->lock);
	if (number >= listener->served) {
		listener->served_before = listener->served;
		listener->served = number;
	} else if (number > listener->served_before) {
		listener->served_before = number;
	}
	pthread_mutex_unlock(&listener->lock);
}

/* --- connections --- */

static void forget_client(struct listener *listener, struct client *client)
{
	if (list_is_empty(&client->all))
		return;
	list_remove(&client->all);
	listener->n_clients--;
}

/* The daemon notices, and closes what was shut down. */
static void shut_down(struct listener *listener, struct client *client)
{
	(void)shutdown(client->fd, SHUT_RDWR);
	forget_client(listener, client);
}

static struct in6_addr address_of(int fd)
{
	union address peer = { 0 };
	struct in6_addr ret = { 0 };
	socklen_t n = sizeof(peer);

	if (getpeername(fd, &peer.any, &n) < 0)
		return ret;
	if (peer.any.sa_family == AF_INET6)
		return peer.v6.sin6_addr;
	if (peer.any.sa_family == AF_INET)
		ret.s6_addr32[3] = peer.v4.sin_addr.s_addr;
	return ret;
}

/* Who has to go for the newest: the oldest of its address, or of all, if they are too many. */
static void make_room(struct listener *listener, const struct client *newest)
{
	struct client *victim = NULL;
	unsigned n = 0;

	for (struct list *item = listener->clients.next; item != &listener->clients;
	     item = item->next) {
		struct client *client = container_of(item, struct client, all);

		if (memcmp(&client->address, &newest->address, sizeof(client->address)) != 0)
			continue;
		if (n++ == 0)
			victim = client;
	}
	if (n <= CONNECTIONS_PER_IP_MAX) {
		if (listener->n_clients <= CONNECTIONS_MAX)
			return;
		victim = container_of(listener->clients.next, struct client, all);
	}
	shut_down(listener, victim);
}

static void on_connection(void *data, struct MHD_Connection *connection, void **socket_data,
			  enum MHD_ConnectionNotificationCode what)
{
	struct listener *listener = data;
	const union MHD_ConnectionInfo *info;
	struct client *client = *socket_data;

	if (what == MHD_CONNECTION_NOTIFY_CLOSED) {
		if (client)
			forget_client(listener, client);
		free(client);
		*socket_data = NULL;
		return;
	}
	info = MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
	client = info ? calloc(1, sizeof(*client)) : NULL;
	*socket_data = client;
	if (!client) /* then only silence ends it */
		return;
	client->fd = info->connect_fd;
	client->address = address_of(client->fd);
	client->opened_ns = monotonic_ns();
	list_insert_after(listener->clients.prev, &client->all);
	listener->n_clients++;
	make_room(listener, client);
}

static void shut_down_old(struct listener *listener)
{
	uint64_t now = monotonic_ns();

	while (!list_is_empty(&listener->clients)) {
		struct client *client = container_of(listener->clients.next, struct client, all);

		if (now - client->opened_ns < CONNECTION_S * NSEC_PER_SEC)
			return;
		shut_down(listener, client);
	}
}

static void *run(void *data)
{
	struct listener *listener = data;
	const union MHD_DaemonInfo *info =
		MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD);
	struct pollfd fds[] = {
		{ .fd = listener->stop_fd, .events = POLLIN },
		{ .fd = info ? info->epoll_fd : -1, .events = POLLIN },
	};

	while (!fds[0].revents) {
		MHD_UNSIGNED_LONG_LONG timeout_ms;

		if (MHD_get_timeout(listener->daemon, &timeout_ms) != MHD_YES || timeout_ms > 1000)
			timeout_ms = 1000;
		if (poll(fds, 2, (int)timeout_ms) < 0 && errno != EINTR)
			break;
		(void)MHD_run(listener->daemon);
		shut_down_old(listener);
	}
	return NULL;
}

/* --- the outside --- */

static void listener_closep(struct listener **listener)
{
	listener_close(*listener);
}

int listener_open(const char *address, struct listener **ret, char *ret_error, size_t error_size)
{
	_cleanup_(listener_closep) struct listener *listener = calloc(1, sizeof(*listener));
	int r;

	if (!listener)
		return -ENOMEM;
	listener->fd = listener->stop_fd = -1;
	list_init(&listener->clients);
	pthread_mutex_init(&listener->lock, NULL);

	r = open_socket(listener, address);
	if (r < 0) {
		(void)snprintf(ret_error, error_size, "cannot listen on %s: %s", address,
			       r == -EINVAL ? "not an address" : strerror(-r));
		return r;
	}
	note_address(listener);
	*ret = TAKE_PTR(listener);
	return 0;
}

const char *listener_address(const struct listener *listener)
{
	return listener->address;
}

int listener_start(struct listener *listener, uint64_t interval_ns,
		   listener_attached_fn is_attached_fn, void *data)
{
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_LISTEN_SOCKET, listener->fd, NULL },
		{ MHD_OPTION_CONNECTION_LIMIT, ACCEPTED_MAX, NULL },
		{ MHD_OPTION_CONNECTION_MEMORY_LIMIT, CONNECTION_MEMORY, NULL },
		{ MHD_OPTION_CONNECTION_TIMEOUT, SILENCE_S, NULL },
		{ MHD_OPTION_STRICT_FOR_CLIENT, 1, NULL },
		{ MHD_OPTION_NOTIFY_COMPLETED, (intptr_t)on_completed, listener },
		{ MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)on_connection, listener },
		{ MHD_OPTION_END, 0, NULL },
	};

	listener->is_attached = is_attached_fn;
	listener->is_attached_data = data;
	listener->interval_ns = interval_ns;
	listener->last_interval_ns = monotonic_ns();
	listener->stop_fd = eventfd(0, EFD_CLOEXEC);
	if (listener->stop_fd < 0)
		return -errno;

	listener->daemon = MHD_start_daemon(MHD_USE_EPOLL, 0, NULL, NULL, on_request, listener,
					    MHD_OPTION_ARRAY, options, MHD_OPTION_END);
	if (!listener->daemon)
		return -ENOMEM;
	(void)TAKE_FD(listener->fd);

	if (pthread_create(&listener->thread, NULL, run, listener) != 0)
		return -EAGAIN;
	listener->is_running = true;
	return 0;
}

void listener_close(struct listener *listener)
{
	if (!listener)
		return;
	if (listener->is_running) {
		(void)eventfd_write(listener->stop_fd, 1);
		pthread_join(listener->thread, NULL);
	}
	if (listener->daemon)
		MHD_stop_daemon(listener->daemon);
	closep(&listener->fd);
	closep(&listener->stop_fd);
	if (listener->unix_path[0])
		(void)unlink(listener->unix_path);
	page_unref(listener->page);
	pthread_mutex_destroy(&listener->lock);
	free(listener);
}

bool listener_has_room(struct listener *listener)
{
	return atomic_load(&listener->n_pages) < PAGES_MAX;
}

int listener_publish(struct listener *listener, char *text, size_t n, uint64_t number)
{
	struct page *page = malloc(sizeof(*page));
	struct page *last;

	if (!page) {
		free(text);
		return -ENOMEM;
	}
	*page = (struct page){
		.text = text, .n = n, .number = number, .refs = 1, .n_pages = &listener->n_pages
	};
	atomic_fetch_add(&listener->n_pages, 1);

	pthread_mutex_lock(&listener->lock);
	last = listener->page;
	listener->page = page;
	pthread_mutex_unlock(&listener->lock);
	page_unref(last);
	return 0;
}

void listener_served(struct listener *listener, uint64_t *ret_last, uint64_t *ret_last_but_one)
{
	pthread_mutex_lock(&listener->lock);
	*ret_last = listener->served;
	*ret_last_but_one = listener->served_before;
	pthread_mutex_unlock(&listener->lock);
}

void listener_stop_asking(struct listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	listener->is_attached = NULL;
	pthread_mutex_unlock(&listener->lock);
}

void listener_interval_out(struct listener *listener)
{
	pthread_mutex_lock(&listener->lock);
	listener->n_intervals++;
	listener->last_interval_ns = monotonic_ns();
	pthread_mutex_unlock(&listener->lock);
}
