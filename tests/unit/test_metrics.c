/* SPDX-License-Identifier: BSD-2-Clause */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <time.h>

#include <cmocka.h>

#include "src/cleanup.h"
#include "src/metrics.h"

#define S	 1000000000ull
#define ROWS_MAX 64

/* A report as it is made up, an interval at a time. */
struct scene {
	struct metrics *metrics;
	uint64_t served; /* the number of the last page that was scraped */
	uint64_t duration_ns;
	uint64_t number; /* of the last page */
	char *page;
	const char *gone[8]; /* paths of cgroups that are no more */
	size_t n_gone;
	uint64_t named; /* a cgroup's id; 0: none */
};

/* One container of it. */
struct made {
	struct report_container container;
	struct report_call calls[ROWS_MAX];
	struct call_stats stats[ROWS_MAX];
	const struct report_call *rows[ROWS_MAX];
	struct snapshot_in_flight in_flight[ROWS_MAX];
	const struct snapshot_in_flight *in_flight_rows[ROWS_MAX];
};

static bool exists(const char *path, void *data)
{
	const struct scene *scene = data;

	for (size_t i = 0; i < scene->n_gone; i++) {
		if (strcmp(scene->gone[i], path) == 0)
			return false;
	}
	return true;
}

static bool is_resolved(uint64_t cgroup_id, void *data)
{
	const struct scene *scene = data;

	return scene->named && cgroup_id == scene->named;
}

static int add(struct scene *scene, const struct report *report)
{
	const struct metrics_cgroups cgroups = { exists, is_resolved, scene };

	return metrics_add(scene->metrics, report, scene->served, &cgroups);
}

static void scene_init(struct scene *scene, uint32_t calls_max)
{
	*scene = (struct scene){ .duration_ns = 10 * S };
	assert_int_equal(metrics_new(calls_max, &scene->metrics), 0);
}

static void scene_done(struct scene *scene)
{
	metrics_free(scene->metrics);
	free(scene->page);
}

static void made_init(struct made *made, const struct identity *identity)
{
	memset(made, 0, sizeof(*made));
	made->container.identity = identity;
	made->container.rows = made->rows;
	made->container.in_flight = made->in_flight_rows;
}

static struct call_stats *made_call(struct made *made, uint32_t nr, uint32_t abi, uint64_t count)
{
	uint32_t i = made->container.n_rows++;

	assert_in_range(i, 0, ROWS_MAX - 1);
	made->stats[i] = (struct call_stats){ .count = count };
	made->calls[i] = (struct report_call){ .nr = nr, .abi = abi, .stats = &made->stats[i] };
	made->rows[i] = &made->calls[i];
	return &made->stats[i];
}

static void made_in_flight(struct made *made, uint32_t nr, uint64_t age_ns)
{
	uint32_t i = made->container.n_in_flight++;

	made->in_flight[i] = (struct snapshot_in_flight){ .nr = nr, .age_ns = age_ns };
	made->in_flight_rows[i] = &made->in_flight[i];
}

static const struct metrics_self self = {
	.libbpf_version = "1.5",
	.attached = true,
	.bpf_run_time_ns = 1500000000,
	.bpf_runs = 7,
	.process = {
		.cpu_ns = 2000000001,
		.resident_bytes = 4096,
		.virtual_bytes = 8192,
		.start_ms = 1700000000123,
		.open_fds = 9,
		.max_fds = 1024,
	},
};

static void render(struct scene *scene)
{
	char *text;
	size_t n;

	assert_int_equal(metrics_render(scene->metrics, &self, &text, &n, &scene->number), 0);
	free(scene->page);
	scene->page = malloc(n + 1);
	assert_non_null(scene->page);
	memcpy(scene->page, text, n);
	scene->page[n] = '\0';
	assert_int_equal(strlen(scene->page), n);
	free(text);
}

/* One interval with these containers, and the page after it. */
static void interval(struct scene *scene, const struct made *const *made, size_t n)
{
	struct report report = { .duration_ns = scene->duration_ns, .lost = { 1, 2, 3, 4 } };

	report.containers = calloc(n + 1, sizeof(*report.containers));
	assert_non_null(report.containers);
	for (size_t i = 0; i < n; i++)
		report.containers[report.n_containers++] = made[i]->container;
	assert_int_equal(add(scene, &report), 0);
	free(report.containers);
	render(scene);
}

#define INTERVAL(scene, ...)                                                                       \
	interval(scene, (const struct made *[]){ __VA_ARGS__ },                                    \
		 sizeof((const struct made *[]){ __VA_ARGS__ }) / sizeof(struct made *))

static void scrape(struct scene *scene)
{
	scene->served = scene->number;
}

/* The value of the sample that begins with @name, or -1 where there is none. */
static double value(const struct scene *scene, const char *name)
{
	size_t n = strlen(name);
	const char *line = scene->page;

	for (; line; line = strchr(line, '\n')) {
		line += *line == '\n';
		if (strncmp(line, name, n) == 0 && line[n] == ' ')
			return strtod(line + n, NULL);
	}
	return -1;
}

static void assert_value(const struct scene *scene, const char *name, double expected)
{
	double got = value(scene, name);

	if (got != expected)
		fail_msg("%s is %f, not %f, in\n%s", name, got, expected, scene->page);
}

/* identity strings are char * for their owners; these are nobody's. */
#define TEXT(literal) ((char *)(literal))

static const struct identity web = {
	.kind = IDENTITY_CONTAINER,
	.resolved = true,
	.key = TEXT("9157"),
	.container_id = TEXT("9157ecd6aaaabbbbcccc"),
	.container_name = TEXT("k8s_app_web"),
	.k8s_container_name = TEXT("app"),
	.runtime_name = TEXT("containerd"),
	.image_name = TEXT("nginx:1.27"),
	.pod_name = TEXT("web-0"),
	.namespace_name = TEXT("shop"),
	.cgroup_path = TEXT("/kubepods/9157"),
};

#define WEB(call) "{namespace=\"shop\",pod=\"web-0\",container=\"app\",syscall=\"" call "\"}"

static const struct identity sandbox = {
	.kind = IDENTITY_SANDBOX,
	.key = TEXT("5a5a"),
	.container_id = TEXT("5a5a"),
	.container_name = TEXT("web-0-pause"),
	.pod_name = TEXT("web-0"),
	.namespace_name = TEXT("shop"),
	.cgroup_path = TEXT("/kubepods/5a5a"),
};

static const struct identity odd = {
	.kind = IDENTITY_CONTAINER,
	.resolved = true,
	.key = TEXT("odd"),
	.container_id = TEXT("0dd"),
	.container_name = TEXT("a\"b\\c\nd\xff\x1b\xe2\x80\xae"),
	.runtime_name = TEXT("docker"),
	.cgroup_path = TEXT("/docker/odd"),
};

static const struct identity unit = {
	.kind = IDENTITY_UNIT,
	.key = TEXT("unit:ssh.service"),
	.unit = TEXT("ssh.service"),
	.cgroup_path = TEXT("/system.slice/ssh.service"),
};

static const struct identity host = { .kind = IDENTITY_HOST, .key = TEXT("host") };

static void assert_same_as_file(const char *text, const char *path)
{
	_cleanup_(fclosep) FILE *file = NULL;
	char golden[65536];
	size_t n;

	if (getenv("WRITE_GOLDEN")) {
		file = fopen(path, "w");
		assert_non_null(file);
		assert_true(fputs(text, file) >= 0);
		return;
	}
	file = fopen(path, "r");
	assert_non_null(file);
	n = fread(golden, 1, sizeof(golden) - 1, file);
	golden[n] = '\0';
	assert_string_equal(text, golden);
}

static void test_page(void **state)
{
	struct made app, pause, strange, ssh, rest;
	struct call_stats *stats;
	struct scene scene;

	scene_init(&scene, 4);
	made_init(&app, &web);
	stats = made_call(&app, SYS_write, CALL_ABI_NATIVE, 42);
	stats->errors = 2;
	stats->bytes = 65536;
	stats->time_ns = 1234567890;
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		stats->buckets[i] = i == 0 || i == 10 || i >= 22 ? 10 : 0;
	made_call(&app, SYS_exit_group, CALL_ABI_NATIVE, 1);
	stats = made_call(&app, SYS_mount, CALL_ABI_NATIVE, 0);
	stats->denied = 5;
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 3);
	made_call(&app, SYS_openat, CALL_ABI_NATIVE, 4);
	made_in_flight(&app, SYS_fsync, 7012300000);
	made_in_flight(&app, SYS_read, 1000000000);
	made_in_flight(&app, SYS_write, 2000000000);
	made_init(&pause, &sandbox);
	made_call(&pause, SYS_ppoll, CALL_ABI_NATIVE, 1);
	made_init(&strange, &odd);
	made_call(&strange, 4711, CALL_ABI_NATIVE, 1);
	made_init(&ssh, &unit);
	made_call(&ssh, SYS_read, CALL_ABI_NATIVE, 8);
	made_init(&rest, &host);
	made_call(&rest, SYS_read, CALL_ABI_NATIVE, 16);

	INTERVAL(&scene, &app, &pause, &strange, &ssh, &rest);
	assert_same_as_file(scene.page, TEST_DATA "/metrics/page.txt");
	scene_done(&scene);
}

/* Before the first interval there is a page already. */
static void test_empty_page(void **state)
{
	struct scene scene;

	scene_init(&scene, 30);
	render(&scene);
	assert_int_equal(scene.number, 1);
	assert_value(&scene, "cgscope_intervals_total", 0);
	assert_value(&scene, "cgscope_lost_calls_total{cause=\"ring_full\"}", 0);
	assert_value(&scene, "cgscope_attached", 1);
	scene_done(&scene);
}

static void test_sums(void **state)
{
	struct made app;
	struct call_stats *stats;
	struct scene scene;

	scene_init(&scene, 30);
	made_init(&app, &web);
	stats = made_call(&app, SYS_write, CALL_ABI_NATIVE, 10);
	stats->errors = 1;
	stats->bytes = 100;
	stats->time_ns = S / 2;
	stats->buckets[5] = 10;
	for (int i = 1; i <= 3; i++) {
		INTERVAL(&scene, &app);
		assert_value(&scene, "cgscope_syscalls_total" WEB("write"), 10 * i);
		assert_value(&scene, "cgscope_syscall_errors_total" WEB("write"), i);
		assert_value(&scene, "cgscope_syscall_bytes_total" WEB("write"), 100 * i);
		assert_value(&scene, "cgscope_syscall_duration_seconds_sum" WEB("write"), 0.5 * i);
		assert_value(&scene, "cgscope_syscall_duration_seconds_count" WEB("write"), 10 * i);
		assert_value(&scene, "cgscope_intervals_total", i);
		assert_value(&scene, "cgscope_lost_calls_total{cause=\"no_memory\"}", i);
		assert_value(&scene, "cgscope_unread_message_lengths_total", 4 * i);
	}
	interval(&scene, NULL, 0); /* silent, but there */
	assert_value(&scene, "cgscope_syscalls_total" WEB("write"), 30);
	assert_value(&scene, "cgscope_containers", 1);
	scene_done(&scene);
}

/* Each finite bound is the end of a bucket of the report's, to the last digit. */
static void test_bounds(void **state)
{
	struct made app;
	struct call_stats *stats;
	struct scene scene;
	double last = 0;
	int n = 0;

	scene_init(&scene, 30);
	made_init(&app, &web);
	stats = made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	for (uint32_t i = 0; i < HIST_BUCKETS; i++)
		stats->buckets[i] = 1;
	INTERVAL(&scene, &app);

	for (const char *le = strstr(scene.page, "le=\""); le; le = strstr(le + 1, "le=\"")) {
		uint64_t sum = strtoull(strchr(le, ' '), NULL, 10);
		double bound = strtod(le + 4, NULL);

		n++;
		assert_true(bound > last);
		last = bound;
		if (strncmp(le, "le=\"+Inf", 8) == 0)
			assert_int_equal(sum, HIST_BUCKETS);
		else
			assert_true(bound ==
				    (double)((uint64_t)HIST_FIRST_END_NS << (sum - 1)) / 1e9);
	}
	assert_int_equal(n, 12);
	scene_done(&scene);
}

static void test_other(void **state)
{
	struct made first, second;
	struct scene scene;

	scene_init(&scene, 3);
	made_init(&first, &web);
	made_call(&first, SYS_read, CALL_ABI_NATIVE, 1);
	made_init(&second, &web);
	made_call(&second, SYS_fsync, CALL_ABI_NATIVE, 10);
	made_call(&second, SYS_close, CALL_ABI_NATIVE, 100);
	made_call(&second, SYS_dup, CALL_ABI_NATIVE, 1000);
	made_call(&second, SYS_read, CALL_ABI_NATIVE, 10000);

	INTERVAL(&scene, &first);
	/* Three more do not fit: half of the places are for those that come again. */
	INTERVAL(&scene, &second);
	assert_value(&scene, "cgscope_syscalls_total" WEB("fsync"), 10);
	assert_value(&scene, "cgscope_syscalls_total" WEB("other"), 1100);
	/* The best of those takes the last place, from now on. */
	INTERVAL(&scene, &second);
	INTERVAL(&scene, &second);
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 30001);
	assert_value(&scene, "cgscope_syscalls_total" WEB("fsync"), 30);
	assert_value(&scene, "cgscope_syscalls_total" WEB("close"), 200);
	assert_value(&scene, "cgscope_syscalls_total" WEB("dup"), -1);
	assert_value(&scene, "cgscope_syscalls_total" WEB("other"), 3100);
	scene_done(&scene);
}

/* What a container does at its start does not take all places. */
static void test_start(void **state)
{
	struct made start, steady;
	struct scene scene;

	scene_init(&scene, 4);
	made_init(&start, &web);
	for (uint32_t nr = 400; nr < 420; nr++)
		made_call(&start, nr, CALL_ABI_NATIVE, 1);
	made_call(&start, SYS_read, CALL_ABI_NATIVE, 1);
	made_init(&steady, &web);
	made_call(&steady, SYS_read, CALL_ABI_NATIVE, 1);
	made_call(&steady, SYS_write, CALL_ABI_NATIVE, 1);

	INTERVAL(&scene, &start);
	assert_value(&scene, "cgscope_syscalls_total" WEB("other"), 19);
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), -1);
	INTERVAL(&scene, &steady);
	INTERVAL(&scene, &steady);
	assert_value(&scene, "cgscope_syscalls_total" WEB("other"), 19);
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 2);
	assert_value(&scene, "cgscope_syscalls_total" WEB("write"), 2);
	scene_done(&scene);
}

/* One name, one series, whatever the ABI; the numbers differ. */
static void test_abis(void **state)
{
	struct made app;
	struct scene scene;

	scene_init(&scene, 30);
	made_init(&app, &web);
	made_call(&app, SYS_write, CALL_ABI_NATIVE, 1);
	made_call(&app, 4, CALL_ABI_COMPAT, 10); /* write, on i386 and arm */
	INTERVAL(&scene, &app);
	assert_value(&scene, "cgscope_syscalls_total" WEB("write"), 11);
	scene_done(&scene);
}

static struct identity with_id(const char *id, const char *path)
{
	struct identity identity = web;

	identity.key = identity.container_id = TEXT(id);
	identity.cgroup_path = TEXT(path);
	return identity;
}

/* A container that was restarted goes on where the one before it ended. */
static void test_restart(void **state)
{
	struct identity before = with_id("aaaa", "/a"), after = with_id("bbbb", "/b");
	struct made app;
	struct scene scene;

	scene_init(&scene, 30);
	made_init(&app, &before);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	INTERVAL(&scene, &app);
	assert_non_null(strstr(scene.page, "container_id=\"aaaa\""));

	made_init(&app, &after);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 10);
	INTERVAL(&scene, &app);
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 11);
	/* With both of them in it no join on the labels would be unique. */
	assert_null(strstr(scene.page, "container_id=\"aaaa\""));
	assert_non_null(strstr(scene.page, "container_id=\"bbbb\""));

	scene.gone[scene.n_gone++] = "/a";
	for (int i = 2; i < 8; i++) {
		INTERVAL(&scene, &app);
		scrape(&scene);
		assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 1 + 10 * i);
	}
	assert_value(&scene, "cgscope_containers", 1);
	scene_done(&scene);
}

/* Gone, and its last calls in: @scene is at the first page with its last values. */
static void let_end(struct scene *scene)
{
	struct made app;

	made_init(&app, &web);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	INTERVAL(scene, &app);
	scrape(scene);
	scrape(scene);
	scene->gone[scene->n_gone++] = web.cgroup_path;
	INTERVAL(scene, &app); /* its cgroup went, and this came before */
	scrape(scene);
	scrape(scene);
	assert_value(scene, "cgscope_containers", 1);
	INTERVAL(scene, &app); /* what was read late */
	scrape(scene);
	scrape(scene);
	assert_value(scene, "cgscope_containers", 1);
	interval(scene, NULL, 0);
	assert_value(scene, "cgscope_syscalls_total" WEB("read"), 3);
	assert_value(scene, "cgscope_containers", 0);
	/* What is joined to the last values. */
	assert_non_null(strstr(scene->page, "container_id=\"9157ecd6aaaabbbbcccc\""));
}

/* How many more intervals of 10 s the series of let_end() are there. */
static int count_until_dropped(struct scene *scene)
{
	int n = 0;

	do {
		interval(scene, NULL, 0);
		n++;
	} while (value(scene, "cgscope_syscalls_total" WEB("read")) == 3 && n < 100);
	return n;
}

/* Who scraped is not known: Prometheus may come a minute after a person with curl. */
static void test_end_scraped(void **state)
{
	struct scene scene;

	scene_init(&scene, 30);
	let_end(&scene);
	for (int i = 0; i < 5; i++)
		scrape(&scene);
	assert_int_equal(count_until_dropped(&scene), 9);
	scene_done(&scene);
}

/* However late it is scraped, from then on nothing more is waited for. */
static void test_end_scraped_late(void **state)
{
	struct scene scene;

	scene_init(&scene, 30);
	let_end(&scene);
	for (int i = 0; i < 20; i++)
		interval(&scene, NULL, 0);
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 3);
	scrape(&scene);
	assert_int_equal(count_until_dropped(&scene), 1);
	scene_done(&scene);
}

static void test_end_unscraped(void **state)
{
	struct scene scene;

	scene_init(&scene, 30);
	let_end(&scene);
	assert_int_equal(count_until_dropped(&scene), 60); /* ten minutes */
	scene_done(&scene);
}

/* A restart that took longer than two intervals: nothing went back, as nobody saw an end. */
static void test_return(void **state)
{
	struct made app;
	struct scene scene;

	scene_init(&scene, 30);
	let_end(&scene);
	scrape(&scene);
	scene.n_gone = 0;
	made_init(&app, &web);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	INTERVAL(&scene, &app);
	for (int i = 0; i < 20; i++) {
		scrape(&scene);
		interval(&scene, NULL, 0);
	}
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 4);
	scene_done(&scene);
}

/* First known by its path alone, then by name: counted once, and described once. */
static void test_resolved_late(void **state)
{
	struct identity early = {
		.kind = IDENTITY_CONTAINER,
		.key = TEXT("path:/kubepods/9157"),
		.container_id = web.container_id,
		.cgroup_path = web.cgroup_path,
	};
	struct made app;
	struct scene scene;

	scene_init(&scene, 30);
	made_init(&app, &early);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	INTERVAL(&scene, &app);
	assert_value(&scene,
		     "cgscope_syscalls_total{namespace=\"\",pod=\"\",container=\"9157ecd6aaaa\","
		     "syscall=\"read\"}",
		     1);
	made_init(&app, &web);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 10);
	INTERVAL(&scene, &app);
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 10);
	assert_value(&scene, "cgscope_containers", 1);
	assert_null(strstr(scene.page, "cgscope_container_info{namespace=\"\""));
	scrape(&scene);
	for (int i = 0; i < 9; i++)
		INTERVAL(&scene, &app);
	assert_null(strstr(scene.page, "9157ecd6aaaa\",syscall"));
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 100);
	scene_done(&scene);
}

static void assert_described_by(const struct scene *scene, const char *id)
{
	const char *info = strstr(scene->page, "\ncgscope_container_info{");
	char label[64];

	snprintf(label, sizeof(label), "container_id=\"%s\"", id);
	assert_non_null(info);
	info++;
	if (!strstr(info, label) || strstr(info, "\ncgscope_container_info{"))
		fail_msg("not described by %s alone, but by %.300s", id, info);
}

/* Of several under the same names the latest that has an id is shown, as long as there is one. */
static void test_described(void **state)
{
	struct identity first = with_id("aaaa", "/a"), second = with_id("bbbb", "/b");
	struct identity nameless = web;
	struct made a, b, without;
	struct scene scene;

	nameless.key = nameless.cgroup_path = TEXT("/pod");
	nameless.container_id = NULL;
	scene_init(&scene, 30);
	made_init(&a, &first);
	made_call(&a, SYS_read, CALL_ABI_NATIVE, 1);
	made_init(&b, &second);
	made_call(&b, SYS_read, CALL_ABI_NATIVE, 1);
	made_init(&without, &nameless);
	made_call(&without, SYS_read, CALL_ABI_NATIVE, 1);

	INTERVAL(&scene, &a);
	assert_described_by(&scene, "aaaa");
	INTERVAL(&scene, &a, &b);
	assert_described_by(&scene, "bbbb");
	INTERVAL(&scene, &without);
	assert_described_by(&scene, "bbbb");

	/* The latest ends, and is followed by the one before, not by the one without an id. */
	scene.gone[scene.n_gone++] = "/b";
	interval(&scene, NULL, 0);
	interval(&scene, NULL, 0);
	assert_described_by(&scene, "aaaa");
	scene.gone[scene.n_gone++] = "/a";
	scene.gone[scene.n_gone++] = "/pod";
	interval(&scene, NULL, 0);
	interval(&scene, NULL, 0);
	assert_value(&scene, "cgscope_containers", 0);
	assert_described_by(&scene, "aaaa");

	/* And by one that comes under these names again. */
	scene.n_gone = 0;
	INTERVAL(&scene, &b);
	assert_described_by(&scene, "bbbb");
	scene_done(&scene);
}

/* The same container under other labels: what it did before stays where it was. */
static void test_renamed(void **state)
{
	struct identity renamed = web;
	struct made app;
	struct scene scene;

	renamed.k8s_container_name = TEXT("new");
	scene_init(&scene, 30);
	made_init(&app, &web);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	INTERVAL(&scene, &app);
	app.container.identity = &renamed;
	INTERVAL(&scene, &app);
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 1);
	assert_value(&scene,
		     "cgscope_syscalls_total{namespace=\"shop\",pod=\"web-0\",container=\"new\","
		     "syscall=\"read\"}",
		     1);
	assert_value(&scene, "cgscope_containers", 1);
	scene_done(&scene);
}

static void test_in_flight_ends(void **state)
{
	struct made app;
	struct scene scene;

	scene_init(&scene, 30);
	made_init(&app, &web);
	made_in_flight(&app, SYS_fsync, 2 * S);
	made_in_flight(&app, SYS_fsync, 3 * S);
	INTERVAL(&scene, &app);
	assert_value(&scene, "cgscope_syscalls_in_flight" WEB("fsync"), 2);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("fsync"), 3);
	interval(&scene, NULL, 0);
	assert_value(&scene, "cgscope_syscalls_in_flight" WEB("fsync"), -1);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("fsync"), -1);
	scene_done(&scene);
}

/* A call that does not return has its name, however many others have series of their own. */
static void test_in_flight_keeps_its_name(void **state)
{
	struct made app;
	struct scene scene;

	scene_init(&scene, 2);
	made_init(&app, &web);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	made_call(&app, SYS_write, CALL_ABI_NATIVE, 1);
	INTERVAL(&scene, &app);
	INTERVAL(&scene, &app);
	made_call(&app, SYS_openat, CALL_ABI_NATIVE, 1);
	made_in_flight(&app, SYS_fsync, 5 * S);
	made_in_flight(&app, SYS_futex, 4 * S);
	made_in_flight(&app, SYS_fsync, 3 * S);
	INTERVAL(&scene, &app);
	assert_value(&scene, "cgscope_syscalls_in_flight" WEB("fsync"), 2);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("fsync"), 5);
	assert_value(&scene, "cgscope_syscalls_in_flight" WEB("futex"), 1);
	assert_value(&scene, "cgscope_syscalls_in_flight" WEB("other"), -1);
	/* It is none of those that are counted. */
	assert_value(&scene, "cgscope_syscalls_total" WEB("fsync"), -1);
	assert_value(&scene, "cgscope_syscalls_total" WEB("other"), 1);
	scene_done(&scene);
}

/* Eight names; beyond these those that wait by design go first. */
static void test_in_flight_names_are_bounded(void **state)
{
	static const uint32_t calls[] = { SYS_fsync,	 SYS_openat, SYS_close,
					  SYS_renameat2, SYS_statx,  SYS_mount,
					  SYS_read,	 SYS_write,  SYS_ftruncate };
	struct made app;
	struct scene scene;

	scene_init(&scene, 30);
	made_init(&app, &web);
	made_in_flight(&app, SYS_futex, 90 * S);
	made_in_flight(&app, SYS_ppoll, 80 * S);
	for (size_t i = 0; i < 7; i++)
		made_in_flight(&app, calls[i], (70 - i) * S);
	INTERVAL(&scene, &app);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("futex"), 90);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("read"), 64);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("other"), 80);
	for (size_t i = 7; i < 9; i++)
		made_in_flight(&app, calls[i], (70 - i) * S);
	INTERVAL(&scene, &app);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("write"), 63);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("ftruncate"), -1);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("futex"), -1);
	assert_value(&scene, "cgscope_syscall_in_flight_oldest_seconds" WEB("other"), 90);
	assert_value(&scene, "cgscope_syscalls_in_flight" WEB("other"), 3);
	scene_done(&scene);
}

/* Longer intervals than one in a second are not needed to look for the ended. */
static void test_short_intervals(void **state)
{
	struct made app;
	struct scene scene;

	scene_init(&scene, 30);
	scene.duration_ns = S / 100;
	made_init(&app, &web);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	INTERVAL(&scene, &app);
	scene.gone[scene.n_gone++] = web.cgroup_path;
	for (int i = 0; i < 100; i++) {
		interval(&scene, NULL, 0);
		scrape(&scene);
	}
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 1);
	for (int i = 0; i < 9000; i++) {
		interval(&scene, NULL, 0);
		scrape(&scene);
	}
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), 1);
	for (int i = 0; i < 150; i++) {
		interval(&scene, NULL, 0);
		scrape(&scene);
	}
	assert_value(&scene, "cgscope_syscalls_total" WEB("read"), -1);
	scene_done(&scene);
}

/* One number out of the other: what is there and has made a call, and has no name. */
static void test_unresolved(void **state)
{
	struct identity nameless[3] = { web, web, web };
	struct made app, made[3];
	struct scene scene;

	scene_init(&scene, 30);
	render(&scene);
	assert_value(&scene, "cgscope_unresolved_containers", 0);
	made_init(&app, &web);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	for (size_t i = 0; i < 3; i++) {
		static const char *const paths[] = { "/docker/0", "/docker/1", "/docker/2" };

		nameless[i].resolved = false;
		nameless[i].key = nameless[i].cgroup_path = TEXT(paths[i]);
		nameless[i].cgroup_id = 10 + i;
		made_init(&made[i], &nameless[i]);
		made_call(&made[i], SYS_read, CALL_ABI_NATIVE, 1);
	}
	INTERVAL(&scene, &app, &made[0], &made[1], &made[2]);
	assert_value(&scene, "cgscope_containers", 4);
	assert_value(&scene, "cgscope_unresolved_containers", 3);

	/* Its name is found when it makes a call, or without one; and one ends. */
	nameless[0].resolved = true;
	INTERVAL(&scene, &made[0]);
	assert_value(&scene, "cgscope_unresolved_containers", 2);
	scene.named = 11;
	interval(&scene, NULL, 0);
	assert_value(&scene, "cgscope_unresolved_containers", 1);
	scene.gone[scene.n_gone++] = "/docker/2";
	interval(&scene, NULL, 0);
	interval(&scene, NULL, 0);
	assert_value(&scene, "cgscope_containers", 3);
	assert_value(&scene, "cgscope_unresolved_containers", 0);
	scene_done(&scene);
}

/* What people call a container: pods' sandboxes and own cgroups are in no count of theirs. */
static void test_counts_containers(void **state)
{
	struct identity pod = web;
	struct made app, pause, own;
	struct scene scene;

	pod.kind = IDENTITY_POD;
	pod.key = pod.cgroup_path = TEXT("/kubepods/pod1");
	pod.container_id = pod.k8s_container_name = pod.container_name = NULL;
	pod.resolved = false;
	scene_init(&scene, 30);
	made_init(&app, &web);
	made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
	made_init(&pause, &sandbox);
	made_call(&pause, SYS_read, CALL_ABI_NATIVE, 1);
	made_init(&own, &pod);
	made_call(&own, SYS_read, CALL_ABI_NATIVE, 1);
	INTERVAL(&scene, &app, &pause, &own);
	assert_value(&scene, "cgscope_containers", 1);
	assert_value(&scene, "cgscope_unresolved_containers", 0);
	scene_done(&scene);
}

/* More containers than any node has: bounded, and still all there in the sum. */
static void test_too_many(void **state)
{
	const uint64_t n = 5000;
	struct scene scene;
	double sum = 0;

	scene_init(&scene, 30);
	for (uint64_t i = 0; i < n; i++) {
		char id[32], path[32];
		struct identity identity = web;
		struct report report = { .duration_ns = S, .n_containers = 1 };
		struct made app;

		snprintf(id, sizeof(id), "id%lu", (unsigned long)i);
		snprintf(path, sizeof(path), "/%lu", (unsigned long)i);
		identity.key = identity.k8s_container_name = id;
		identity.cgroup_path = path;
		made_init(&app, &identity);
		made_call(&app, SYS_read, CALL_ABI_NATIVE, 1);
		report.containers = &app.container;
		assert_int_equal(add(&scene, &report), 0);
	}
	render(&scene);
	for (const char *c = strstr(scene.page, "\ncgscope_syscalls_total{"); c;
	     c = strstr(c + 1, "\ncgscope_syscalls_total{"))
		sum += strtod(strchr(c, '}') + 1, NULL);
	assert_true(sum == (double)n);
	assert_true(value(&scene,
			  "cgscope_syscalls_total{namespace=\"\",pod=\"\",container=\"other\","
			  "syscall=\"read\"}") > (double)(n / 2));
	assert_true(strlen(scene.page) < 1 << 20);
	scene_done(&scene);
}

static void test_process(void **state)
{
	struct metrics_process process;
	uint64_t now_ms = (uint64_t)time(NULL) * 1000;

	metrics_read_process(&process);
	assert_in_range(process.start_ms, now_ms - 600000, now_ms + 2000);
	assert_in_range(process.resident_bytes, 100000, process.virtual_bytes);
	assert_in_range(process.open_fds, 3, process.max_fds);
	assert_in_range(process.cpu_ns, 1, 600 * S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_page),
		cmocka_unit_test(test_empty_page),
		cmocka_unit_test(test_sums),
		cmocka_unit_test(test_bounds),
		cmocka_unit_test(test_other),
		cmocka_unit_test(test_start),
		cmocka_unit_test(test_abis),
		cmocka_unit_test(test_restart),
		cmocka_unit_test(test_end_scraped),
		cmocka_unit_test(test_end_scraped_late),
		cmocka_unit_test(test_end_unscraped),
		cmocka_unit_test(test_return),
		cmocka_unit_test(test_resolved_late),
		cmocka_unit_test(test_described),
		cmocka_unit_test(test_renamed),
		cmocka_unit_test(test_in_flight_ends),
		cmocka_unit_test(test_in_flight_keeps_its_name),
		cmocka_unit_test(test_in_flight_names_are_bounded),
		cmocka_unit_test(test_short_intervals),
		cmocka_unit_test(test_unresolved),
		cmocka_unit_test(test_counts_containers),
		cmocka_unit_test(test_too_many),
		cmocka_unit_test(test_process),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
