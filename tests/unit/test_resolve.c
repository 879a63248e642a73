/* SPDX-License-Identifier: BSD-2-Clause */
/* `cgscope resolve`: from targets to lines and an exit status. */
#include <errno.h>
#include <inttypes.h>
#include <jansson.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_root.h"
#include "src/cgroup_tree.h"
#include "src/cleanup.h"
#include "src/resolve.h"

#define A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define U "0d08203e-255a-11e9-8cd9-0007cb0b2cc8"

static size_t n_searches; /* for the root of our cgroup namespace */

int __real_cgroup_tree_namespace_root(struct cgroup_tree *tree, char *ret, size_t size);
int __wrap_cgroup_tree_namespace_root(struct cgroup_tree *tree, char *ret, size_t size);
int __wrap_cgroup_tree_namespace_root(struct cgroup_tree *tree, char *ret, size_t size)
{
	n_searches++;
	return __real_cgroup_tree_namespace_root(tree, ret, size);
}

struct answer {
	int status;
	char *out;
	char *err;
};

static void answer_done(struct answer *answer)
{
	free(answer->out);
	free(answer->err);
}

static struct answer ask(const char *host_root, const char *const *targets, size_t n)
{
	struct options options = { .command = COMMAND_RESOLVE, .host_root = host_root };
	struct answer answer = { 0 };
	size_t out_size, err_size;
	FILE *out = open_memstream(&answer.out, &out_size);
	FILE *err = open_memstream(&answer.err, &err_size);

	options.targets.items = (const char **)targets;
	options.targets.n = n;
	answer.status = resolve_targets(&options, out, err);
	fclose(out);
	fclose(err);
	return answer;
}

/* The one line that @target gives, parsed. */
static json_t *ask_one(const char *host_root, const char *target)
{
	_cleanup_(answer_done) struct answer answer = ask(host_root, &target, 1);
	json_t *json = json_loads(answer.out, 0, NULL);

	assert_non_null(json);
	assert_ptr_equal(strchr(answer.out, '\n'), answer.out + strlen(answer.out) - 1);
	return json;
}

/* "-" where a step of the path is missing. */
static const char *string_at(const json_t *json, const char *a, const char *b, const char *c)
{
	json = json_object_get(json, a);
	if (b)
		json = json_object_get(json, b);
	if (c)
		json = json_object_get(json, c);
	return json ? json_string_value(json) : "-";
}

/*
 * Rows that a strict parser answers differently than their source did: the name of a container
 * that only a look at containerd's state tells, pod uids which are none, and upper-case digits.
 */
static const struct {
	const char *path;
	const char *id;
	const char *uid;
	const char *qos;
} exceptions[] = {
	{ "/default/service.container", "-", "-", "-" },
	{ "/kubepods/besteffort/pod123/docker-1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef.scope",
	  "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef", "-", "-" },
	{ "/kubepods/besteffort/pod123/docker-1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef.scope/system.slice",
	  "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef", "-", "-" },
	{ "14:name=systemd:/docker/9D5B23EDB1BA181E8910389A99906598D69AC9A0EAD109EE55730CC416D95F7F",
	  "-", "-", "-" },
	{ "/kubepods/besteffort/podxxx-afhts2e5d4g5s/kata_afhts2e5d4g5s", "afhts2e5d4g5s", "-",
	  "-" },
};

/* Splits at TABs in place. */
static size_t split(char *line, const char *columns[8])
{
	size_t n = 0;

	line[strcspn(line, "\n")] = 0;
	for (char *column; n < 8 && (column = strsep(&line, "\t")); n++)
		columns[n] = column;
	return n;
}

static void assert_says(const char *host_root, const char *target, const char *id, const char *uid,
			const char *qos)
{
	_cleanup_(json_decrefp) json_t *json = ask_one(host_root, target);

	assert_string_equal(string_at(json, "target", NULL, NULL), target);
	if (strcmp(string_at(json, "container", "id", NULL), id) != 0)
		print_error("row: %s\n", target);
	assert_string_equal(string_at(json, "container", "id", NULL), id);
	assert_string_equal(string_at(json, "k8s", "pod", "uid"), uid);
	assert_string_equal(string_at(json, "qos", NULL, NULL), qos);
	/* Without the id there is no container. */
	if (id[0] == '-')
		assert_string_not_equal(string_at(json, "kind", NULL, NULL), "container");
}

static void check_vector(const char *host_root, char *line, size_t *n_exceptions)
{
	const char *columns[8] = { 0 }, *id, *uid, *qos;

	assert_true(split(line, columns) >= 7);
	id = columns[4];
	uid = columns[5];
	qos = columns[6];
	for (size_t i = 0; i < sizeof(exceptions) / sizeof(exceptions[0]); i++) {
		if (strcmp(columns[1], exceptions[i].path) != 0)
			continue;
		id = exceptions[i].id;
		uid = exceptions[i].uid;
		qos = exceptions[i].qos;
		++*n_exceptions;
	}
	assert_says(host_root, columns[1], id, uid, qos);
}

/* Of a chain "hint:id hint:id" the innermost one that is a container: a machine in one is none. */
static void check_chain(const char *host_root, char *line, size_t *n_exceptions)
{
	const char *columns[8] = { 0 }, *id;
	char chain[4096], *last;

	assert_int_equal(split(line, columns), 7);
	snprintf(chain, sizeof(chain), "%s", columns[2]);
	last = strrchr(chain, ' ');
	if (last && strncmp(last, " libvirt-qemu:", 14) == 0) {
		*last = 0;
		last = strrchr(chain, ' ');
	}
	last = last ? last + 1 : chain;
	id = strchr(last, ':');
	assert_says(host_root, columns[1], id ? id + 1 : "-", columns[3], columns[4]);
}

/* Asks about every row of @name, and returns their number. */
static size_t check_rows(const char *host_root, const char *name,
			 void (*check)(const char *host_root, char *line, size_t *n_exceptions),
			 size_t *n_exceptions)
{
	_cleanup_(fclosep) FILE *file = fopen(name, "re");
	_cleanup_(freep) char *line = NULL;
	size_t size = 0, n = 0;

	assert_non_null(file);
	assert_true(getline(&line, &size, file) > 0); /* the header */
	while (getline(&line, &size, file) > 0) {
		check(host_root, line, n_exceptions);
		n++;
	}
	return n;
}

static void test_vectors(void **state)
{
	struct fake_root *fake = *state;
	size_t n_exceptions = 0;

	assert_int_equal(
		check_rows(fake->path, TEST_DATA "/cgroup_paths.tsv", check_vector, &n_exceptions),
		100);
	assert_int_equal(n_exceptions, sizeof(exceptions) / sizeof(exceptions[0]));
	assert_true(check_rows(fake->path, TEST_DATA "/more_cgroup_paths.tsv", check_chain,
			       &n_exceptions) > 450);
}

static void test_known(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(json_decrefp) json_t *json = NULL;
	const json_t *tried;

	fake_write(fake, "var/lib/docker/containers/" A "/config.v2.json",
		   "{\"Name\":\"/web1\",\"Config\":{\"Image\":\"nginx\\u009b:1\"}}");
	json = ask_one(fake->path, "/docker/" A "/docker/" B);
	assert_string_equal(string_at(json, "kind", NULL, NULL), "container");
	assert_string_equal(string_at(json, "container", "id", NULL), A);
	assert_string_equal(string_at(json, "container", "name", NULL), "web1");
	assert_string_equal(string_at(json, "container", "image", "name"), "nginx\xef\xbf\xbd:1");
	assert_string_equal(string_at(json, "container", "runtime", "name"), "docker");
	assert_string_equal(string_at(json, "name_source", NULL, NULL), "docker-config");
	assert_string_equal(string_at(json, "cgroup", "path", NULL), "/docker/" A);
	assert_true(json_is_true(json_object_get(json, "resolved")));
	assert_null(json_object_get(json, "k8s"));
	assert_null(json_object_get(json, "systemd"));

	/* The whole chain, whoever is chosen. */
	assert_int_equal(json_array_size(json_object_get(json, "chain")), 2);
	assert_string_equal(json_string_value(json_array_get(json_object_get(json, "chain"), 1)),
			    B);
	tried = json_array_get(json_object_get(json, "tried"), 0);
	assert_string_equal(string_at(tried, "answer", NULL, NULL), "known");
}

/* As --cgroup takes them. */
static void test_slashes(void **state)
{
	static const char *const targets[] = {
		"//docker//" A,
		"/docker/" A "/",
		"0:://docker//" A "//",
		"4:memory://docker//" A "/\n0::/\n",
	};
	struct fake_root *fake = *state;

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		_cleanup_(json_decrefp) json_t *json = ask_one(fake->path, targets[i]);

		assert_string_equal(string_at(json, "target", NULL, NULL), targets[i]);
		assert_string_equal(string_at(json, "cgroup", "path", NULL), "/docker/" A);
	}
}

static void test_unknown_chain(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(json_decrefp) json_t *json = ask_one(fake->path, "0::/docker/" A "/docker/" B);

	assert_string_equal(string_at(json, "container", "id", NULL), B);
	assert_true(json_is_false(json_object_get(json, "resolved")));
	assert_null(json_object_get(json, "name_source"));
	assert_string_equal(json_string_value(json_array_get(json_object_get(json, "chain"), 0)),
			    A);
}

/* What a text says that is of no cgroup here: its innermost container, its innermost pod. */
static void test_mere_texts(void **state)
{
	static const struct {
		const char *path;
		const char *id;
		const char *uid;
		const char *qos;
	} cases[] = {
		/* Behind what hides its guests where it lives. */
		{ "/lxc.payload.c1/system.slice/docker-" A ".scope", A, "-", "-" },
		{ "/lxc/140/ns/kubepods/besteffort/pod" U "/" A, A, U, "besteffort" },
		{ "/lxc.payload.web/lxc.payload.inner", "inner", "-", "-" },
		{ "/machine.slice/machine-web.scope/payload/system.slice/docker-" A ".scope", A,
		  "-", "-" },
		{ "/machine.slice/machine-lxc\\x2d9\\x2dweb.scope/libvirt/docker/" A, A, "-", "-" },
		{ "/garden/0ab1cd2e-1111-2222-3333-4444/docker/" A, A, "-", "-" },
		{ "/nomad.slice/share.slice/a.scope/docker/" A, A, "-", "-" },
		{ "/kubepods/pod" U "/kata_abc/docker/" A, A, U, "guaranteed" },
		{ "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/docker/" A, A, "-", "-" },
		/* A virtual machine is no container. */
		{ "/kubepods/burstable/pod" U "/" A "/machine/qemu-1-default_vm.libvirt-qemu", A, U,
		  "burstable" },
		/* A pod's level and nothing in it. */
		{ "/docker/" A "/kubelet/kubepods/pod" U, A, U, "guaranteed" },
		{ "/docker/" A "/kubelet/kubepods/besteffort", A, "-", "besteffort" },
		{ "/lxc.payload.x/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" U
		  ".slice",
		  "x", U, "burstable" },
		/* What it says of itself below a user's manager. */
		{ "/user.slice/user-9.slice/user@9.service/k3s.service/kubepods/burstable/pod" U,
		  "-", U, "burstable" },
		{ "/user.slice/user-9.slice/user@9.service/kubepods.slice/kubepods-pod" U ".slice",
		  "-", U, "guaranteed" },
		/* As pasted from a machine with v2 alone. */
		{ "/sys/fs/cgroup/docker-" A ".scope", A, "-", "-" },
		{ "/sys/fs/cgroup/kubepods/pod" U "/" A, A, U, "guaranteed" },
	};
	struct fake_root *fake = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(json_decrefp) json_t *json = ask_one(fake->path, cases[i].path);

		assert_string_equal(string_at(json, "container", "id", NULL), cases[i].id);
		assert_string_equal(string_at(json, "k8s", "pod", "uid"), cases[i].uid);
		assert_string_equal(string_at(json, "qos", NULL, NULL), cases[i].qos);
		assert_true(json_is_false(json_object_get(json, "resolved")));
	}
}

/* Of a Fargate task nothing is kept anywhere, and as a node of EKS it has pods in it. */
static void test_node_of_fargate(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(json_decrefp) json_t *json = NULL;

	json = ask_one(fake->path,
		       "/ecs/0123456789abcdef0123456789abcdef/"
		       "0123456789abcdef0123456789abcdef-305/kubepods/besteffort/pod" U "/" A);
	assert_string_equal(string_at(json, "container", "id", NULL), A);
	assert_null(json_object_get(json_object_get(json, "container"), "runtime"));
	assert_string_equal(string_at(json, "k8s", "pod", "uid"), U);
	assert_string_equal(string_at(json, "qos", NULL, NULL), "besteffort");
}

static void test_unit(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(json_decrefp) json_t *json = NULL;

	json = ask_one(fake->path, "1:name=systemd:/system.slice/ssh.service");
	assert_string_equal(string_at(json, "kind", NULL, NULL), "unit");
	assert_string_equal(string_at(json, "systemd", "unit", NULL), "ssh.service");
	assert_null(json_object_get(json, "container"));
	assert_null(json_object_get(json, "chain"));
}

/* Of a whole /proc/PID/cgroup the line that has the container, whichever hierarchy that is. */
static void test_whole_files(void **state)
{
	static const struct {
		const char *text;
		const char *path;
	} cases[] = {
		{ "4:memory:/docker/" A "\n1:name=systemd:/docker/" A
		  "\n0::/system.slice/d.service\n",
		  "/docker/" A },
		{ "4:memory:/init.scope\n1:name=systemd:/system.slice/a.service\n0::/init.scope\n",
		  "/system.slice/a.service" },
		{ "9:perf_event:/docker/" B "\n4:memory:/\n1:name=systemd:/\n0::/\n",
		  "/docker/" B },
		{ "5:cpu,cpuacct:/docker/" B "\n0::/\n", "/docker/" B },
		{ "1:name=systemd:/\n0::/docker/" A, "/docker/" A },
		{ "4:memory:/\n0::/\n", "/" },
	};
	struct fake_root *fake = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		_cleanup_(json_decrefp) json_t *json = ask_one(fake->path, cases[i].text);

		assert_string_equal(string_at(json, "cgroup", "path", NULL), cases[i].path);
	}
}

/* A path from another cgroup's namespace is no path from the root. */
static void test_relative(void **state)
{
	struct fake_root *fake = *state;
	_cleanup_(json_decrefp) json_t *json = NULL;

	json = ask_one(fake->path, "0::/../../system.slice/docker-" A ".scope");
	assert_string_equal(string_at(json, "container", "id", NULL), A);
	assert_null(json_object_get(json, "cgroup"));
}

static void test_hostile_targets(void **state)
{
	static const char *const targets[] = { "",
					       "/",
					       "..",
					       "/..",
					       "0::",
					       ":::",
					       "\xff\x1b[2J",
					       "/a\x01/b/docker-",
					       "-1",
					       "/\xe2\x80\xae" };
	struct fake_root *fake = *state;
	char *longest = malloc(100001);

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++)
		json_decref(ask_one(fake->path, targets[i]));
	for (size_t i = 0; i < 100000; i++)
		longest[i] = "/a"[i % 2];
	longest[100000] = 0;
	json_decref(ask_one(fake->path, longest));
	free(longest);
}

static void test_exit_status(void **state)
{
	static const char *const good = "/docker/" A, *const bad = "/some/where";
	static const char *const mixed[] = { "/some/where", "/init.scope" };
	const char *missing = "pid:4194305", *absent = "cgroup:7";
	struct fake_root *fake = *state;
	struct answer answer;

	answer = ask(fake->path, &good, 1);
	assert_int_equal(answer.status, 0);
	answer_done(&answer);

	answer = ask(fake->path, mixed, 2);
	assert_int_equal(answer.status, 0);
	assert_non_null(strstr(answer.err, "\"/some/where\""));
	assert_null(strstr(answer.err, "init.scope"));
	answer_done(&answer);

	answer = ask(fake->path, &bad, 1);
	assert_int_equal(answer.status, 1);
	assert_non_null(strstr(answer.out, "\"kind\":\"unknown\""));
	assert_string_equal(answer.err,
			    "cgscope: \"/some/where\": no container, pod, unit or host: "
			    "\"tried\" says who was asked\n");
	answer_done(&answer);

	/* No such process, and no such cgroup: no line, and the reason on standard error. */
	answer = ask(fake->path, &missing, 1);
	assert_int_equal(answer.status, 1);
	assert_string_equal(answer.out, "");
	assert_string_equal(answer.err, "cgscope: \"pid:4194305\": no such process\n");
	answer_done(&answer);
	answer = ask(fake->path, &absent, 1);
	assert_int_equal(answer.status, 1);
	assert_string_equal(answer.err, "cgscope: \"cgroup:7\": no cgroup with this id\n");
	answer_done(&answer);

	answer = ask("/nowhere/at/all", &good, 1);
	assert_int_equal(answer.status, 1);
	assert_string_equal(answer.out, "");
	assert_non_null(strstr(answer.err, "/nowhere/at/all"));
	answer_done(&answer);
}

/* Which target it was that is unknown, one line each, whatever is in it. */
static void test_messages(void **state)
{
	static const char *const targets[] = {
		"99999999",
		("/docker/" A),
		"\x1b[2J\n'",
		"/proc/4194305/cgroup",
		"web1",
		"cgroup:99999999999999999999999",
		"pid:99999999999999999999999",
		"18446744073709551616",
		"/a",
	};
	struct fake_root *fake = *state;
	_cleanup_(answer_done) struct answer answer =
		ask(fake->path, targets, sizeof(targets) / sizeof(targets[0]));
	const char *no_target = "a TARGET is a path, a line of /proc/PID/cgroup, the id of a "
				"cgroup or a PID, not the name or id of a container";
	_cleanup_(freep) char *expected = NULL;

	assert_int_equal(answer.status, 0);
	assert_true(
		asprintf(
			&expected,
			"cgscope: \"99999999\": no cgroup with this id, and no process with this PID\n"
			"cgscope: \"\\x1b[2J\\x0a'\": %s\n"
			"cgscope: \"/proc/4194305/cgroup\": no such process\n"
			"cgscope: \"web1\": %s\n"
			"cgscope: \"cgroup:99999999999999999999999\": no cgroup with this id\n"
			"cgscope: \"pid:99999999999999999999999\": no such process\n"
			"cgscope: \"18446744073709551616\": no cgroup with this id, and no process with "
			"this PID\n"
			"cgscope: \"/a\": no container, pod, unit or host\n",
			no_target, no_target) > 0);
	assert_string_equal(answer.err, expected);
}

/* Of a cgroup that is not there it is said, where cgroups can be seen. */
static void test_no_such_cgroup(void **state)
{
	static const char *const target = "/no/such/cgroup/here";
	_cleanup_(answer_done) struct answer answer = ask("/", &target, 1);

	if (access("/sys/fs/cgroup/memory", F_OK) < 0 &&
	    access("/sys/fs/cgroup/cgroup.procs", F_OK) < 0) {
		print_message("needs cgroups\n");
		skip();
	}
	assert_int_equal(answer.status, 1);
	assert_string_equal(answer.err,
			    "cgscope: \"/no/such/cgroup/here\": no such cgroup is there, "
			    "nor known to have been\n");
}

/* What names a process: all answers are the same from the kind on, in whatever this runs. */
static void test_pids(void **state)
{
	struct fake_root *fake = *state;
	char words[6][64];
	const char *targets[6], *expected, *line;
	int pid = getpid();
	struct answer answer;

	snprintf(words[0], sizeof(words[0]), "pid:%d", pid);
	snprintf(words[1], sizeof(words[1]), "%d", pid);
	snprintf(words[2], sizeof(words[2]), "/proc/%d", pid);
	snprintf(words[3], sizeof(words[3]), "/proc/%d/cgroup", pid);
	snprintf(words[4], sizeof(words[4]), "/proc/self/cgroup");
	snprintf(words[5], sizeof(words[5]), "/proc/%d/task/%d/cgroup", pid, pid);
	for (size_t i = 0; i < 6; i++)
		targets[i] = words[i];

	answer = ask(fake->path, targets, 6);
	line = answer.out;
	expected = strstr(line, "\"kind\"");
	for (size_t i = 0; i < 6; i++) {
		assert_non_null(strstr(line, words[i]));
		line = strstr(line, "\"kind\"");
		assert_non_null(line);
		assert_memory_equal(line, expected, strcspn(expected, "\n") + 1);
		line = strchr(line, '\n') + 1;
	}
	assert_string_equal(line, "");
	assert_null(strstr(answer.err, "no such"));
	answer_done(&answer);
}

/*
 * In a cgroup namespace /proc calls our own cgroup "/". Exits 0 if it is what @expected says all
 * the same, or not known; 77 without the privilege to try.
 */
static void resolve_in_a_namespace(const char *host_root, const char *expected)
{
	static const char *const targets[] = { "/proc/self/cgroup", "/proc/self/cgroup" };
	struct answer answer;

	if (unshare(CLONE_NEWCGROUP) < 0)
		_exit(77);
	answer = ask(host_root, targets, 2);
	/* It takes a walk of all cgroups, however many targets there are. */
	if (n_searches > 1)
		_exit(2);
	_exit(!strstr(answer.out, expected) && !strstr(answer.out, "\"kind\":\"unknown\""));
}

static void check_in_a_namespace(const char *host_root, const char *expected)
{
	int status;
	pid_t pid;

	pid = fork();
	if (pid == 0)
		resolve_in_a_namespace(host_root, expected);
	assert_int_equal(waitpid(pid, &status, 0), pid);
	if (WIFEXITED(status) && WEXITSTATUS(status) == 77) {
		print_message("needs root\n");
		skip();
	}
	assert_int_equal(status, 0);
}

static void test_pids_from_a_namespace(void **state)
{
	static const char *const target = "/proc/self/cgroup";
	struct fake_root *fake = *state;
	_cleanup_(answer_done) struct answer answer = ask("/", &target, 1);
	const char *expected = strstr(answer.out, "\"kind\"");

	/* Whatever it is, by the host's own word; nowhere, and not the host, where that is silent.
	 */
	assert_non_null(expected);
	check_in_a_namespace("/", expected);
	check_in_a_namespace(fake->path, "\"kind\":\"unknown\"");
}

/* Near to a process's file: paths of cgroups, which may be called anything. */
static void test_no_pids(void **state)
{
	static const char *const targets[] = {
		"/proc",
		"/proc/",
		"/proc/x/cgroup",
		"/proc/1/cgroups",
		"/proc/1/",
		"/proc/selfish",
		"/proc/1x",
		"proc/1/cgroup",
		"/proc/1/task",
		"/proc/1/task/",
		"/proc/1/task/cgroup",
		"/proc/self/status",
		"/proc//cgroup",
		"/proc/-1/cgroup",
		"/proc/1/../1/cgroup",
		"/proc/1/cgroup/",
		"/proc/task/1",
		"/proc/thread-self",
	};
	struct fake_root *fake = *state;

	for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
		_cleanup_(json_decrefp) json_t *json = ask_one(fake->path, targets[i]);

		assert_string_equal(string_at(json, "kind", NULL, NULL), "unknown");
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)
		TEST(test_vectors),
		TEST(test_known),
		TEST(test_mere_texts),
		TEST(test_slashes),
		TEST(test_unknown_chain),
		TEST(test_node_of_fargate),
		TEST(test_unit),
		TEST(test_whole_files),
		TEST(test_relative),
		TEST(test_hostile_targets),
		TEST(test_exit_status),
		TEST(test_messages),
		TEST(test_no_such_cgroup),
		TEST(test_pids),
		TEST(test_pids_from_a_namespace),
		TEST(test_no_pids),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
