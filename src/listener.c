/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * libmicrohttpd speaks HTTP; its sockets are polled here rather than by its own thread, so that a
 * connection's whole life has an end, which its time-out, of silence only, cannot give: a byte
 * every few seconds would keep one for ever.
 */
#include "listener.h"

#include <errno.h>
#include <microhttpd.h>
#include <netinet/in.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/eventfd.h>
#include <sys/socket.h>

#include "cleanup.h"
#include "clock.h"
#include "gzip.h"
#include "listen_socket.h"
#include "table.h"
#include "text.h"

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
	struct listen_socket socket; /* whose fd the daemon owns once there is one */
	int stop_fd;		     /* ends the thread */
	struct MHD_Daemon *daemon;
	pthread_t thread;
	bool is_running;
	struct list clients; /* the oldest first, without those that were shut down */
	unsigned n_clients;

	pthread_mutex_t lock; /* all below */
	struct page *page;
	uint64_t served;
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
	if (number > listener->served)
		listener->served = number;
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
	listener->socket.fd = listener->stop_fd = -1;
	list_init(&listener->clients);
	pthread_mutex_init(&listener->lock, NULL);

	r = listen_socket_open(address, CONNECTION_S, &listener->socket);
	if (r < 0) {
		(void)snprintf(ret_error, error_size, "cannot listen on %s: %s",
			       text_shown(address), r == -EINVAL ? "not an address" : strerror(-r));
		return r;
	}
	*ret = TAKE_PTR(listener);
	return 0;
}

const char *listener_address(const struct listener *listener)
{
	return listener->socket.address;
}

int listener_start(struct listener *listener, uint64_t interval_ns,
		   listener_attached_fn is_attached_fn, void *data)
{
	struct MHD_OptionItem options[] = {
		{ MHD_OPTION_LISTEN_SOCKET, listener->socket.fd, NULL },
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
	(void)TAKE_FD(listener->socket.fd);

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
	closep(&listener->stop_fd);
	listen_socket_close(&listener->socket);
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

uint64_t listener_served(struct listener *listener)
{
	uint64_t served;

	pthread_mutex_lock(&listener->lock);
	served = listener->served;
	pthread_mutex_unlock(&listener->lock);
	return served;
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
