/* SPDX-License-Identifier: BSD-2-Clause */
#include <locale.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "src/cleanup.h"
#include "src/options.h"

#define ARGS_MAX 16

static char error[512];

/* Parses the @n words behind "cgscope" in copies: getopt takes them as writable. */
static enum options_result parse(const char *const *words, struct options *ret)
{
	static char *argv[ARGS_MAX + 2];
	int argc = 1;

	for (size_t i = 0; argv[i]; i++) {
		free(argv[i]);
		argv[i] = NULL;
	}
	argv[0] = strdup("cgscope");
	for (; words && *words && argc <= ARGS_MAX; words++)
		argv[argc++] = strdup(*words);
	argv[argc] = NULL;
	error[0] = '\0';
	return options_parse(argc, argv, "host-1", ret, error, sizeof(error));
}

#define WORDS(...)                                                                                 \
	(const char *const[])                                                                      \
	{                                                                                          \
		__VA_ARGS__, NULL                                                                  \
	}

static void test_defaults(void **state)
{
	struct options options;

	unsetenv("NODE_NAME");
	assert_int_equal(parse(NULL, &options), OPTIONS_RUN);
	assert_int_equal(options.command, COMMAND_MONITOR);
	assert_int_equal(options.interval_ns, 10000000000);
	assert_int_equal(options.intervals, 0);
	assert_int_equal(options.by, ROW_PROCESS);
	assert_int_equal(options.top, 0);
	assert_int_equal(options.output, OUTPUT_TEXT);
	assert_int_equal(options.in_flight_ns, 1000000000);
	assert_int_equal(options.metrics_syscalls, 30);
	assert_null(options.listen);
	assert_null(options.host_root);
	assert_null(options.btf);
	assert_string_equal(options.node, "host-1");
	assert_false(options.verbose);
	assert_false(options.containers_only);
	assert_int_equal(options.comms.n + options.cgroups.n + options.containers.n +
				 options.pods.n + options.namespaces.n + options.syscalls.n +
				 options.targets.n + options.n_pids,
			 0);
	options_done(&options);
}

static void test_node(void **state)
{
	struct options options;

	setenv("NODE_NAME", "from-env", 1);
	assert_int_equal(parse(NULL, &options), OPTIONS_RUN);
	assert_string_equal(options.node, "from-env");
	options_done(&options);

	assert_int_equal(parse(WORDS("--node", "given"), &options), OPTIONS_RUN);
	assert_string_equal(options.node, "given");
	options_done(&options);

	setenv("NODE_NAME", "", 1);
	assert_int_equal(parse(NULL, &options), OPTIONS_RUN);
	assert_string_equal(options.node, "host-1");
	options_done(&options);
	unsetenv("NODE_NAME");
}

static void test_all_options(void **state)
{
	struct options options;

	assert_int_equal(parse(WORDS("-i", "0.5", "-n3", "--top=7", "-o", "json", "--by", "thread",
				     "--in-flight", "0", "--containers-only", "-v",
				     "--listen=[::]:9435", "--metrics-syscalls", "5"),
			       &options),
			 OPTIONS_RUN);
	assert_int_equal(options.interval_ns, 500000000);
	assert_int_equal(options.intervals, 3);
	assert_int_equal(options.top, 7);
	assert_int_equal(options.output, OUTPUT_JSON);
	assert_int_equal(options.by, ROW_THREAD);
	assert_int_equal(options.in_flight_ns, 0);
	assert_true(options.containers_only);
	assert_int_equal(options.verbose, 1);
	assert_string_equal(options.listen, "[::]:9435");
	assert_int_equal(options.metrics_syscalls, 5);
	options_done(&options);

	assert_int_equal(parse(WORDS("--host-root", "/host", "--btf", "/b", "--by", "container",
				     "--by", "process", "-i", "1", "--interval", "2", "--listen",
				     "unix:/run/cgscope.sock"),
			       &options),
			 OPTIONS_RUN);
	assert_string_equal(options.host_root, "/host");
	assert_string_equal(options.listen, "unix:/run/cgscope.sock");
	assert_string_equal(options.btf, "/b");
	assert_int_equal(options.by, ROW_PROCESS);
	assert_int_equal(options.interval_ns, 2000000000);
	options_done(&options);
}

static void test_lists_widen(void **state)
{
	struct options options;

	assert_int_equal(parse(WORDS("-s", "read,write", "-p", "1", "--pid", "4194304", "-s",
				     "sys_9999", "--cgroup", "/a", "--cgroup", "4711", "--pod",
				     "p*", "--namespace", "n"),
			       &options),
			 OPTIONS_RUN);
	assert_int_equal(options.syscalls.n, 3);
	assert_string_equal(options.syscalls.items[0], "read");
	assert_string_equal(options.syscalls.items[1], "write");
	assert_string_equal(options.syscalls.items[2], "sys_9999");
	assert_int_equal(options.n_pids, 2);
	assert_int_equal(options.pids[0], 1);
	assert_int_equal(options.pids[1], 4194304);
	assert_int_equal(options.cgroups.n, 2);
	assert_string_equal(options.cgroups.items[1], "4711");
	assert_string_equal(options.pods.items[0], "p*");
	assert_string_equal(options.namespaces.items[0], "n");
	options_done(&options);
}

static void test_comms(void **state)
{
	struct options options;

	/* Raw bytes, cut as the kernel cuts, even in the middle of a character. */
	assert_int_equal(parse(WORDS("-c", "nginx", "-c", "abcdefghijklmnopqrst", "--comm",
				     "\xff \x1b", "--comm=abcdefghijklmn\xc3\xa9"),
			       &options),
			 OPTIONS_RUN);
	assert_int_equal(options.comms.n, 4);
	assert_string_equal(options.comms.items[0], "nginx");
	assert_string_equal(options.comms.items[1], "abcdefghijklmno");
	assert_string_equal(options.comms.items[2], "\xff \x1b");
	assert_string_equal(options.comms.items[3], "abcdefghijklmn\xc3");
	options_done(&options);
}

static void test_too_many_comms(void **state)
{
	char *argv[2 * (COMMS_MAX + 1) + 2] = { (char *)"cgscope" };
	struct options options;
	int argc = 1;

	for (int i = 0; i <= COMMS_MAX; i++) {
		argv[argc++] = (char *)"-c";
		argv[argc++] = (char *)"a";
	}
	assert_int_equal(options_parse(argc - 2, argv, "h", &options, error, sizeof(error)),
			 OPTIONS_RUN);
	assert_int_equal(options.comms.n, COMMS_MAX);
	options_done(&options);

	assert_int_equal(options_parse(argc, argv, "h", &options, error, sizeof(error)),
			 OPTIONS_ERROR);
	assert_non_null(strstr(error, "--comm"));
	options_done(&options);
}

static void test_commands(void **state)
{
	static const struct {
		const char *const words[8];
		enum command command;
		size_t n_targets;
	} cases[] = {
		{ { "--btf", "/b", "check", "-v" }, COMMAND_CHECK, 0 },
		{ { "check", "--host-root", "/host" }, COMMAND_CHECK, 0 },
		{ { "resolve", "1" }, COMMAND_RESOLVE, 1 },
		{ { "resolve", "1", "-vv", "/docker/x", "-o", "json" }, COMMAND_RESOLVE, 2 },
		{ { "resolve", "--host-root=/h", "--node=n", "--btf=/b", "1" },
		  COMMAND_RESOLVE,
		  1 },
		{ { "resolve", "1", "-otext", "-ojson" }, COMMAND_RESOLVE, 1 },
		{ { "resolve", "--", "-1", "--", "top" }, COMMAND_RESOLVE, 3 },
		{ { "resolve", "0::/a b:c" }, COMMAND_RESOLVE, 1 },
		{ { "resolve", "pid:1", "cgroup:007", "pid:99999999999999999999", "/pid:x" },
		  COMMAND_RESOLVE,
		  4 },
		{ { "--", "check" }, COMMAND_CHECK, 0 },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options options;

		/* Operands are found behind options even where getopt would stop at the first. */
		if (i % 2)
			setenv("POSIXLY_CORRECT", "1", 1);
		else
			unsetenv("POSIXLY_CORRECT");
		assert_int_equal(parse(cases[i].words, &options), OPTIONS_RUN);
		assert_int_equal(options.command, cases[i].command);
		assert_int_equal(options.targets.n, cases[i].n_targets);
		options_done(&options);
	}
	unsetenv("POSIXLY_CORRECT");
}

static void test_help_and_version(void **state)
{
	struct options options;

	assert_int_equal(parse(WORDS("-h"), &options), OPTIONS_HELP);
	options_done(&options);
	assert_int_equal(parse(WORDS("check", "--help"), &options), OPTIONS_HELP);
	options_done(&options);
	assert_int_equal(parse(WORDS("-v", "--version"), &options), OPTIONS_VERSION);
	options_done(&options);
	/* An error before it is said first. */
	assert_int_equal(parse(WORDS("-i", "x", "--help"), &options), OPTIONS_ERROR);
	options_done(&options);
}

static void test_intervals(void **state)
{
	static const struct {
		const char *text;
		uint64_t ns;
	} cases[] = {
		{ "0.01", 10000000 },	      { "1", 1000000000 },
		{ "10.", 10000000000 },	      { ".5", 500000000 },
		{ "86400", 86400000000000 },  { "001.250", 1250000000 },
		{ "0.0123456789", 12345678 },
	};

	/* The point is a point even where people write a comma; missing locales change nothing. */
	setlocale(LC_ALL, "de_DE.UTF-8");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct options options;

		assert_int_equal(parse(WORDS("-i", cases[i].text), &options), OPTIONS_RUN);
		assert_int_equal(options.interval_ns, cases[i].ns);
		options_done(&options);
	}
	setlocale(LC_ALL, "C");
}

#define PATH_54	 "/ccccccccc/ccccccccc/ccccccccc/ccccccccc/ccccccccc/ccc"
#define PATH_108 PATH_54 PATH_54

/* Words, and what the message must hold: the option and the value in quotes. */
static const struct {
	const char *const words[5];
	const char *says[2];
} wrong[] = {
	{ { "-i", "0" }, { "--interval", "\"0\"" } },
	{ { "-i", "0.009999999999" }, { "--interval", "0.01" } },
	{ { "-i", "-1" }, { "--interval", "\"-1\"" } },
	{ { "-i", "+1" }, { "--interval", "\"+1\"" } },
	{ { "-i", "1e3" }, { "--interval", "\"1e3\"" } },
	{ { "-i", "0x10" }, { "--interval", "\"0x10\"" } },
	{ { "-i", "nan" }, { "--interval", "\"nan\"" } },
	{ { "-i", "inf" }, { "--interval", "\"inf\"" } },
	{ { "-i", "1,5" }, { "--interval", "\"1,5\"" } },
	{ { "-i", "1.5.1" }, { "--interval", "\"1.5.1\"" } },
	{ { "-i", "." }, { "--interval", "\".\"" } },
	{ { "-i", "10s" }, { "--interval", "\"10s\"" } },
	{ { "-i", " 1" }, { "--interval", "\"\\x201\"" } },
	{ { "-i", "86400.1" }, { "--interval", "86400" } },
	{ { "-i", "99999999999999999999999999999" }, { "--interval", "86400" } },
	{ { "-i", "" }, { "--interval", "empty" } },
	{ { "-i" }, { "--interval", "SECONDS" } },
	{ { "--interval" }, { "--interval", "SECONDS" } },
	{ { "-n", "0" }, { "--intervals", "\"0\"" } },
	{ { "-n", "1.5" }, { "--intervals", "\"1.5\"" } },
	{ { "-n", "-1" }, { "--intervals", "\"-1\"" } },
	{ { "-n", "18446744073709551616" }, { "--intervals", "\"18446744073709551616\"" } },
	{ { "-c", "" }, { "--comm", "empty" } },
	{ { "--cgroup", "" }, { "--cgroup", "empty" } },
	{ { "--cgroup=" }, { "--cgroup", "empty" } },
	{ { "--container", "" }, { "--container", "empty" } },
	{ { "--pod", "" }, { "--pod", "empty" } },
	{ { "--namespace", "" }, { "--namespace", "empty" } },
	{ { "-p", "0" }, { "--pid", "\"0\"" } },
	{ { "-p", "-5" }, { "--pid", "\"-5\"" } },
	{ { "-p", "2147483648" }, { "--pid", "\"2147483648\"" } },
	{ { "-p", "1,2" }, { "--pid", "\"1,2\"" } },
	{ { "-p", "self" }, { "--pid", "\"self\"" } },
	{ { "-s", "reed" }, { "--syscall", "\"reed\"" } },
	{ { "-s", "read,reed" }, { "--syscall", "\"reed\"" } },
	{ { "-s", "read," }, { "--syscall", "empty" } },
	{ { "-s", ",read" }, { "--syscall", "empty" } },
	{ { "-s", "read, write" }, { "--syscall", "\"\\x20write\"" } },
	{ { "-s", "39" }, { "--syscall", "sys_N" } },
	{ { "-s", "\x1b[2J\n" }, { "--syscall", "\"\\x1b[2J\\x0a\"" } },
	{ { "-s", "" }, { "--syscall", "empty" } },
	{ { "--by", "pod" }, { "--by", "\"pod\"" } },
	{ { "--by", "Process" }, { "--by", "\"Process\"" } },
	{ { "--by", "" }, { "--by", "empty" } },
	{ { "--top", "0" }, { "--top", "\"0\"" } },
	{ { "--top", "4294967296" }, { "--top", "\"4294967296\"" } },
	{ { "--top", "ten" }, { "--top", "\"ten\"" } },
	{ { "-o", "yaml" }, { "--output", "\"yaml\"" } },
	{ { "-ojson5" }, { "--output", "\"json5\"" } },
	{ { "--in-flight", "1.5" }, { "--in-flight", "\"1.5\"" } },
	{ { "--in-flight", "-1" }, { "--in-flight", "\"-1\"" } },
	{ { "--in-flight", "99999999999999" }, { "--in-flight", "milliseconds" } },
	{ { "--listen", "9435" }, { "--listen", "\"9435\"" } },
	{ { "--listen", ":" }, { "--listen", "\":\"" } },
	{ { "--listen", "unix:relative" }, { "--listen", "\"unix:relative\"" } },
	{ { "--listen", "::1:9435" }, { "--listen", "\"::1:9435\"" } },
	{ { "--listen", "[]:9435" }, { "--listen", "\"[]:9435\"" } },
	{ { "--listen", "127.0.0.1:" }, { "--listen", "\"127.0.0.1:\"" } },
	{ { "--listen", "127.0.0.1:65536" }, { "--listen", "\"127.0.0.1:65536\"" } },
	{ { "--listen", "127.0.0.1:http" }, { "--listen", "\"127.0.0.1:http\"" } },
	{ { "--listen", "0:0" }, { "--listen", "\"0:0\"" } },
	{ { "--listen", "127.1:0" }, { "--listen", "\"127.1:0\"" } },
	{ { "--listen", "256.0.0.1:1" }, { "--listen", "\"256.0.0.1:1\"" } },
	{ { "--listen", "example.test:1" }, { "--listen", "\"example.test:1\"" } },
	{ { "--listen", "[127.0.0.1]:1" }, { "--listen", "\"[127.0.0.1]:1\"" } },
	{ { "--listen", "[::g]:1" }, { "--listen", "\"[::g]:1\"" } },
	{ { "--listen", "unix:" PATH_108 }, { "--listen", "107 bytes" } },
	{ { "--metrics-syscalls", "0" }, { "--metrics-syscalls", "\"0\"" } },
	{ { "--metrics-syscalls", "1025" }, { "--metrics-syscalls", "\"1025\"" } },
	{ { "--host-root", "" }, { "--host-root", "empty" } },
	{ { "--node", "" }, { "--node", "empty" } },
	{ { "--btf", "" }, { "--btf", "empty" } },
	{ { "--node" }, { "--node", "NAME" } },
	{ { "--bogus" }, { "\"--bogus\"", "--help" } },
	{ { "--bogus=1" }, { "\"--bogus=1\"", "--help" } },
	{ { "--cont", "x" }, { "\"--cont\"", "ambiguous" } },
	{ { "-x" }, { "\"-x\"", "--help" } },
	{ { "-vx", "check" }, { "\"-x\"", "--help" } },
	{ { "-xv" }, { "\"-x\"", "--help" } },
	{ { "--containers-only=yes" }, { "--containers-only", "no value" } },
	{ { "--verbose=2" }, { "--verbose", "no value" } },
	{ { "stray" }, { "\"stray\"", "command" } },
	{ { "" }, { "\"\" is not a command", "resolve" } },
	{ { "-" }, { "\"\\x2d\"", "command" } },
	{ { "check", "" }, { "\"\"", "--help" } },
	{ { "-i", "1", "check" }, { "--interval", "check" } },
	{ { "check", "-o", "json" }, { "--output", "check" } },
	{ { "check", "--cgroup", "/x" }, { "--cgroup", "check" } },
	{ { "check", "--node=x", "-v" }, { "--node", "check" } },
	{ { "check", "--listen", ":1" }, { "--listen", "check" } },
	{ { "top" }, { "\"top\"", "command" } },
	{ { "check", "stray" }, { "\"stray\"", "--help" } },
	{ { "check", "top" }, { "\"top\"", "--help" } },
	{ { "-v", "--", "stray" }, { "\"stray\"", "command" } },
	{ { "--listen", ":1", "--listen", ":2" }, { "--listen", "twice" } },
	{ { "--metrics-syscalls", "5" }, { "--metrics-syscalls", "--listen" } },
	{ { "resolve", "1", "-n", "2" }, { "--intervals", "resolve" } },
	{ { "-i", "1", "resolve", "1" }, { "--interval", "resolve" } },
	{ { "resolve", "--top=3", "-v", "1" }, { "--top", "resolve" } },
	{ { "resolve", "--containers-only", "1" }, { "--containers-only", "resolve" } },
	{ { "resolve" }, { "resolve", "TARGET" } },
	{ { "resolve", "" }, { "resolve", "empty" } },
	{ { "resolve", "1", "-o", "text" }, { "--output", "JSON" } },
	{ { "-otext", "resolve", "1" }, { "--output", "JSON" } },
	{ { "resolve", "1", "-ojson", "-otext" }, { "--output", "JSON" } },
	{ { "resolve", "1", "" }, { "resolve", "empty" } },
	{ { "resolve", "pid:" }, { "\"pid:\"", "PID" } },
	{ { "resolve", "1", "pid:1x" }, { "\"pid:1x\"", "PID" } },
	{ { "resolve", "pid:-1" }, { "\"pid:-1\"", "PID" } },
	{ { "resolve", "cgroup:" }, { "\"cgroup:\"", "id" } },
	{ { "resolve", "--", "cgroup:\x1b" }, { "\"cgroup:\\x1b\"", "id" } },
};

static void test_wrong_usage(void **state)
{
	for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
		struct options options;

		if (parse(wrong[i].words, &options) != OPTIONS_ERROR)
			fail_msg("accepted: %s %s", wrong[i].words[0],
				 wrong[i].words[1] ? wrong[i].words[1] : "");
		options_done(&options);
		for (size_t j = 0; j < 2; j++) {
			if (!strstr(error, wrong[i].says[j]))
				fail_msg("\"%s\" does not say '%s'", error, wrong[i].says[j]);
		}
		assert_null(strpbrk(error, "\n\x1b"));
	}
}

static void test_long_values_fit(void **state)
{
	static char value[100000];
	struct options options;

	memset(value, 0x1b, sizeof(value) - 1);
	assert_int_equal(parse(WORDS("--by", value), &options), OPTIONS_ERROR);
	assert_true(strlen(error) < 300);
	options_done(&options);
}

static void test_help_text(void **state)
{
	_cleanup_(freep) char *text = NULL;
	size_t size;
	FILE *out = open_memstream(&text, &size);

	assert_non_null(out);
	options_help(out);
	fclose(out);
	for (const char *line = text; *line; line += strcspn(line, "\n") + 1)
		assert_true(strcspn(line, "\n") <= 100);
	assert_non_null(strstr(text, "  -i, --interval SECONDS "));
	assert_non_null(strstr(text, "      --in-flight MS "));
	assert_non_null(strstr(text, "Exit status: 0"));
	assert_non_null(strstr(text, "cgscope resolve [OPTIONS] TARGET..."));
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_defaults),	cmocka_unit_test(test_node),
		cmocka_unit_test(test_all_options),	cmocka_unit_test(test_lists_widen),
		cmocka_unit_test(test_comms),		cmocka_unit_test(test_too_many_comms),
		cmocka_unit_test(test_commands),	cmocka_unit_test(test_help_and_version),
		cmocka_unit_test(test_intervals),	cmocka_unit_test(test_wrong_usage),
		cmocka_unit_test(test_long_values_fit), cmocka_unit_test(test_help_text),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
