/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * The program: knows everyone, and wires them. One event loop; no threads but that of the listener,
 * which only ever sees whole pages.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <malloc.h>
#include <poll.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>
#include <unistd.h>

#include "src/cgroup_tree.h"
#include "src/check.h"
#include "src/cleanup.h"
#include "src/clock.h"
#include "src/collector.h"
#include "src/exclusions.h"
#include "src/hierarchy_watch.h"
#include "src/host_root.h"
#include "src/loop.h"
#include "src/metrics.h"
#include "src/notices.h"
#include "src/options.h"
#include "src/output.h"
#include "src/privileges.h"
#include "src/publisher.h"
#include "src/report.h"
#include "src/resolve.h"
#include "src/resolver.h"
#include "src/selection.h"
#include "src/stuck.h"
#include "src/text.h"
#include "src/unwanted.h"

/* The resolver's retries are at least so far apart: each goes through all that is pending. */
#define RESOLVER_WORK_NS (250 * NSEC_PER_MSEC)

struct monitor {
	const struct options *options;
	struct host_root *root;
	struct cgroup_tree *tree;
	struct resolver *resolver;
	struct selection *selection;
	struct collector *collector;
	struct unwanted *unwanted;
	struct publisher *publisher; /* NULL without --listen */
	uint64_t resolver_worked_ns;
	struct hierarchy_watch hierarchy_watch;
	uint64_t intervals;
	unsigned losses_said; /* a bit for each cause */
	struct loop *loop;
	bool stop; /* the interval that is printed is the last one */
};

__attribute__((format(printf, 1, 2))) static int fail(const char *format, ...)
{
	va_list args;

	va_start(args, format);
	(void)fputs("cgscope: ", stderr);
	(void)vfprintf(stderr, format, args);
	(void)fputc('\n', stderr);
	va_end(args);
	return EXIT_FAILURE;
}

/* A reader that has seen enough is no failure. */
static int flush_stdout(void)
{
	struct pollfd reader = { .fd = STDOUT_FILENO };

	errno = 0;
	if ((fflush(stdout) == 0 && !ferror(stdout)) || errno == EPIPE)
		return EXIT_SUCCESS;
	/* What failed was an earlier write, and why is not kept. */
	if (errno == 0 && poll(&reader, 1, 0) > 0 && (reader.revents & POLLERR))
		return EXIT_SUCCESS;
	return fail("cannot write to standard output: %s",
		    errno ? strerror(errno) : "not all of it could be written");
}

static void on_cgroup_made(uint64_t id, const char *path, void *data)
{
	struct monitor *monitor = data;

	resolver_cgroup_made(monitor->resolver, id, path);
}

static void on_cgroup_removed(uint64_t id, void *data)
{
	struct monitor *monitor = data;

	resolver_cgroup_removed(monitor->resolver, id);
	unwanted_forget(monitor->unwanted, id);
}

static const struct identity *identify(uint64_t cgroup_id, void *data)
{
	struct monitor *monitor = data;

	return resolver_identify(monitor->resolver, cgroup_id, monotonic_ns());
}

static bool is_selected(uint64_t cgroup_id, void *data)
{
	struct monitor *monitor = data;

	return selection_takes_path(monitor->selection,
				    resolver_path(monitor->resolver, cgroup_id));
}

static int exclude_in_kernel(uint64_t id, void *data)
{
	struct monitor *monitor = data;

	return collector_exclude_cgroup(monitor->collector, id);
}

static int include_in_kernel(uint64_t id, void *data)
{
	struct monitor *monitor = data;

	return collector_include_cgroup(monitor->collector, id);
}

/* How long epoll may wait before the resolver has something to retry. */
static int resolver_timeout_ms(void *data)
{
	const struct monitor *monitor = data;
	uint64_t due_ns = resolver_due_ns(monitor->resolver);
	uint64_t earliest_ns = monitor->resolver_worked_ns + RESOLVER_WORK_NS;
	uint64_t now = monotonic_ns();

	if (due_ns == UINT64_MAX)
		return -1;
	if (due_ns < earliest_ns)
		due_ns = earliest_ns;
	return due_ns <= now ? 0 : (int)((due_ns - now) / NSEC_PER_MSEC % INT_MAX) + 1;
}

static void work_resolver(void *data)
{
	struct monitor *monitor = data;

	if (resolver_timeout_ms(monitor) != 0)
		return;
	monitor->resolver_worked_ns = monotonic_ns();
	resolver_work(monitor->resolver, monitor->resolver_worked_ns);
	/* Not only when an interval ends, which may be long. */
	unwanted_check(monitor->unwanted);
}

static bool cgroup_exists(const char *path, void *data)
{
	struct monitor *monitor = data;
	uint64_t id;

	return cgroup_tree_id(monitor->tree, path, &id) != -ENOENT;
}

static bool cgroup_is_resolved(uint64_t id, void *data)
{
	return identify(id, data)->resolved;
}

static void read_self(struct metrics_self *ret, void *data)
{
	struct monitor *monitor = data;
	struct collector_stats collector_now;

	collector_stats(monitor->collector, &collector_now);
	*ret = (struct metrics_self){
		.libbpf_version = collector_libbpf_version(),
		.attached = collector_is_attached(monitor->collector),
		.bpf_run_time_ns = collector_now.run_time_ns,
		.bpf_runs = collector_now.run_count,
	};
}

static int print_last_interval(struct monitor *monitor);

/* Ends the interval and prints it. 0, -EPIPE when nobody reads any more, or another -errno. */
static int print_interval(struct monitor *monitor)
{
	const struct report_source source = {
		.identify = identify,
		.selected = monitor->options->cgroups.n ? is_selected : NULL,
		.data = monitor,
	};
	_cleanup_(report_freep) struct report *report = NULL;
	output_fn output = monitor->options->output == OUTPUT_JSON ? output_json : output_text;
	struct snapshot snapshot;
	uint64_t start_ns = monotonic_ns(), read_ns, built_ns;
	bool stop;
	int r;

	r = collector_read(monitor->collector, &snapshot);
	if (r < 0)
		return fail("cannot read the counters: %s", strerror(-r)), r;
	read_ns = monotonic_ns();
	resolver_tick(monitor->resolver, monotonic_ns());
	r = report_build(&snapshot, &source, monitor->options, &report);
	if (r < 0)
		return fail("cannot build the report: %s", strerror(-r)), r;
	built_ns = monotonic_ns();
	stuck_watch(monitor->stop);
	r = output(report, monitor->options, stdout);
	if (r == 0 && fflush(stdout) != 0)
		r = -errno;
	if (stuck_unwatch(&stop))
		return fail("nobody reads standard output: the last records are lost"), -EIO;
	if (monitor->options->verbose)
		fprintf(stderr, "cgscope: interval: read %.1f ms, report %.1f ms, output %.1f ms\n",
			(double)(read_ns - start_ns) / 1e6, (double)(built_ns - read_ns) / 1e6,
			(double)(monotonic_ns() - built_ns) / 1e6);
	if (r < 0) {
		if (r != -EPIPE)
			fail("cannot write to standard output: %s", strerror(-r));
		return r;
	}
	monitor->intervals++;
	notice_losses(report, &monitor->losses_said, stderr);
	r = publisher_add(monitor->publisher, &snapshot, &source, report);
	if (r < 0)
		return fail("cannot sum up the metrics: %s", strerror(-r)), r;
	hierarchy_watch_check(&monitor->hierarchy_watch, monitor->root, monitor->tree, stderr);
	unwanted_update(monitor->unwanted, &snapshot);
	return stop && !monitor->stop ? print_last_interval(monitor) : 0;
}

static int print_last_interval(struct monitor *monitor)
{
	monitor->stop = true;
	loop_stop(monitor->loop);
	publisher_stop_asking(monitor->publisher);
	collector_detach(monitor->collector);
	return print_interval(monitor);
}

static int on_signal(void *data)
{
	return print_last_interval(data);
}

static int on_timer(void *data)
{
	struct monitor *monitor = data;

	if (monitor->options->intervals && monitor->intervals + 1 >= monitor->options->intervals)
		return print_last_interval(monitor);
	return print_interval(monitor);
}

static int on_ring(void *data)
{
	struct monitor *monitor = data;
	int r = collector_poll(monitor->collector);

	if (r < 0)
		fail("cannot read the ring buffer: %s", strerror(-r));
	return r;
}

static void on_error(int error, void *data)
{
	fail("cannot wait for events: %s", strerror(error));
}

static bool still_reads(void *data)
{
	struct monitor *monitor = data;

	return collector_can_read(monitor->collector);
}

/*
 * On a hybrid, cgroups named by --cgroup that are in the other hierarchy only say which one is
 * meant.
 */
static int select_in_other_hierarchy(struct monitor *monitor, char *ret_error, size_t error_size)
{
	const struct options *options = monitor->options;
	struct cgroup_tree *tree;
	char error[8192];
	int r;

	r = cgroup_tree_open_other(monitor->root, &tree);
	if (r < 0)
		return r;
	r = selection_new(options, tree, &monitor->selection, error, sizeof(error));
	if (r < 0) {
		(void)selection_spans(options, monitor->tree, tree, ret_error, error_size);
		cgroup_tree_close(tree);
		return r;
	}
	cgroup_tree_close(monitor->tree);
	monitor->tree = tree;
	/* What was asked for is there, whatever appears elsewhere. */
	monitor->hierarchy_watch.is_settled = true;
	return 0;
}

static int open_identity(struct monitor *monitor)
{
	const struct options *options = monitor->options;
	const char *dir = options->host_root ? options->host_root : host_root_default();
	char error[8192] = "";
	int r;

	r = host_root_open(options->host_root, &monitor->root);
	if (privileges_check(dir, r, stderr))
		return EXIT_FAILURE;
	if (r < 0)
		return fail("%s", notice_no_root(dir, r, error, sizeof(error)));
	hierarchy_watch_begin(&monitor->hierarchy_watch, monitor->root);
	r = cgroup_tree_open(monitor->root, &monitor->tree);
	notice_host_root(monitor->root, monitor->tree, options->verbose, stderr);
	if (r < 0)
		return fail("%s", notice_no_cgroups(monitor->root, r, error, sizeof(error)));
	r = selection_new(options, monitor->tree, &monitor->selection, error, sizeof(error));
	if (r < 0 && select_in_other_hierarchy(monitor, error, sizeof(error)) < 0)
		return fail("%s", *error ? error : strerror(-r));
	if (options->verbose)
		notice_hierarchy(monitor->tree, stderr);
	notice_partial_view(monitor->tree, stderr);
	/* With --cgroup somebody has chosen. */
	if (options->cgroups.n == 0 && notice_missing(monitor->tree, error, sizeof(error)))
		fprintf(stderr, "cgscope: %s\n", error);
	r = resolver_new(monitor->root, monitor->tree, &monitor->resolver);
	if (r < 0)
		return fail("cannot set up the resolver: %s", strerror(-r));
	return 0;
}

static int open_collector(struct monitor *monitor)
{
	const struct options *options = monitor->options;
	const struct cgroup_hierarchy *hierarchy = cgroup_tree_hierarchy(monitor->tree);
	const struct collector_options collector_options = {
		.comms = &options->comms,
		.syscalls = &options->syscalls,
		.pids = options->pids,
		.n_pids = options->n_pids,
		.filter_cgroups = selection_is_active(monitor->selection),
		.cgroup_v1 = hierarchy->v1,
		.cgroup_controller = hierarchy->controller,
		.cgroup_hierarchy = hierarchy->hierarchy_id,
		.in_flight_ns = options->in_flight_ns,
		.by_thread = options->by == ROW_THREAD,
		.verbose = options->verbose,
		.btf = options->btf,
	};
	const struct collector_events events = {
		.cgroup_made = on_cgroup_made,
		.cgroup_removed = on_cgroup_removed,
		.data = monitor,
	};
	const struct exclusions_kernel kernel = {
		.exclude = exclude_in_kernel,
		.include = include_in_kernel,
		.data = monitor,
	};
	char error[2 * TEXT_SHOWN_SIZE] = "";
	int r;

	r = unwanted_new(monitor->selection, monitor->resolver, &kernel, stderr,
			 &monitor->unwanted);
	if (r < 0)
		return fail("%s", strerror(-r));
	r = collector_open(&collector_options, &events, &monitor->collector, error, sizeof(error));
	if (r < 0)
		return fail("%s", *error ? error : strerror(-r));
	return 0;
}

static bool is_attached(void *data)
{
	const struct monitor *monitor = data;

	return collector_is_attached(monitor->collector);
}

static int open_publisher(struct monitor *monitor)
{
	const struct options *options = monitor->options;
	const struct publisher_source source = {
		.read_self = read_self,
		.cgroup_exists = cgroup_exists,
		.cgroup_is_resolved = cgroup_is_resolved,
		.is_attached = is_attached,
		.data = monitor,
	};
	const char *port = options->listen ? strrchr(options->listen, ':') : NULL;
	bool any_port = port && strspn(port + 1, "0") == strlen(port + 1);
	char error[2 * TEXT_SHOWN_SIZE] = "";
	int r;

	if (!options->listen)
		return 0;
	r = publisher_open(options, &source, &monitor->publisher, error, sizeof(error));
	if (r < 0)
		return fail("--listen: %s", *error ? error : strerror(-r));
	/* Whoever leaves the port to the kernel has no other way to know it. */
	if (options->verbose || any_port)
		fprintf(stderr, "cgscope: listening on %s\n",
			text_shown(publisher_address(monitor->publisher)));
	return 0;
}

static void monitor_done(struct monitor *monitor)
{
	publisher_close(monitor->publisher);
	collector_close(monitor->collector);
	unwanted_free(monitor->unwanted);
	resolver_free(monitor->resolver);
	selection_free(monitor->selection);
	cgroup_tree_close(monitor->tree);
	host_root_close(monitor->root);
	loop_free(monitor->loop);
}

static int run_monitor(const struct options *options)
{
	_cleanup_(monitor_done) struct monitor monitor = { .options = options };
	const struct loop_handlers handlers = {
		.on_signal = on_signal,
		.on_timer = on_timer,
		.on_ring = on_ring,
		.timeout_ms = resolver_timeout_ms,
		.on_wake = work_resolver,
		.on_error = on_error,
		.data = &monitor,
	};
	const char *unmatched;
	int r;

	r = loop_new(&handlers, &monitor.loop);
	if (r < 0)
		return fail("cannot watch for signals: %s", strerror(-r));
	r = open_identity(&monitor); /* which checks the privileges first of all */
	if (r)
		return r;
	r = open_publisher(&monitor);
	if (r)
		return r;
	notice_pids(options, monitor.tree, stderr);
	unmatched = selection_unmatched_glob(monitor.selection, monitor.tree);
	if (unmatched)
		fprintf(stderr, "cgscope: --cgroup \"%s\" matches no cgroup yet, waiting for one\n",
			text_shown(unmatched));
	r = open_collector(&monitor);
	if (r)
		return r;
	(void)resolver_prime(monitor.resolver, monotonic_ns());
	r = privileges_drop(still_reads, &monitor);
	if (r < 0)
		return fail("cannot give up the capabilities that are not needed any more: %s",
			    strerror(-r));
	r = publisher_start(monitor.publisher);
	if (r < 0)
		return fail("cannot start the listener: %s", strerror(-r));
	/* Loading parses the types of the whole kernel; give their memory back. */
	(void)malloc_trim(0);
	r = loop_start(monitor.loop, collector_start_ns(monitor.collector), options->interval_ns,
		       collector_fd(monitor.collector));
	if (r < 0)
		return fail("cannot set up the event loop: %s", strerror(-r));
	r = loop_run(monitor.loop);
	/* A reader that has seen enough is no failure. */
	return r == 0 || r == -EPIPE ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int print_version(void)
{
	struct utsname name;

	printf("cgscope %s\nlibbpf %s\n", CGSCOPE_VERSION, collector_libbpf_version());
	if (uname(&name) == 0)
		printf("kernel %s %s\n", name.release, name.machine);
	return flush_stdout();
}

static int run(const struct options *options)
{
	int status;

	switch (options->command) {
	case COMMAND_MONITOR:
		return run_monitor(options);
	case COMMAND_RESOLVE:
		return resolve_targets(options, stdout, stderr);
	case COMMAND_CHECK:
		status = check_machine(options, stdout);
		return flush_stdout() == EXIT_SUCCESS ? status : EXIT_FAILURE;
	}
	return EXIT_FAILURE;
}

/* Whatever is opened next takes the lowest number: what is closed here must not become the output.
 */
static int hold_standard_files(void)
{
	for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; fd++) {
		if (fcntl(fd, F_GETFD) >= 0)
			continue;
		if (fd == STDOUT_FILENO)
			return fail("standard output is closed: there is nowhere to print to");
		if (open("/dev/null", O_RDWR) != fd)
			return EXIT_FAILURE;
	}
	return EXIT_SUCCESS;
}

/* Larger than any line, so that each leaves in one write. Given, since glibc ignores a mere size.
 */
static char stdout_buffer[4 * JSON_LINE_MAX];

int main(int argc, char **argv)
{
	_cleanup_(options_done) struct options options = { 0 };
	char host_name[256] = "localhost";
	char error[512];
	int r;

	/* Whatever is printed: to a reader that has gone it is an error like any other. */
	(void)signal(SIGPIPE, SIG_IGN);
	r = hold_standard_files();
	if (r)
		return r;
	(void)setvbuf(stdout, stdout_buffer, _IOFBF, sizeof(stdout_buffer));
	(void)gethostname(host_name, sizeof(host_name) - 1);
	switch (options_parse(argc, argv, host_name, &options, error, sizeof(error))) {
	case OPTIONS_RUN:
		return run(&options);
	case OPTIONS_HELP:
		options_help(stdout);
		return flush_stdout();
	case OPTIONS_VERSION:
		return print_version();
	case OPTIONS_ERROR:
		break;
	}
	fprintf(stderr, "cgscope: %s\n", error);
	return 2;
}
