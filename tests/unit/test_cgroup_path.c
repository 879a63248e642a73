/* SPDX-License-Identifier: BSD-2-Clause */
#include "src/cgroup_path.h"

#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "src/cleanup.h"
#include "src/span.h"

#define H  "5aaf9eb7648eeb1459d86eaa0ace8bcfa93089642e5c3113a14250dae3238aaf"
#define H2 "38fac3e99302b3622be089dd41e7ccf38aff368a86cc339972075136ee2710ce"
#define U  "0d08203e-255a-11e9-8cd9-0007cb0b2cc8"
#define U_ "0d08203e_255a_11e9_8cd9_0007cb0b2cc8"
#define U2 "a38c12e8-255a-11e9-8cd9-0007cb0b2cc8"

#define N_COLUMNS_MAX 8

static const char *qos_text(enum qos_class qos)
{
	static const char *const names[] = { "-", "guaranteed", "burstable", "besteffort" };

	return names[qos];
}

static const char *hint_text(enum cgroup_hint hint)
{
	static const char *const names[HINT_N_] = {
		"?",	  "docker",  "containerd",  "crio",	    "crio-sandbox",
		"podman", "nerdctl", "kata",	    "ecs",	    "garden",
		"lxc",	  "nspawn",  "libvirt-lxc", "libvirt-qemu", "nomad",
	};

	return names[hint];
}

/* Tables are long: names the row that is wrong. */
static void assert_column(const char *row, const char *got, const char *want)
{
	if (strcmp(got, want) != 0)
		print_error("row: %s\n", row);
	assert_string_equal(got, want);
}

/* Splits at TABs in place; empty columns count. */
static size_t split(char *line, char *columns[N_COLUMNS_MAX])
{
	size_t n = 0;

	line[strcspn(line, "\n")] = '\0';
	for (char *s = line; s && n < N_COLUMNS_MAX; n++)
		columns[n] = strsep(&s, "\t");
	return n;
}

static void parse_line(const char *line, struct cgroup_parse *ret)
{
	cgroup_path_parse(cgroup_line_path(line, NULL), ret);
}

static const char *innermost(const struct cgroup_parse *parse)
{
	return parse->n_links > 0 ? parse->links[parse->n_links - 1].id : "-";
}

/* What every result obeys, whatever the input. */
static void assert_sane(const char *path, const struct cgroup_parse *parse)
{
	size_t length = strlen(path), floor = 0;

	assert_true(parse->n_links <= CGROUP_LINKS_MAX);
	assert_true(parse->n_more == 0 || parse->n_links == CGROUP_LINKS_MAX);
	for (size_t i = 0; i < parse->n_links; i++) {
		const struct cgroup_link *link = &parse->links[i];

		assert_true(link->start >= floor && link->start < link->end);
		assert_true(link->end <= length);
		assert_true(link->id[0] != '\0' && strchr(link->id, '/') == NULL);
		floor = link->end;
	}
	assert_true(parse->pod_end <= length);
	assert_int_equal(parse->pod_uid[0] != '\0', parse->pod_end != 0);
	assert_true(parse->unit_start <= parse->unit_end && parse->unit_end <= length);
	assert_true(parse->unit_owner[0] == '\0' || parse->unit_end > 0);
}

/* Rows whose source says more than the form of a path can prove, and what the form says. */
static const struct exception {
	const char *path;
	const char *id;
	const char *pod_uid;
	const char *qos;
} exceptions[] = {
	/* Any directory in a directory looks like this; only containerd's state can tell. */
	{ "/default/service.container", "-", "-", "-" },
	/* No uid: a UUID or 32 hex digits are demanded, or "podman-…" would be a pod. */
	{ "/kubepods/besteffort/pod123/"
	  "docker-1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef.scope",
	  "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef", "-", "-" },
	{ "/kubepods/besteffort/pod123/"
	  "docker-1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef.scope/system.slice",
	  "1234567890abcdef1234567890abcdef1234567890abcdef1234567890abcdef", "-", "-" },
	{ "/kubepods/besteffort/podxxx-afhts2e5d4g5s/kata_afhts2e5d4g5s", "afhts2e5d4g5s", "-",
	  "-" },
	/* No runtime writes upper case, and one container must not have two spellings. */
	{ "14:name=systemd:/docker/9D5B23EDB1BA181E8910389A99906598D69AC9A0EAD109EE55730CC416D95F7F",
	  "-", "-", "-" },
};
#define N_EXCEPTIONS (sizeof(exceptions) / sizeof(exceptions[0]))

static const struct exception *find_exception(const char *path)
{
	for (size_t i = 0; i < N_EXCEPTIONS; i++)
		if (strcmp(exceptions[i].path, path) == 0)
			return &exceptions[i];
	return NULL;
}

static bool starts(const char *text, const char *prefix)
{
	return strncmp(text, prefix, strlen(prefix)) == 0;
}

/* The hint that a row's runtime column stands for; HINT_N_: no container. */
static enum cgroup_hint expected_hint(const char *runtime, const char *path)
{
	static const struct {
		const char *runtime;
		enum cgroup_hint hint;
	} hints[] = {
		{ "cri-o(sandbox)", HINT_CRIO_SANDBOX },
		{ "cri-o", HINT_CRIO },
		{ "k8s-cgroupfs", HINT_NONE },
		{ "podman(rootless)?", HINT_NONE },
		{ "podman", HINT_PODMAN },
		{ "nerdctl", HINT_NERDCTL },
		{ "kata", HINT_KATA },
		{ "ecs-fargate", HINT_ECS },
		{ "lxc", HINT_LXC },
		{ "libvirt-lxc", HINT_LIBVIRT_LXC },
		{ "libvirt-qemu", HINT_LIBVIRT_QEMU },
	};

	if (starts(runtime, "docker"))
		return strstr(path, "/actions_job/") ? HINT_NONE : HINT_DOCKER;
	if (starts(runtime, "containerd-cri"))
		return strstr(path, "cri-containerd") ? HINT_CONTAINERD : HINT_NONE;
	for (size_t i = 0; i < sizeof(hints) / sizeof(hints[0]); i++)
		if (starts(runtime, hints[i].runtime))
			return hints[i].hint;
	if (strcmp(path, "0::/" H) == 0)
		return HINT_NONE; /* "unknown", but a container */
	return HINT_N_;
}

static void check_kind(const char *runtime, const char *path, const struct cgroup_parse *parse)
{
	enum cgroup_hint hint = expected_hint(runtime, path);

	if (hint != HINT_N_ && parse->n_links > 0) {
		assert_int_equal(parse->links[parse->n_links - 1].hint, hint);
		return;
	}
	assert_int_equal(parse->n_links, 0);
	if (strcmp(runtime, "systemd") == 0)
		assert_true(parse->unit_end > 0);
	if (strcmp(runtime, "k8s-pod") == 0)
		assert_true(parse->pod_end > 0);
	if (strcmp(path, "/") == 0)
		assert_true(parse->is_root);
	else
		assert_false(parse->is_root);
}

static void test_vectors(void **state)
{
	_cleanup_(fclosep) FILE *file = fopen(TEST_DATA "/cgroup_paths.tsv", "re");
	_cleanup_(freep) char *line = NULL;
	size_t capacity = 0, n_rows = 0, n_exceptions = 0;

	assert_non_null(file);
	assert_true(getline(&line, &capacity, file) > 0); /* the header */
	while (getline(&line, &capacity, file) > 0) {
		char *columns[N_COLUMNS_MAX];
		const struct exception *exception;
		struct cgroup_parse parse;

		assert_int_equal(split(line, columns), 8);
		parse_line(columns[1], &parse);
		assert_sane(columns[1], &parse);
		exception = find_exception(columns[1]);
		if (exception)
			n_exceptions++;
		assert_column(columns[1], innermost(&parse),
			      exception ? exception->id : columns[4]);
		assert_column(columns[1], parse.pod_uid[0] ? parse.pod_uid : "-",
			      exception ? exception->pod_uid : columns[5]);
		assert_column(columns[1], qos_text(parse.qos),
			      exception ? exception->qos : columns[6]);
		if (!exception || parse.n_links > 0)
			check_kind(columns[3], columns[1], &parse);
		n_rows++;
	}
	assert_int_equal(n_rows, 100);
	assert_int_equal(n_exceptions, N_EXCEPTIONS);
}

/* "hint:id hint:id", outermost first. */
static void chain_text(const struct cgroup_parse *parse, char *ret, size_t size)
{
	size_t n = 0;

	snprintf(ret, size, "-");
	for (size_t i = 0; i < parse->n_links; i++) {
		const struct cgroup_link *link = &parse->links[i];

		n += (size_t)snprintf(ret + n, size - n, "%s%s:%s", i > 0 ? " " : "",
				      hint_text(link->hint), link->id);
		assert_true(n < size);
	}
}

static void unit_text(const char *path, const struct cgroup_parse *parse, char *ret, size_t size)
{
	if (parse->unit_end == 0)
		snprintf(ret, size, "-");
	else
		snprintf(ret, size, "%s%s%.*s", parse->unit_owner, parse->unit_owner[0] ? "/" : "",
			 (int)(parse->unit_end - parse->unit_start), path + parse->unit_start);
}

/* Columns: source, line or path, chain, pod uid, qos, unit, note. */
static void test_more_vectors(void **state)
{
	_cleanup_(fclosep) FILE *file = fopen(TEST_DATA "/more_cgroup_paths.tsv", "re");
	_cleanup_(freep) char *line = NULL;
	size_t capacity = 0, n_rows = 0;

	assert_non_null(file);
	assert_true(getline(&line, &capacity, file) > 0);
	while (getline(&line, &capacity, file) > 0) {
		char *columns[N_COLUMNS_MAX], text[4096];
		struct cgroup_parse parse;
		const char *path;

		assert_int_equal(split(line, columns), 7);
		path = cgroup_line_path(columns[1], NULL);
		cgroup_path_parse(path, &parse);
		assert_sane(path, &parse);
		chain_text(&parse, text, sizeof(text));
		assert_column(columns[1], text, columns[2]);
		assert_column(columns[1], parse.pod_uid[0] ? parse.pod_uid : "-", columns[3]);
		assert_column(columns[1], qos_text(parse.qos), columns[4]);
		unit_text(path, &parse, text, sizeof(text));
		assert_column(columns[1], text, columns[5]);
		n_rows++;
	}
	assert_true(n_rows > 450);
}

static void test_both_links_of_a_node(void **state)
{
	static const char *const lines[] = {
		"0::/system.slice/docker-" H ".scope/kubepods/besteffort/pod" U "/" H2,
		"0::/system.slice/docker-" H ".scope/kubelet/kubepods/besteffort/pod" U "/" H2,
		"0::/docker/" H "/kubelet.slice/kubelet-kubepods.slice/"
		"kubelet-kubepods-besteffort.slice/kubelet-kubepods-besteffort-pod" U_
		".slice/cri-containerd-" H2 ".scope",
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		const char *path = cgroup_line_path(lines[i], NULL);
		struct cgroup_parse parse;
		size_t end = (size_t)(strstr(path, H) - path) + strlen(H);

		cgroup_path_parse(path, &parse);
		assert_int_equal(parse.n_links, 2);
		assert_string_equal(parse.links[0].id, H);
		assert_int_equal(parse.links[0].hint, HINT_DOCKER);
		assert_string_equal(parse.links[0].pod_uid, "");
		assert_int_equal(parse.links[0].qos, QOS_UNKNOWN);
		assert_int_equal(parse.links[0].end, path[end] == '.' ? end + 6 : end);
		assert_string_equal(parse.links[1].id, H2);
		assert_string_equal(parse.links[1].pod_uid, U);
		assert_int_equal(parse.links[1].qos, QOS_BESTEFFORT);
		assert_int_equal(parse.links[1].end, strlen(path));
	}
}

/* A container can make any path below its own; its own link must not change by that. */
static void test_inner_forgery(void **state)
{
	static const char *const tails[] = {
		"",
		"/kubepods/burstable/pod" U2,
		"/kubepods/burstable/pod" U2 "/" H2,
		"/system.slice/docker-" H2 ".scope",
		"/user.slice/user-0.slice/user@0.service/app.slice/sshd.service",
		"/x.mount",
		"/conmon",
		"/supervisor",
		"/lxc/web",
		"/../..",
		" (deleted)",
	};

	for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
		char path[1024];
		struct cgroup_parse parse;

		snprintf(path, sizeof(path), "/kubepods/besteffort/pod" U "/" H "%s", tails[i]);
		cgroup_path_parse(path, &parse);
		assert_true(parse.n_links >= 1);
		assert_string_equal(parse.links[0].id, H);
		assert_string_equal(parse.links[0].pod_uid, U);
		assert_int_equal(parse.links[0].qos, QOS_BESTEFFORT);
		assert_string_not_equal(parse.pod_uid, "");
		assert_int_equal(parse.unit_end, 0);
	}
}

static void test_no_container(void **state)
{
	static const char *const paths[] = {
		"/docker/" H "a",							   /* 65 */
		"/docker/5aaf9eb7648eeb1459d86eaa0ace8bcfa93089642e5c3113a14250dae3238aa", /* 63 */
		"/docker/5aaf9eb7648e",
		"/docker/5AAF9EB7648EEB1459D86EAA0ACE8BCFA93089642E5C3113A14250DAE3238AAF",
		"/docker/5aaf9eb7648eeb1459d86eaa0ace8bcfa93089642e5c3113a14250dae3238aag",
		"/docker/ " H,
		"/docker/" H " ",
		"/docker/\033" H,
		"/docker/" H "\033[0m",
		"/docker/" H "\xff",
		"/docker/" H ".service",
		"/system.slice/docker-" H ".service",
		"/system.slice/docker-" H ".scope.d",
		"/system.slice/docker-" H ".mount",
		"/system.slice/docker-" H ".swap",
		"/system.slice/docker-" H "a.scope",
		"/system.slice/docker-a" H ".scope",
		"/system.slice/docker--" H "-.scope",
		"/system.slice/-" H ".scope",
		"/system.slice/docker_" H ".scope",
		"/system.slice/docker:" H ".scope",
		"/system.slice/crio-conmon-" H ".scope",
		"/libpod_parent/conmon",
		"/machine.slice/machine-libpod_pod_" H ".slice",
		"/system.slice/run-r0123456789abcdef0123456789abcdef.scope",
		"/system.slice:docker:" H "a",
		"/system.slice:docker:x:" H,
		"/a:" H,
		"/a:b:" H ".scope",
		"/lxc.payload.",
		"/lxc.payload.a b",
		"/lxc.payload.\033",
		"/lxc.monitor.x/y",
		"/kata_",
		"/kata_overhead",
		"/machine.slice/machine-a\\x2fb.scope",
		"/machine.slice/machine-a\\x00b.scope",
		"/machine.slice/machine-.scope",
		"/system.slice/systemd-nspawn@.service",
		"/machine.slice/systemd-nspawn@web.service/supervisor",
		"/machine.slice/machine-web.scope/supervisor",
		"/machine-web.scope",
		"/garden/web",
		"/0123456789abcdef0123456789abcdef-",
		"/0123456789abcdef0123456789abcdef-12a",
		"/0123456789abcdef0123456789abcdef-123456789012345678901",
		"/nomad.slice/share.slice",
		"/nomad.slice/web.scope",
		"/share/x",
		"",
		"/",
		"//",
		".",
		"..",
		"/..",
		" (deleted)",
		"/ (deleted)",
		"_",
		"::",
		"/::",
		"/a::",
	};

	for (size_t i = 0; i < sizeof(paths) / sizeof(paths[0]); i++) {
		struct cgroup_parse parse;

		cgroup_path_parse(paths[i], &parse);
		assert_sane(paths[i], &parse);
		assert_column(paths[i], innermost(&parse), "-");
		assert_int_equal(parse.n_more, 0);
		assert_string_equal(parse.pod_uid, "");
		assert_int_equal(parse.qos, QOS_UNKNOWN);
	}
}

static void test_no_pod(void **state)
{
	static const char *const names[] = {
		"pod" U "0",
		"podd" U,
		"podman-" U,
		"xpod" U,
		"pod_" U,
		"pod" U ".scope",
		"kubepods-burstable_pod" U_ ".slice",
		"pod0D08203E-255A-11E9-8CD9-0007CB0B2CC8",
		"pod0d08203e.255a.11e9.8cd9.0007cb0b2cc8",
		"pod9729a196c4723b60ab401eaff722982",
		"pod9729a196c4723b60ab401eaff722982d0",
		"pod",
		"kubepods-pod",
		"machine-libpod_pod_" H ".slice",
		"tmux-spawn-" U ".scope",
	};

	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		char path[512];
		struct cgroup_parse parse;

		snprintf(path, sizeof(path), "/kubepods/burstable/%s", names[i]);
		cgroup_path_parse(path, &parse);
		assert_sane(path, &parse);
		assert_string_equal(parse.pod_uid, "");
	}
}

static void test_root(void **state)
{
	static const struct {
		const char *path;
		bool is_root;
	} rows[] = {
		{ "/", true },
		{ "//", true },
		{ "/init.scope", true },
		{ "/init.scope/", true },
		{ "", false },
		{ "/..", false },
		{ "/../..", false },
		{ "/x", false },
		{ "/../init.scope", false },
		{ "/init.scope/x", false },
		{ "/_init.scope", false },
		{ "/ (deleted)", false },
		{ "/system.slice/init.scope", false },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cgroup_parse parse;

		cgroup_path_parse(rows[i].path, &parse);
		assert_sane(rows[i].path, &parse);
		assert_int_equal(parse.is_root, rows[i].is_root);
	}
}

static void test_units(void **state)
{
	static const struct {
		const char *path;
		const char *unit;
	} rows[] = {
		{ "/system.slice/ssh.service", "ssh.service" },
		{ "/system.slice/ssh.service (deleted)", "ssh.service" },
		{ "system.slice/ssh.service/child/x.service", "ssh.service" },
		{ "/system.slice", "system.slice" },
		{ "/system.slice/plain", "system.slice" },
		{ "/a.slice/a-b.slice", "a-b.slice" },
		{ "/system.slice/system-waldo.slice/_cpu.service/sdfdsaf", "cpu.service" },
		{ "/system.slice/__x.service", "_x.service" },
		{ "/system.slice/system-serial\\x2dgetty.slice", "system-serial\\x2dgetty.slice" },
		{ "/system.slice/system-sshd.slice/sshd@126-10.240.0.15:22-x:33678.service",
		  "sshd@126-10.240.0.15:22-x:33678.service" },
		{ "/session-3.scope", "session-3.scope" },
		{ "/init.scope", "init.scope" },
		{ "/system.slice/dev-hugepages.mount", "dev-hugepages.mount" },
		{ "/user.slice/user-1000.slice/session-3.scope", "session-3.scope" },
		{ "/user.slice/user-1000.slice/user@1000.service", "user@1000.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/plain", "user@1000.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/app.slice",
		  "user@1000.service/app.slice" },
		{ "/user.slice/user-1000.slice/user@1000.service/init.scope",
		  "user@1000.service/init.scope" },
		{ "/user.slice/user-1000.slice/user@1000.service/sshd.service",
		  "user@1000.service/sshd.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/user@0.service",
		  "user@1000.service/user@0.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/user@1000.service",
		  "user@1000.service/user@1000.service" },
		{ "/user@x.service/sshd.service", "user@x.service" },
		{ "/user@12345678901.service/sshd.service", "user@12345678901.service" },
		{ "/default/some_short_id.service", "default/some_short_id.service" },
		{ "/default/redis/system.slice/sshd.service",
		  "default/redis/system.slice/sshd.service" },
		{ "/default/redis/system.slice", NULL },
		{ "/system/dashboard", NULL },
		{ "/docker/" H "/system.slice/sshd.service", NULL },
		{ "/lxc.payload.web/system.slice/sshd.service", NULL },
		{ "/system.slice/docker-" H ".scope/system.slice/sshd.service",
		  "docker-" H ".scope" },
		{ "/.service", NULL },
		{ "/", NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct cgroup_parse parse;
		char text[512];

		cgroup_path_parse(rows[i].path, &parse);
		assert_sane(rows[i].path, &parse);
		unit_text(rows[i].path, &parse, text, sizeof(text));
		assert_column(rows[i].path, text, rows[i].unit ?: "-");
	}
}

static void test_newline_ends_the_path(void **state)
{
	struct cgroup_parse parse;

	cgroup_path_parse("/docker/" H "\n/docker/" H2, &parse);
	assert_int_equal(parse.n_links, 1);
	assert_string_equal(parse.links[0].id, H);
}

static void test_huge_component(void **state)
{
	_cleanup_(freep) char *path = malloc(3 * 4096);
	struct cgroup_parse parse;
	size_t n;

	assert_non_null(path);
	memset(path, 'a', 2 * 4096);
	path[0] = '/';
	n = 4096;
	n += (size_t)sprintf(path + n, "/lxc/");
	memset(path + n, 'b', 4096);
	n += 4096;
	sprintf(path + n, "/docker/" H);
	cgroup_path_parse(path, &parse);
	assert_sane(path, &parse);
	assert_int_equal(parse.n_links, 1); /* a name of 4 KiB is none */
	assert_string_equal(parse.links[0].id, H);

	memset(path, 'a', 4096);
	memcpy(path, "lxc.payload.", 12);
	path[12 + CONTAINER_ID_MAX] = '\0';
	cgroup_path_parse(path, &parse);
	assert_int_equal(parse.n_links, 1);
	assert_int_equal(strlen(parse.links[0].id), CONTAINER_ID_MAX);
	path[12 + CONTAINER_ID_MAX] = 'a';
	path[13 + CONTAINER_ID_MAX] = '\0';
	cgroup_path_parse(path, &parse);
	assert_int_equal(parse.n_links, 0);
}

static void test_many_components(void **state)
{
	enum { N = 1000 };
	size_t each = strlen("/docker-" H ".scope");
	_cleanup_(freep) char *path = malloc(N * each + 1);
	struct cgroup_parse parse;

	assert_non_null(path);
	for (size_t i = 0; i < N; i++)
		memcpy(path + i * each, "/docker-" H ".scope", each);
	path[N * each] = '\0';
	cgroup_path_parse(path, &parse);
	assert_sane(path, &parse);
	assert_int_equal(parse.n_links, CGROUP_LINKS_MAX);
	assert_int_equal(parse.n_more, N - CGROUP_LINKS_MAX);
	assert_int_equal(parse.links[0].start, 1);
	assert_int_equal(parse.links[0].end, each);
}

static void test_line(void **state)
{
	static const struct {
		const char *line;
		int hierarchy;
		const char *path;
	} rows[] = {
		{ "0::/x", 0, "/x" },
		{ "4:memory:/x", 4, "/x" },
		{ "13::/docker/x", 13, "/docker/x" },
		{ "1:name=systemd:/a:b:c", 1, "/a:b:c" },
		{ "11:cpu,cpuacct:/x", 11, "/x" },
		{ "0::", 0, "" },
		{ "/0::/x", -1, "/0::/x" },
		{ "0:/:x", -1, "0:/:x" },
		{ "0:", -1, "0:" },
		{ "0", -1, "0" },
		{ "", -1, "" },
		{ "::/x", -1, "::/x" },
		{ "x::/y", -1, "x::/y" },
		{ "1234567890::/x", -1, "1234567890::/x" },
		{ "0:\n:/x", -1, "0:\n:/x" },
		{ "a.slice:docker:b", -1, "a.slice:docker:b" },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		int hierarchy = 99;

		assert_string_equal(cgroup_line_path(rows[i].line, &hierarchy), rows[i].path);
		assert_int_equal(hierarchy, rows[i].hierarchy);
	}
}

static void test_join(void **state)
{
	static const struct {
		const char *own;
		const char *seen;
		int r;
		const char *path;
	} rows[] = {
		{ "/a/b/c", "/../../x", 0, "/a/x" },
		{ "/a/b/c", "/..", 0, "/a/b" },
		{ "/a/b/c", "/../..", 0, "/a" },
		{ "/a/b/c", "/../../..", 0, "/" },
		{ "/a/b/c", "/../../../x", 0, "/x" },
		{ "/a/b/c", "/../../../..", -ERANGE, NULL },
		{ "/a/b/c", "/../../../../x", -ERANGE, NULL },
		{ "/a/b/c", "/..x", 0, "/a/b/c/..x" },
		{ "/a/b/c", "/...", 0, "/a/b/c/..." },
		{ "/a/b/c", "/", 0, "/a/b/c" },
		{ "/a/b/c", "", 0, "/a/b/c" },
		{ "/a/b/c", "/x", 0, "/a/b/c/x" },
		{ "/a/b/c/", "x/", 0, "/a/b/c/x" },
		{ "a//b", "/..//x", 0, "/a/x" },
		{ "/", "/x/y", 0, "/x/y" },
		{ "/", "/", 0, "/" },
		{ "", "/x", 0, "/x" },
		{ "/", "/..", -ERANGE, NULL },
		{ "/a", "/x/../y", -EINVAL, NULL },
		{ "/a", "/../x/..", -EINVAL, NULL },
		{ "/a/../b", "/x", -EINVAL, NULL },
		{ "/..", "/x", -EINVAL, NULL },
		{ "/aaaaaaaaaaaa", "/bbbbbbbbbbbbbbbb", 0, "/aaaaaaaaaaaa/bbbbbbbbbbbbbbbb" },
		{ "/aaaaaaaaaaaa", "/bbbbbbbbbbbbbbbbb", -ENAMETOOLONG, NULL },
	};

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		char path[31] = "untouched";

		assert_int_equal(cgroup_path_join(rows[i].own, rows[i].seen, path, sizeof(path)),
				 rows[i].r);
		assert_column(rows[i].seen, path, rows[i].path ?: "untouched");
	}
}

/* A path that climbs out of what is known still names its container. */
static void test_unjoined_is_parsed(void **state)
{
	struct cgroup_parse parse;

	cgroup_path_parse("/../../../../system.slice/docker-" H ".scope", &parse);
	assert_int_equal(parse.n_links, 1);
	assert_string_equal(parse.links[0].id, H);
}

static void test_runtime_names(void **state)
{
	assert_null(cgroup_hint_runtime(HINT_NONE));
	assert_string_equal(cgroup_hint_runtime(HINT_CRIO_SANDBOX), "cri-o");
	assert_string_equal(cgroup_hint_runtime(HINT_NERDCTL), "containerd");
	for (int hint = HINT_NONE + 1; hint < HINT_N_; hint++)
		assert_non_null(cgroup_hint_runtime((enum cgroup_hint)hint));
	assert_null(cgroup_hint_runtime(HINT_N_));
}

/* What is cut off is cut off only where it is. */
static void test_span(void **state)
{
	static const struct {
		const char *text;
		const char *prefix;
		const char *rest;
	} cases[] = {
		{ "kata_x", "kata_", "x" },	 { "kata_", "kata_", "" },
		{ "kata", "kata_", "kata" },	 { "", "kata_", "" },
		{ "xkata_", "kata_", "xkata_" }, { "x", "", "x" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct span span = { cases[i].text, strlen(cases[i].text) };

		assert_true(span_equals(span_without_prefix(span, cases[i].prefix), cases[i].rest));
	}
}

static void test_squeeze(void **state)
{
	static const char *const cases[][2] = {
		{ "/", "/" },
		{ "///", "/" },
		{ "", "" },
		{ "//docker//x//", "/docker/x" },
		{ "/docker/x", "/docker/x" },
		{ "docker//x/", "docker/x" },
		{ "a/", "a" },
		{ "/..//../a", "/../../a" },
	};

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		char path[32];

		strcpy(path, cases[i][0]);
		cgroup_path_squeeze(path);
		assert_string_equal(path, cases[i][1]);
	}
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_vectors),
		cmocka_unit_test(test_more_vectors),
		cmocka_unit_test(test_both_links_of_a_node),
		cmocka_unit_test(test_inner_forgery),
		cmocka_unit_test(test_no_container),
		cmocka_unit_test(test_no_pod),
		cmocka_unit_test(test_root),
		cmocka_unit_test(test_units),
		cmocka_unit_test(test_newline_ends_the_path),
		cmocka_unit_test(test_huge_component),
		cmocka_unit_test(test_many_components),
		cmocka_unit_test(test_line),
		cmocka_unit_test(test_join),
		cmocka_unit_test(test_squeeze),
		cmocka_unit_test(test_unjoined_is_parsed),
		cmocka_unit_test(test_runtime_names),
		cmocka_unit_test(test_span),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
