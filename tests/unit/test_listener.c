/* SPDX-License-Identifier: BSD-2-Clause */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cmocka.h>

#include "src/cleanup.h"
#include "src/listener.h"

#define INTERVAL_NS 1000000000ull

static int connect_inet(const char *address)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	to.sin_port = htons((uint16_t)atoi(strrchr(address, ':') + 1));
	to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

static int connect_unix(const char *path)
{
	struct sockaddr_un to = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	snprintf(to.sun_path, sizeof(to.sun_path), "%s", path);
	assert_true(fd >= 0);
	assert_int_equal(connect(fd, (struct sockaddr *)&to, sizeof(to)), 0);
	return fd;
}

/* All that comes until the other end closes; @ret is terminated. */
static size_t read_all(int fd, char *ret, size_t size)
{
	size_t n = 0;
	ssize_t r;

	while (n < size - 1 && (r = read(fd, ret + n, size - 1 - n)) > 0)
		n += (size_t)r;
	ret[n] = '\0';
	return n;
}

static void ask_fd(int fd, const char *request, char *ret, size_t size)
{
	assert_int_equal(send(fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
	read_all(fd, ret, size);
	close(fd);
}

static void ask(const struct listener *listener, const char *request, char *ret, size_t size)
{
	ask_fd(connect_inet(listener_address(listener)), request, ret, size);
}

static bool is_attached(void *data)
{
	return atomic_load((atomic_bool *)data);
}

static atomic_bool attached;

static struct listener *start(const char *address)
{
	struct listener *listener;
	char error[256] = "";

	assert_int_equal(listener_open(address, &listener, error, sizeof(error)), 0);
	assert_string_equal(error, "");
	assert_int_equal(listener_start(listener, INTERVAL_NS, is_attached, &attached), 0);
	return listener;
}

static void publish(struct listener *listener, const char *text, uint64_t number)
{
	assert_int_equal(listener_publish(listener, strdup(text), strlen(text), number), 0);
}

static int need_listener(void **state)
{
	struct listener *listener;
	char error[256];

	if (listener_open("127.0.0.1:0", &listener, error, sizeof(error)) == -ENOSYS) {
		fprintf(stderr, "%s\n", error);
		exit(77);
	}
	listener_close(listener);
	return 0;
}

#define GET(path) "GET " path " HTTP/1.1\r\nHost: test\r\n\r\n"

/* Whether a client with the header fields @fields gets gzip. */
static bool gets_gzip(const struct listener *listener, const char *fields)
{
	char request[1024], answer[4096];

	snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: test\r\n%s\r\n", fields);
	ask(listener, request, answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	assert_non_null(strstr(answer, "Vary: Accept-Encoding\r\n"));
	if (!strstr(answer, "Content-Encoding: gzip\r\n")) {
		assert_non_null(strstr(answer, "\r\n\r\na 1\n"));
		return false;
	}
	assert_non_null(strstr(answer, "\r\n\r\n\x1f\x8b"));
	return true;
}

static void test_gzip(void **state)
{
	struct listener *listener = start("127.0.0.1:0");
	char longest[700] = "Accept-Encoding: gzip,";

	publish(listener, "a 1\n", 1);
	assert_true(gets_gzip(listener, "accept-encoding: GZIP\r\n"));
	assert_true(gets_gzip(listener, "Accept-Encoding: br\r\nAccept-Encoding: gzip\r\n"));
	assert_false(gets_gzip(listener, ""));
	assert_false(gets_gzip(listener, "Accept-Encoding: notgzip\r\nAccept: gzip\r\n"));
	assert_false(gets_gzip(listener, "Accept-Encoding: *\r\nAccept-Encoding: gzip;q=0\r\n"));
	/* Too long to be kept, and so not half of it either. */
	memset(longest + strlen(longest), 'x', 600);
	strcpy(longest + 622, "\r\n");
	assert_false(gets_gzip(listener, longest));
	listener_close(listener);
}

static void test_answers(void **state)
{
	struct listener *listener = start("127.0.0.1:0");
	char answer[4096];

	ask(listener, GET("/metrics"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 503"));
	publish(listener, "a 1\n", 1);
	ask(listener, GET("/metrics?name=x"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	assert_non_null(strstr(answer, "text/plain; version=0.0.4; charset=utf-8"));
	assert_non_null(strstr(answer, "\r\n\r\na 1\n"));
	publish(listener, "a 2\n", 2);
	ask(listener, GET("/metrics"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "\r\n\r\na 2\n"));

	ask(listener, "HEAD /metrics HTTP/1.1\r\nHost: test\r\n\r\n", answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	assert_non_null(strstr(answer, "Content-Length: 4\r\n"));
	assert_null(strstr(answer, "a 2"));
	ask(listener, GET("/"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	assert_non_null(strstr(answer, "/healthz"));
	ask(listener, GET("/metrics/"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 404"));
	ask(listener, GET("/../etc/passwd"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 404"));
	listener_close(listener);
}

static void test_wrong_requests(void **state)
{
	struct listener *listener = start("127.0.0.1:0");
	char answer[4096], request[40000];
	int n;

	publish(listener, "a 1\n", 1);
	ask(listener, "POST /metrics HTTP/1.1\r\nHost: test\r\nContent-Length: 3\r\n\r\nabc",
	    answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 405"));
	assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
	ask(listener, "DELETE /healthz HTTP/1.1\r\nHost: test\r\n\r\n", answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 405"));
	/* Without a Host, as HTTP/1.1 wants it, and what is no HTTP at all. */
	ask(listener, "GET /metrics HTTP/1.1\r\n\r\n", answer, sizeof(answer));
	assert_null(strstr(answer, "a 1"));
	ask(listener, "\x16\x03\x01 hello\r\n\r\n", answer, sizeof(answer));
	assert_null(strstr(answer, "a 1"));

	n = snprintf(request, sizeof(request), "GET /metrics HTTP/1.1\r\nHost: test\r\nX: ");
	memset(request + n, 'x', sizeof(request) - (size_t)n);
	memcpy(request + sizeof(request) - 5, "\r\n\r\n", 5);
	ask(listener, request, answer, sizeof(answer));
	assert_null(strstr(answer, "a 1"));

	ask(listener, GET("/metrics"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "a 1"));
	listener_close(listener);
}

static void test_health(void **state)
{
	struct listener *listener = start("127.0.0.1:0");
	char answer[4096];

	ask(listener, GET("/readyz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 503"));
	assert_non_null(strstr(answer, "not attached"));
	atomic_store(&attached, true);
	ask(listener, GET("/readyz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 503"));
	assert_non_null(strstr(answer, "first interval"));
	ask(listener, GET("/healthz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	listener_interval_out(listener);
	ask(listener, GET("/readyz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));

	atomic_store(&attached, false);
	ask(listener, GET("/readyz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 503"));
	ask(listener, GET("/healthz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 503"));
	assert_non_null(strstr(answer, "not attached any more"));
	atomic_store(&attached, true);
	listener_stop_asking(listener);
	ask(listener, GET("/healthz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 503"));
	atomic_store(&attached, false);
	listener_close(listener);
}

/* Two intervals and five seconds: the longest of these tests. */
static void test_stuck(void **state)
{
	struct listener *listener;
	char answer[4096], error[64];

	assert_int_equal(listener_open("127.0.0.1:0", &listener, error, sizeof(error)), 0);
	assert_int_equal(listener_start(listener, 10000000, is_attached, &attached), 0);
	atomic_store(&attached, true);
	listener_interval_out(listener);
	usleep(5200000);
	ask(listener, GET("/healthz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 503"));
	assert_non_null(strstr(answer, "no interval"));
	listener_interval_out(listener);
	ask(listener, GET("/healthz"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	listener_close(listener);
}

static bool is_served(struct listener *listener, uint64_t number)
{
	for (int i = 0; i < 200; i++) {
		if (listener_served(listener) == number)
			return true;
		usleep(10000);
	}
	fprintf(stderr, "served %lu\n", (unsigned long)listener_served(listener));
	return false;
}

static void test_served(void **state)
{
	struct listener *listener = start("127.0.0.1:0");
	size_t n = 32 << 20; /* more than all buffers between us */
	char *text = malloc(n), *big = malloc(n);
	char answer[4096];
	int fd;

	assert_true(text && big);
	publish(listener, "a 1\n", 1);
	ask(listener, GET("/metrics"), answer, sizeof(answer));
	assert_true(is_served(listener, 1));
	publish(listener, "a 2\n", 2);
	ask(listener, "HEAD /metrics HTTP/1.1\r\nHost: test\r\n\r\n", answer, sizeof(answer));
	ask(listener, GET("/healthz"), answer, sizeof(answer));
	assert_true(is_served(listener, 1));

	/* A page that a client left in the middle was not scraped. */
	memset(text, 'x', n);
	assert_int_equal(listener_publish(listener, text, n, 3), 0);
	fd = connect_inet(listener_address(listener));
	assert_true(send(fd, GET("/metrics"), strlen(GET("/metrics")), 0) > 0);
	assert_true(read(fd, answer, sizeof(answer)) > 0);
	close(fd);
	ask(listener, GET("/healthz"), answer, sizeof(answer));
	assert_true(is_served(listener, 1));

	/* One that is read while the next is published is still the old one, whole. */
	fd = connect_inet(listener_address(listener));
	assert_true(send(fd, GET("/metrics"), strlen(GET("/metrics")), 0) > 0);
	assert_true(read(fd, answer, 20) > 0);
	publish(listener, "a 4\n", 4);
	ask(listener, GET("/metrics"), answer, sizeof(answer));
	assert_true(is_served(listener, 4));
	assert_in_range(read_all(fd, big, n), n - 100, n);
	close(fd);
	ask(listener, GET("/healthz"), answer, sizeof(answer));
	assert_true(is_served(listener, 4));
	assert_null(memchr(big + 1000, 'a', 1000));
	assert_true(listener_has_room(listener));
	listener_close(listener);
	free(big);
}

/* Slow readers hold on to the pages they got, and to no more. */
static void test_room(void **state)
{
	struct listener *listener = start("127.0.0.1:0");
	size_t n = 32 << 20;
	int fds[4];
	char answer[64];
	uint64_t number = 0;

	for (size_t i = 0; i < 4 && listener_has_room(listener); i++) {
		char *text = calloc(1, n);

		assert_non_null(text);
		assert_int_equal(listener_publish(listener, text, n, ++number), 0);
		fds[i] = connect_inet(listener_address(listener));
		assert_true(send(fds[i], GET("/metrics"), strlen(GET("/metrics")), 0) > 0);
		assert_true(read(fds[i], answer, sizeof(answer)) > 0);
	}
	assert_int_equal(number, 4);
	assert_false(listener_has_room(listener));
	for (size_t i = 0; i < 4; i++)
		close(fds[i]);
	for (int i = 0; i < 200 && !listener_has_room(listener); i++)
		usleep(10000);
	assert_true(listener_has_room(listener));
	listener_close(listener);
}

/* Those who came first and said nothing make room: for the last there is always some. */
static void test_one_address_is_limited(void **state)
{
	struct listener *listener = start("127.0.0.1:0");
	int fds[40];
	char answer[4096];

	for (size_t i = 0; i < 40; i++)
		fds[i] = connect_inet(listener_address(listener));
	ask(listener, GET("/"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	usleep(300000);
	for (size_t i = 0; i < 40; i++) {
		struct pollfd readable = { .fd = fds[i], .events = POLLIN };

		/* The question above pushed out one more, and is over. */
		assert_int_equal(poll(&readable, 1, 0), i < 40 - 15);
		close(fds[i]);
	}
	listener_close(listener);
}

static void test_addresses(void **state)
{
	static const char *const wrong[] = {
		"127.0.0.1:65536", "127.0.0.1:", "127.0.0.1", "host.invalid:1", ":x",
		"[::1:80",	   "unix:x",	 "",	      "1.2.3:80",	"127.0.0.1:-1",
	};
	struct listener *listener, *second;
	char answer[4096], error[256];

	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		listener = NULL;
		assert_int_equal(listener_open(wrong[i], &listener, error, sizeof(error)), -EINVAL);
		assert_non_null(strstr(error, "cannot listen on "));
		assert_null(listener);
	}
	listener = start(":0");
	ask(listener, GET("/"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	listener_close(listener);

	listener = start("localhost:0");
	assert_int_equal(strncmp(listener_address(listener), "127.0.0.1:", 10), 0);
	assert_int_equal(listener_open(listener_address(listener), &second, error, sizeof(error)),
			 -EADDRINUSE);
	assert_non_null(strstr(error, "Address already in use"));
	listener_close(listener);
}

static void test_ipv6(void **state)
{
	struct listener *listener;
	char error[256];
	int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct sockaddr_in6 loopback = { .sin6_family = AF_INET6,
					 .sin6_addr = IN6ADDR_LOOPBACK_INIT };

	if (fd < 0 || bind(fd, (struct sockaddr *)&loopback, sizeof(loopback)) < 0) {
		closep(&fd);
		skip();
	}
	close(fd);
	assert_int_equal(listener_open("[::1]:0", &listener, error, sizeof(error)), 0);
	assert_int_equal(strncmp(listener_address(listener), "[::1]:", 6), 0);
	listener_close(listener);
}

static void test_unix(void **state)
{
	char directory[] = "/tmp/cgscope-listener-XXXXXX", path[64], address[80], answer[4096];
	struct listener *listener, *second;
	struct sockaddr_un stale = { .sun_family = AF_UNIX };
	struct stat st;
	int fd;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	snprintf(address, sizeof(address), "unix:%s", path);

	/* Left behind by one that was killed. */
	memcpy(stale.sun_path, path, strlen(path) + 1);
	fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fd, (struct sockaddr *)&stale, sizeof(stale)), 0);
	close(fd);

	listener = start(address);
	assert_string_equal(listener_address(listener), address);
	ask_fd(connect_unix(path), GET("/"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	assert_int_equal(listener_open(address, &second, answer, sizeof(answer)), -EADDRINUSE);
	ask_fd(connect_unix(path), GET("/"), answer, sizeof(answer));
	assert_non_null(strstr(answer, "HTTP/1.1 200"));
	listener_close(listener);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(rmdir(directory), 0);
}

/* Put in the place of one's own socket by somebody else: not one's to remove. */
static void test_unix_of_another(void **state)
{
	char directory[] = "/tmp/cgscope-listener-XXXXXX", path[64], moved[64], address[80];
	struct listener *first, *second;
	struct stat st;

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	snprintf(moved, sizeof(moved), "%s/moved", directory);
	snprintf(address, sizeof(address), "unix:%s", path);
	first = start(address);
	assert_int_equal(rename(path, moved), 0);
	second = start(address);
	listener_close(first);
	assert_int_equal(stat(path, &st), 0);
	listener_close(second);
	assert_int_equal(stat(path, &st), -1);
	assert_int_equal(unlink(moved), 0);
	assert_int_equal(rmdir(directory), 0);
}

/* Its owner is there, but accepts nothing: in use, and said at once. */
static void test_unix_full(void **state)
{
	char directory[] = "/tmp/cgscope-listener-XXXXXX", path[64], address[80], error[256];
	struct sockaddr_un full = { .sun_family = AF_UNIX };
	struct listener *listener;
	int fds[3];

	assert_non_null(mkdtemp(directory));
	snprintf(path, sizeof(path), "%s/s", directory);
	snprintf(address, sizeof(address), "unix:%s", path);
	memcpy(full.sun_path, path, strlen(path) + 1);
	fds[0] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	assert_int_equal(bind(fds[0], (struct sockaddr *)&full, sizeof(full)), 0);
	assert_int_equal(listen(fds[0], 0), 0);
	for (size_t i = 1; i < 3; i++) {
		fds[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
		(void)connect(fds[i], (struct sockaddr *)&full, sizeof(full));
	}
	assert_int_equal(errno, EAGAIN);
	alarm(5);
	assert_int_equal(listener_open(address, &listener, error, sizeof(error)), -EADDRINUSE);
	alarm(0);
	for (size_t i = 0; i < 3; i++)
		close(fds[i]);
	assert_int_equal(unlink(path), 0);
	assert_int_equal(rmdir(directory), 0);
}

/* Bound, but never started. */
static void test_unused(void **state)
{
	struct listener *listener;
	char error[256];

	assert_int_equal(listener_open("127.0.0.1:0", &listener, error, sizeof(error)), 0);
	publish(listener, "a 1\n", 1);
	listener_close(listener);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_answers),
		cmocka_unit_test(test_gzip),
		cmocka_unit_test(test_wrong_requests),
		cmocka_unit_test(test_health),
		cmocka_unit_test(test_stuck),
		cmocka_unit_test(test_served),
		cmocka_unit_test(test_room),
		cmocka_unit_test(test_one_address_is_limited),
		cmocka_unit_test(test_addresses),
		cmocka_unit_test(test_ipv6),
		cmocka_unit_test(test_unix),
		cmocka_unit_test(test_unix_of_another),
		cmocka_unit_test(test_unix_full),
		cmocka_unit_test(test_unused),
	};

	return cmocka_run_group_tests(tests, need_listener, NULL);
}
