/* SPDX-License-Identifier: BSD-2-Clause */
/* What each runtime's files say, and whose a path is by them. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include <cmocka.h>

#include "fake_root.h"
#include "src/cleanup.h"
#include "src/host_cache.h"
#include "src/identify.h"
#include "src/resolver.h"

#define SANDBOX	  "157406b1e6934b24c4e49ea6df73540ed6c4982a1b2138016f3e7fe3706932e8"
#define CONTAINER "de852e98c01e49060fa5c1699467742274850812d250b93eaa1cb1bc98324a95"
#define POD	  "4fe556a4-0bd7-45be-966f-46e2cbf4c4ac"
#define POD_	  "4fe556a4_0bd7_45be_966f_46e2cbf4c4ac"
#define A	  "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B	  "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define K8S_TASKS "/run/containerd/io.containerd.runtime.v2.task/k8s.io/"
#define MOBY	  "/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/"
#define DOCKER	  "/var/lib/docker/containers/"

/* "kind id=… name=… runtime=…", what is absent left out. */
static void describe(const struct identity *identity, char *ret, size_t size)
{
	const struct {
		const char *key;
		const char *value;
	} facts[] = {
		{ "id", identity->container_id },
		{ "name", identity->container_name },
		{ "runtime", identity->runtime_name },
		{ "image", identity->image_name },
		{ "ns", identity->namespace_name },
		{ "pod", identity->pod_name },
		{ "uid", identity->pod_uid },
		{ "k8s", identity->k8s_container_name },
		{ "qos", qos_class_name(identity->qos) },
		{ "unit", identity->unit },
		{ "source", identity->name_source },
		{ "path", identity->cgroup_path },
		{ "key", identity->key },
	};
	FILE *out = fmemopen(ret, size, "w");

	fputs(identity_kind_name(identity->kind), out);
	for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
		if (facts[i].value)
			assert_true(facts[i].value[0]);
		if (facts[i].value && i < sizeof(facts) / sizeof(facts[0]) - 2)
			fprintf(out, " %s=%s", facts[i].key, facts[i].value);
	}
	fputs(identity->resolved ? "" : " unresolved", out);
	fclose(out);
	assert_non_null(identity->key);
	assert_non_null(identity->cgroup_path);
}

static struct identity resolve(struct fake_root *fake, const char *path)
{
	struct resolver *resolver = NULL;
	struct resolve_trace trace;
	struct identity identity;

	assert_int_equal(resolver_new(fake->root, NULL, &resolver), 0);
	assert_int_equal(resolver_resolve_path(resolver, path, &identity, &trace), 0);
	resolver_free(resolver);
	return identity;
}

static void assert_is(struct identity identity, const char *expected)
{
	char text[4096];

	describe(&identity, text, sizeof(text));
	identity_done(&identity);
	assert_string_equal(text, expected);
}

static void assert_resolves(struct fake_root *fake, const char *path, const char *expected)
{
	assert_is(resolve(fake, path), expected);
}

/* The same of a cgroup that is there: what is not known is not looked through as a text. */
static void assert_lives(struct fake_root *fake, const char *path, const char *expected)
{
	struct identity identity;

	host_cache_forget(host_root_cache(fake->root));
	assert_int_equal(identify_path(fake->root, path, false, NULL, &identity), 0);
	assert_is(identity, expected);
}

static void test_containerd_cri(void **state)
{
	struct fake_root *fake = *state;

	fake_copy(fake, "containerd/container-1.6.20.json", K8S_TASKS CONTAINER "/config.json");
	fake_copy(fake, "containerd/sandbox-1.6.20.json", K8S_TASKS SANDBOX "/config.json");

	assert_resolves(fake, "/kubepods/burstable/pod" POD "/" CONTAINER,
			"container id=" CONTAINER " name=web runtime=containerd "
			"image=localhost/pause:1 ns=prod pod=mypod-abc uid=" POD
			" k8s=web qos=burstable source=containerd-bundle");
	assert_resolves(fake, "/kubepods/burstable/pod" POD "/" CONTAINER "/nested/deeper",
			"container id=" CONTAINER " name=web runtime=containerd "
			"image=localhost/pause:1 ns=prod pod=mypod-abc uid=" POD
			" k8s=web qos=burstable source=containerd-bundle");
	assert_resolves(fake, "/kubepods/burstable/pod" POD "/" SANDBOX,
			"sandbox id=" SANDBOX " runtime=containerd ns=prod pod=mypod-abc uid=" POD
			" qos=burstable source=containerd-bundle");
}

static void write_cri(struct fake_root *fake, const char *path, const char *cgroups_path,
		      const char *annotations)
{
	fake_write(fake, path, "{\"linux\":{\"cgroupsPath\":\"%s\"},\"annotations\":{%s}}",
		   cgroups_path, annotations);
}

#define CRI "\"io.kubernetes.cri."

static void test_containerd_state_roots(void **state)
{
	static const char *const roots[] = { "/run/containerd",
					     "/run/k3s/containerd",
					     "/run/k0s/containerd",
					     "/run/host-containerd",
					     "/var/snap/microk8s/common/run/containerd",
					     "/srv/moved" };
	static const char *const layouts[] = { "io.containerd.runtime.v2.task",
					       "io.containerd.runtime.v1.linux" };
	struct fake_root *fake = *state;
	char path[512];

	fake_write(fake, "etc/containerd/config.toml",
		   "version = 2\n# state = '/no'\n  state  = \"/srv/moved\" # here\n[grpc]\n"
		   "state = '/neither'\n");
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]) * 2; i++) {
		snprintf(path, sizeof(path), "%s/%s/k8s.io/%s", roots[i / 2], layouts[i % 2], A);
		write_cri(fake, strcat(path, "/config.json"), "/kubepods/pod" POD "/" A,
			  CRI "container-type\":\"container\"," CRI "container-name\":\"app\"");
		assert_resolves(fake, "/kubepods/pod" POD "/" A,
				"container id=" A " name=app runtime=containerd uid=" POD
				" k8s=app qos=guaranteed source=containerd-bundle");
		fake_unlink(fake, path);
		assert_resolves(fake, "/kubepods/pod" POD "/" A,
				"container id=" A " uid=" POD " qos=guaranteed unresolved");
	}
}

/* The pod's names are on its sandbox only, in the path of its log directory. */
static void test_containerd_before_1_5(void **state)
{
	struct fake_root *fake = *state;

	write_cri(fake, K8S_TASKS A "/config.json",
		  "kubepods-burstable-pod" POD_ ".slice:cri-containerd:" A,
		  CRI "container-type\":\"container\"," CRI "container-name\":\"app\"," CRI
		      "sandbox-id\":\"" B "\"");
	write_cri(fake, K8S_TASKS B "/config.json", "/elsewhere/" B,
		  CRI "container-type\":\"sandbox\"," CRI
		      "sandbox-log-directory\":\"/var/log/pods/shop_web-7d9f_" POD "\"");
	assert_resolves(fake,
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_
			".slice/cri-containerd-" A ".scope",
			"container id=" A
			" name=app runtime=containerd ns=shop pod=web-7d9f uid=" POD
			" k8s=app qos=burstable source=containerd-bundle");
	/* The same directory of another pod names nobody. */
	write_cri(fake, K8S_TASKS B "/config.json", "/elsewhere/" B,
		  CRI "container-type\":\"sandbox\"," CRI
		      "sandbox-log-directory\":\"/var/log/pods/shop_web-7d9f_x" POD "\"");
	assert_resolves(fake,
			"/kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod" POD_
			".slice/cri-containerd-" A ".scope",
			"container id=" A " name=app runtime=containerd uid=" POD
			" k8s=app qos=burstable source=containerd-bundle");
}

static void test_containerd_other_clients(void **state)
{
	struct fake_root *fake = *state;

	write_cri(fake, "/run/containerd/io.containerd.runtime.v2.task/default/" A "/config.json",
		  "system.slice:nerdctl:" A,
		  "\"nerdctl/name\":\"web1\",\"nerdctl/namespace\":\"default\"");
	write_cri(fake, "/run/containerd/io.containerd.runtime.v2.task/other/" B "/config.json",
		  "/other/" B, "");
	write_cri(fake, "/run/containerd/io.containerd.runtime.v2.task/default/redis1/config.json",
		  "/default/redis1", "");

	assert_resolves(fake, "/system.slice/nerdctl-" A ".scope",
			"container id=" A " name=web1 runtime=containerd source=containerd-bundle");
	assert_resolves(fake, "/other/" B,
			"container id=" B " runtime=containerd source=containerd-bundle");
	assert_resolves(fake, "/default/redis1",
			"container id=redis1 name=redis1 runtime=containerd "
			"source=containerd-bundle");
	assert_resolves(fake, "/default/redis1/docker-" B ".scope",
			"container id=redis1 name=redis1 runtime=containerd "
			"source=containerd-bundle");
	/* Nothing else of that form is one. */
	assert_resolves(fake, "/default/redis2", "unknown unresolved");
	assert_resolves(fake, "/default/../redis1", "unknown unresolved");
	/* Nor is any namespace but one by its own name. */
	write_cri(fake, "/run/containerd/io.containerd.runtime.v2.task/x/config.json", "", "");
	write_cri(fake, "/run/containerd/io.containerd.runtime.v2.task/a b/x/config.json", "", "");
	assert_resolves(fake, "/../x", "unknown unresolved");
	assert_resolves(fake, "/./x", "unknown unresolved");
	assert_resolves(fake, "/a b/x", "unknown unresolved");
	assert_resolves(fake, "/other/redis1", "unknown unresolved");
	assert_resolves(fake, "/default/some_short_id.service",
			"unit unit=default/some_short_id.service");
}

static void test_containerd_rootless(void **state)
{
	struct fake_root *fake = *state;
	const char *path =
		"/user.slice/user-1000.slice/user@1000.service/user.slice/nerdctl-" A ".scope";

	write_cri(fake,
		  "/run/user/1000/containerd/io.containerd.runtime.v2.task/default/" A
		  "/config.json",
		  "user.slice:nerdctl:" A, "\"nerdctl/name\":\"web1\"");
	assert_resolves(fake, path,
			"container id=" A " name=web1 runtime=containerd source=containerd-bundle");
	/* Neither another user's, nor the system's, nor under another cgroup of their own. */
	assert_resolves(fake,
			"/user.slice/user-7.slice/user@7.service/user.slice/nerdctl-" A ".scope",
			"container id=" A " runtime=containerd unresolved");
	assert_resolves(fake, "/user.slice/nerdctl-" A ".scope",
			"container id=" A " runtime=containerd unresolved");
	assert_resolves(fake,
			"/user.slice/user-1000.slice/user@1000.service/x.slice/nerdctl-" A ".scope",
			"unit unit=user@1000.service/nerdctl-" A ".scope");
	/* What the system knows is not theirs. */
	write_cri(fake, "/run/containerd/io.containerd.runtime.v2.task/default/" A "/config.json",
		  "user.slice:nerdctl:" A, "\"nerdctl/name\":\"web1\"");
	assert_resolves(fake, path, "unit unit=user@1000.service/nerdctl-" A ".scope");
}

static void write_docker(struct fake_root *fake, const char *path, const char *id, const char *name)
{
	fake_write(fake, path,
		   "{\"ID\":\"%s\",\"Name\":\"%s\",\"Config\":{\"Image\":\"nginx:1\","
		   "\"Labels\":{\"io.kubernetes.pod.name\":\"forged\"}}}",
		   id, name);
}

static void test_docker(void **state)
{
	struct fake_root *fake = *state;

	write_docker(fake, DOCKER A "/config.v2.json", A, "/web1");
	assert_resolves(fake, "/system.slice/docker-" A ".scope",
			"container id=" A " name=web1 runtime=docker image=nginx:1 "
			"source=docker-config");
	assert_resolves(fake, "/docker/" A "/init.scope",
			"container id=" A " name=web1 runtime=docker image=nginx:1 "
			"source=docker-config");
	/* A file that was put there for another container. */
	write_docker(fake, DOCKER B "/config.v2.json", A, "/web1");
	assert_resolves(fake, "/docker/" B, "container id=" B " runtime=docker unresolved");
	/* Docker has no such names. */
	write_docker(fake, DOCKER B "/config.v2.json", B, "/we b\\u001b1");
	assert_resolves(fake, "/docker/" B,
			"container id=" B " runtime=docker image=nginx:1 source=docker-config");
}

/* Without a bundle only where Docker puts the cgroup of this container. */
static void test_docker_places(void **state)
{
	static const struct {
		const char *path;
		const char *parent; /* its own, of all containers if it starts with a "*" */
		bool is_own;
	} cases[] = {
		{ "/docker/" A, NULL, true },
		{ "/system.slice/docker-" A ".scope", NULL, true },
		{ "/workload.slice/workload-x.slice/docker-" A ".scope", NULL, true },
		{ "/kubepods/pod" POD "/" A, NULL, true },
		{ "/kubepods/burstable/pod" POD "/" A, NULL, true },
		{ "/kubelet/kubepods/burstable/pod" POD "/" A, NULL, true },
		{ "/kubepods.slice/kubepods-pod" POD_ ".slice/docker-" A ".scope", NULL, true },
		{ "/docker/" B "/docker/" A, NULL, true }, /* in a node */
		{ "/foo/" A, NULL, false },
		{ "/foo/docker/" A, NULL, false },
		{ "/foo/kubepods/pod" POD "/" A, NULL, false },
		{ "/pod" POD "/" A, NULL, false },
		{ "/system.slice/alice.service/docker-" A ".scope", NULL, false },
		{ "/system.slice/alice.service/docker/" A, NULL, false },
		{ "/system.slice/alice.service/kubepods/pod" POD "/" A, NULL, false },
		{ "/system.slice/alice.service/system.slice/docker-" A ".scope", NULL, false },
		{ "/actions_job/" A, NULL, false },
		{ "/actions_job/" A, "/actions_job", true },
		{ "/actions_job/" A, "actions_job", true },
		{ "/actions_job/" A, "/other", false },
		{ "/a/b/" A, "/a/b", true },
		{ "/a/b/" A, "/b", false },
		{ "/a/b/" A, "*/a/b", true },
		{ "/system.slice/alice.service/actions_job/" A, "/actions_job", false },
		/* A relative one is where dockerd is, or its containerd. */
		{ "/system.slice/docker.service/foo/" A, "foo", true },
		{ "/system.slice/containerd.service/foo/" A, "*foo", true },
		{ "/system.slice/foo/" A, "foo", true },
		{ "/system.slice/foo/" A, "/foo", false },
		{ "/system.slice/docker.service/bar/" A, "foo", false },
		{ "/system.slice/alice.service/x/foo/" A, "foo", false },
		{ "/system.slice/alice.service/foo/" A, "foo", false },
		{ "/system.slice/docker.service/alice.service/foo/" A, "foo", false },
		{ "/system.slice/docker/" A, NULL, false },
	};
	struct fake_root *fake = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		const char *parent = cases[i].parent ? cases[i].parent : "";
		bool is_all = parent[0] == '*';
		struct identity identity;

		write_docker(fake, DOCKER A "/config.v2.json", A, "/web1");
		fake_write(fake, DOCKER A "/hostconfig.json", "{\"CgroupParent\":\"%s\"}",
			   is_all ? "" : parent);
		fake_write(fake, "etc/docker/daemon.json", "{\"cgroup-parent\":\"%s\"}",
			   is_all ? parent + 1 : "");
		identity = resolve(fake, cases[i].path);
		if (identity.resolved != cases[i].is_own && identity.container_id)
			print_error("row: %s\n", cases[i].path);
		assert_int_equal(identity.container_name != NULL, cases[i].is_own);
		identity_done(&identity);
	}
}

static void test_docker_roots(void **state)
{
	static const char *const roots[] = { "/var/snap/docker/common/var-lib-docker",
					     "/srv/docker", "/var/lib/docker/100000.100000",
					     "/srv/docker/1.2" };
	struct fake_root *fake = *state;
	char path[512];

	fake_write(fake, "etc/docker/daemon.json", "{\"data-root\":\"/srv/docker\"}");
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		snprintf(path, sizeof(path), "%s/containers/%s/config.v2.json", roots[i], A);
		write_docker(fake, path, A, "/web1");
		assert_resolves(fake, "/docker/" A,
				"container id=" A " name=web1 runtime=docker image=nginx:1 "
				"source=docker-config");
		fake_unlink(fake, path);
	}
	assert_resolves(fake, "/docker/" A, "container id=" A " runtime=docker unresolved");

	/* The snap keeps its configuration in the directory of its revision. */
	fake_write(fake, "var/snap/docker/2963/config/daemon.json",
		   "{\"data-root\":\"/srv/snap\"}");
	fake_symlink(fake, "2963", "var/snap/docker/current");
	write_docker(fake, "/srv/snap/containers/" A "/config.v2.json", A, "/web1");
	assert_resolves(fake, "/docker/" A,
			"container id=" A " name=web1 runtime=docker image=nginx:1 "
			"source=docker-config");
	fake_unlink(fake, "/srv/snap");

	/* The old key, and a root that has moved behind an absolute link. */
	fake_write(fake, "etc/docker/daemon.json", "{\"graph\":\"/old\"}");
	write_docker(fake, "/real/containers/" A "/config.v2.json", A, "/web1");
	fake_symlink(fake, "/real", "old");
	assert_resolves(fake, "/docker/" A,
			"container id=" A " name=web1 runtime=docker image=nginx:1 "
			"source=docker-config");
}

static void fake_command_line(const struct fake_root *fake, const char *words)
{
	char bytes[256];
	size_t n = strlen(words) + 1;

	for (size_t i = 0; i < n; i++)
		bytes[i] = (char)(words[i] == '\n' ? '\0' : words[i]);
	fake_write_bytes(fake, "/proc/77/cmdline", bytes, n);
}

/* What dockerd was told on its command line, if it is dockerd that has the PID. */
static void test_docker_options(void **state)
{
	static const char own[] =
		"12:pids:/system.slice/docker.service\n0::/system.slice/docker.service\n";
	static const struct {
		const char *words; /* a line each */
		const char *cgroups;
		bool is_found;
	} cases[] = {
		{ "/usr/bin/dockerd\n--data-root=/srv/data\n-H\nfd://", own, true },
		{ "/usr/bin/dockerd\n-H\nfd://\n--data-root\n/srv/data", own, true },
		{ "dockerd\n--data-root=/a\n--data-root=/srv/data", own, true },
		{ "dockerd\n-g\n/srv/data", own, true },
		{ "dockerd\n--config-file\n/opt/docker.json", own, true },
		{ "dockerd\n--data-root", own, false },
		{ "dockerd\n--data-root=srv/data", own, false },
		{ "dockerd\n--data-roots=/srv/data", own, false },
		{ "dockerd\n--label\na=--data-root=/srv/data", own, false },
		{ "dockerd\n--data-root=/srv/data", "0::/docker/" B "\n", false },
		{ "dockerd\n--data-root=/srv/data",
		  "3:cpu:/\n2:pids:/kubepods/pod" POD "/" B "/x\n1:name=systemd:/\n", false },
		{ "dockerd\n--data-root=/srv/data", "0::/lxc.payload.web/init.scope\n", false },
	};
	struct fake_root *fake = *state;

	write_docker(fake, "/srv/data/containers/" A "/config.v2.json", A, "/web1");
	fake_write(fake, "/opt/docker.json", "{\"data-root\":\"/srv/data\"}");
	fake_write(fake, "/proc/77/cmdline", "dockerd\n--data-root=/srv/data\n");
	assert_resolves(fake, "/docker/" A, "container id=" A " runtime=docker unresolved");
	fake_write(fake, "/run/docker.pid", "77");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct identity identity;

		fake_write(fake, "/proc/77/cgroup", "%s", cases[i].cgroups);
		fake_command_line(fake, cases[i].words);
		identity = resolve(fake, "/docker/" A);
		if (identity.resolved != cases[i].is_found)
			fail_msg("case %zu", i);
		identity_done(&identity);
	}
	fake_write(fake, "/proc/77/cgroup", "%s", own);
	fake_command_line(fake, cases[0].words);
	fake_write(fake, "/run/docker.pid", "-77");
	assert_resolves(fake, "/docker/" A, "container id=" A " runtime=docker unresolved");
	fake_write(fake, "/run/docker.pid", "78");
	assert_resolves(fake, "/docker/" A, "container id=" A " runtime=docker unresolved");
}

#define USERS_BUNDLE                                                                               \
	"run/user/1000/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/" A             \
	"/config.json"

static void test_docker_rootless(void **state)
{
	struct fake_root *fake = *state;
	const char *path =
		"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" A ".scope";

	fake_write(fake, "etc/passwd",
		   "root:x:0:0:root:/root:/bin/sh\nbroken:x\n"
		   "ann:x:1000:1000:Ann,,,:/home/ann:/bin/sh\n");
	write_docker(fake, "home/ann/.local/share/docker/containers/" A "/config.v2.json", A,
		     "/mine");
	assert_resolves(fake, path,
			"container id=" A " name=mine runtime=docker image=nginx:1 "
			"source=docker-config");
	/* Under the cgroup that their daemon has given it, and no other. */
	fake_write(fake, USERS_BUNDLE, "{\"linux\":{\"cgroupsPath\":\"user.slice:docker:" A "\"}}");
	assert_resolves(fake, path,
			"container id=" A " name=mine runtime=docker image=nginx:1 "
			"source=docker-config");
	fake_write(fake, USERS_BUNDLE, "{\"linux\":{\"cgroupsPath\":\"x.slice:docker:" A "\"}}");
	assert_resolves(fake, path, "unit unit=user@1000.service/docker-" A ".scope");
	fake_unlink(fake, USERS_BUNDLE);
	/* Not everybody's. */
	assert_resolves(fake, "/docker/" A, "container id=" A " runtime=docker unresolved");
	/* What the system's store knows is not a user's, whatever that one has written down. */
	write_docker(fake, DOCKER A "/config.v2.json", A, "/web1");
	assert_resolves(fake, path, "unit unit=user@1000.service/docker-" A ".scope");
}

/* The store of a user's daemon may be elsewhere in the home, and nowhere else. */
static void test_docker_rootless_moved(void **state)
{
	static const struct {
		const char *data_root;
		const char *store;
		bool is_found;
	} cases[] = {
		{ "/home/ann/big/docker", "/home/ann/big/docker/", true },
		{ "/home/ann/../bob/docker", "/home/bob/docker/", false },
		{ "/home/anna/docker", "/home/anna/docker/", false },
		{ "/srv/docker", "/srv/docker/", false },
		{ "", "/home/ann/.local/share/docker/", true },
	};
	struct fake_root *fake = *state;
	char path[512];

	fake_write(fake, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_write(fake, "home/ann/.config/docker/daemon.json", "{\"data-root\":\"%s\"}",
			   cases[i].data_root);
		snprintf(path, sizeof(path), "%scontainers/" A "/config.v2.json", cases[i].store);
		write_docker(fake, path, A, "/mine");
		assert_resolves(fake,
				"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" A
				".scope",
				cases[i].is_found ? "container id=" A " name=mine runtime=docker "
						    "image=nginx:1 source=docker-config"
						  : "container id=" A " runtime=docker unresolved");
		fake_unlink(fake, cases[i].store);
	}
}

/* A user's configuration is read when it has changed, and on the user's account. */
static void test_docker_hostile_user(void **state)
{
	struct fake_root *fake = *state;
	const char *path =
		"/user.slice/user-1000.slice/user@1000.service/user.slice/docker-" A ".scope";
	const char *config = "home/ann/.config/docker/daemon.json";
	bool is_put_off = false;
	char many[60001];

	memset(many, 'x', sizeof(many) - 1);
	many[sizeof(many) - 1] = 0;
	fake_write(fake, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
	write_docker(fake, "home/ann/big/containers/" A "/config.v2.json", A, "/mine");
	fake_write(fake, config, "{\"data-root\":\"/home/ann/big\",\"x\":\"%s\"}", many);
	for (int i = 0; i < 200; i++) {
		struct identity identity;

		assert_int_equal(identify_path(fake->root, path, false, NULL, &identity), 0);
		assert_string_equal(identity.container_name, "mine");
		identity_done(&identity);
	}
	for (int i = 0; i < 200 && !is_put_off; i++) {
		struct identity identity;

		fake_write(fake, config, "{\"data-root\":\"/home/ann/big\",\"x\":\"%s\"}", many);
		identity = resolve(fake, path);
		is_put_off = !identity.resolved;
		assert_string_equal(identity.container_id, A);
		identity_done(&identity);
	}
	assert_true(is_put_off);
}

/* Names that cri-dockerd makes count where the path has the same pod, and only there. */
static void test_cri_dockerd(void **state)
{
	struct fake_root *fake = *state;

	write_docker(fake, DOCKER A "/config.v2.json", A, "/k8s_app_web-7d9f_shop_" POD "_0");
	write_docker(fake, DOCKER B "/config.v2.json", B, "/k8s_POD_web-7d9f_shop_" POD "_0");
	assert_resolves(fake, "/kubepods/pod" POD "/" A,
			"container id=" A " name=k8s_app_web-7d9f_shop_" POD
			"_0 runtime=docker image=nginx:1 ns=shop pod=web-7d9f uid=" POD
			" k8s=app qos=guaranteed source=docker-config");
	assert_resolves(fake, "/kubepods/pod" POD "/" B,
			"sandbox id=" B " name=k8s_POD_web-7d9f_shop_" POD
			"_0 runtime=docker image=nginx:1 ns=shop pod=web-7d9f uid=" POD
			" qos=guaranteed source=docker-config");
	assert_resolves(fake, "/docker/" A,
			"container id=" A " name=k8s_app_web-7d9f_shop_" POD
			"_0 runtime=docker image=nginx:1 source=docker-config");
	assert_resolves(fake, "/kubepods/pod5fe556a4-0bd7-45be-966f-46e2cbf4c4ac/" A,
			"container id=" A " name=k8s_app_web-7d9f_shop_" POD
			"_0 runtime=docker image=nginx:1 uid=5fe556a4-0bd7-45be-966f-46e2cbf4c4ac "
			"qos=guaranteed source=docker-config");
}

#define CRIO_STORE "/overlay-containers/" A "/userdata/config.json"

static void write_crio(struct fake_root *fake, const char *path, const char *type)
{
	fake_write(
		fake, path,
		"{\"linux\":{\"cgroupsPath\":\"kubepods-pod" POD_ ".slice:crio:" A
		"\"},\"annotations\":{\"io.container.manager\":\"cri-o\","
		"\"io.kubernetes.container.name\":\"app\",\"io.kubernetes.pod.name\":\"web-7d9f\","
		"\"io.kubernetes.pod.namespace\":\"shop\",\"io.kubernetes.pod.uid\":\"" POD
		"\",\"io.kubernetes.cri-o.ContainerType\":\"%s\","
		"\"io.kubernetes.cri-o.ImageName\":\"docker.io/nginx:1\","
		"\"io.kubernetes.cri-o.Image\":\"abcdef\"}}",
		type);
}

static void test_crio(void **state)
{
	static const char *const roots[] = { "/run/containers/storage",
					     "/var/lib/containers/storage", "/srv/crio",
					     "/srv/part" };
	struct fake_root *fake = *state;
	const char *slice = "/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" A;
	char path[512], crun[512];

	snprintf(crun, sizeof(crun), "%s.scope/container", slice);
	fake_write(fake, "etc/crio/crio.conf",
		   "[crio]\n# root = \"/no\"\nroot = \"/srv/crio\"\n"
		   "[crio.api]\nroot = \"/neither\"\n");
	fake_write(fake, "etc/crio/crio.conf.d/10-root", "[crio]\nrunroot = \"/srv/part\"\n");
	fake_write(fake, "etc/crio/crio.conf.d/20-other", "[crio.image]\npause_image = \"p\"\n");
	for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
		snprintf(path, sizeof(path), "%s%s", roots[i], CRIO_STORE);
		write_crio(fake, path, "container");
		assert_resolves(fake, crun,
				"container id=" A " name=app runtime=cri-o image=docker.io/nginx:1 "
				"ns=shop pod=web-7d9f uid=" POD
				" k8s=app qos=guaranteed source=crio-bundle");
		write_crio(fake, path, "sandbox");
		assert_resolves(fake, slice,
				"sandbox id=" A " runtime=cri-o image=docker.io/nginx:1 "
				"ns=shop pod=web-7d9f uid=" POD
				" qos=guaranteed source=crio-bundle");
		fake_unlink(fake, path);
	}
	/* A sandbox without a process has no bundle. */
	assert_resolves(fake, slice,
			"sandbox id=" A " runtime=cri-o uid=" POD " qos=guaranteed unresolved");
	/* Elsewhere than its bundle says. */
	snprintf(path, sizeof(path), "%s%s", roots[0], CRIO_STORE);
	write_crio(fake, path, "container");
	assert_resolves(fake, "/evil.service/crio-" A ".scope", "unit unit=evil.service");
	assert_resolves(fake, "/evil.service/docker-" A ".scope", "unit unit=evil.service");
}

#define STORE "/var/lib/containers/storage/overlay-containers/"

static void write_podman(struct fake_root *fake, const char *store, const char *cgroups_path,
			 const char *list)
{
	char path[512];

	snprintf(path, sizeof(path), "%s" A "/userdata/config.json", store);
	fake_write(fake, path,
		   "{\"linux\":{\"cgroupsPath\":\"%s\"},"
		   "\"annotations\":{\"io.container.manager\":\"libpod\"}}",
		   cgroups_path);
	snprintf(path, sizeof(path), "%s%s", store, list);
	fake_write(fake, path,
		   "[{\"id\":\"" B "\",\"names\":[\"other\"]},{\"id\":\"" A
		   "\",\"names\":[\"db\",\"alias\"],\"metadata\":"
		   "\"{\\\"image-name\\\":\\\"quay.io/pg:16\\\",\\\"name\\\":\\\"db\\\"}\"}]");
}

static void test_podman(void **state)
{
	static const char *const lists[] = { "containers.json", "volatile-containers.json" };
	static const struct {
		const char *cgroups_path;
		const char *path;
	} cases[] = {
		{ "machine.slice:libpod:" A, "/machine.slice/libpod-" A ".scope" },
		{ "machine.slice:libpod:" A, "/machine.slice/libpod-" A ".scope/container" },
		{ "/libpod_parent/libpod-" A, "/libpod_parent/libpod-" A },
		{ "/system.slice/db.service/libpod-payload-" A,
		  "/system.slice/db.service/libpod-payload-" A },
		{ "machine-libpod_pod_" B ".slice:libpod:" A,
		  "/machine.slice/machine-libpod_pod_" B ".slice/libpod-" A ".scope" },
		{ "/libpod_parent/" B "/libpod-" A, "/libpod_parent/" B "/libpod-" A },
	};
	struct fake_root *fake = *state;
	const char *is = "container id=" A " name=db runtime=podman image=quay.io/pg:16 "
			 "source=podman-storage";

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_podman(fake, STORE, cases[i].cgroups_path, lists[i % 2]);
		assert_resolves(fake, cases[i].path, is);
		fake_unlink(fake, "/var/lib/containers/storage");
	}
	write_podman(fake, "/run/containers/storage/overlay-containers/", "machine.slice:libpod:" A,
		     "containers.json");
	assert_resolves(fake, "/machine.slice/libpod-" A ".scope", is);
	/* Its monitor is not it. */
	assert_resolves(fake, "/machine.slice/libpod-conmon-" A ".scope",
			"unit unit=libpod-conmon-" A ".scope");
	assert_resolves(fake, "/evil.service/libpod-" A ".scope", "unit unit=evil.service");
	/* No list has it any more: it is being removed, and what is left must not replace its name.
	 */
	fake_write(fake, "/run/containers/storage/overlay-containers/containers.json",
		   "[{\"id\":\"" B "\",\"names\":[\"other\"]}]");
	assert_resolves(fake, "/machine.slice/libpod-" A ".scope",
			"container id=" A " runtime=podman unresolved");
	/* Without a list it is known all the same. */
	fake_unlink(fake, "/run/containers/storage/overlay-containers/containers.json");
	assert_resolves(fake, "/machine.slice/libpod-" A ".scope",
			"container id=" A " runtime=podman source=podman-storage");
}

/* Only the driver configured, or none, where the file system bears no overlay. */
static void test_podman_drivers(void **state)
{
	static const char *const stores[] = {
		"/var/lib/containers/storage/vfs-containers/",
		"/run/containers/storage/btrfs-containers/",
		"/var/lib/containers/storage/zfs-containers/",
		"/var/lib/containers/storage/aufs-containers/",
	};
	struct fake_root *fake = *state;

	fake_write(fake, "/etc/containers/storage.conf", "[storage]\ndriver = \"aufs\"\n");
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		write_podman(fake, stores[i], "machine.slice:libpod:" A, "containers.json");
		assert_resolves(fake, "/machine.slice/libpod-" A ".scope",
				"container id=" A " name=db runtime=podman image=quay.io/pg:16 "
				"source=podman-storage");
		fake_unlink(fake, stores[i]);
	}
}

static void test_podman_infra(void **state)
{
	struct fake_root *fake = *state;

	write_podman(fake, STORE, "machine-libpod_pod_" B ".slice:libpod:" A,
		     "volatile-containers.json");
	fake_write(fake, STORE "containers.json",
		   "[{\"id\":\"" A "\",\"names\":[\"%.12s-infra\"]}]", B);
	assert_resolves(fake, "/machine.slice/machine-libpod_pod_" B ".slice/libpod-" A ".scope",
			"sandbox id=" A
			" name=bbbbbbbbbbbb-infra runtime=podman source=podman-storage");
	/* Anybody can call a container so; the pod around it has that id. */
	write_podman(fake, STORE, "/libpod_parent/libpod-" A, "volatile-containers.json");
	assert_resolves(fake, "/libpod_parent/libpod-" A,
			"container id=" A
			" name=bbbbbbbbbbbb-infra runtime=podman source=podman-storage");
}

static void test_podman_rootless(void **state)
{
	static const char *const stores[] = {
		"/home/ann/.local/share/containers/storage/overlay-containers/",
		"/run/user/1000/containers/overlay-containers/",
	};
	struct fake_root *fake = *state;
	const char *path = "/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" A
			   ".scope/container";

	fake_write(fake, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
	for (size_t i = 0; i < sizeof(stores) / sizeof(stores[0]); i++) {
		write_podman(fake, stores[i], "user.slice:libpod:" A, "containers.json");
		assert_resolves(fake, path,
				"container id=" A " name=db runtime=podman image=quay.io/pg:16 "
				"source=podman-storage");
		/* Neither another user's, nor the system's. */
		assert_resolves(fake,
				"/user.slice/user-7.slice/user@7.service/user.slice/libpod-" A
				".scope",
				"container id=" A " runtime=podman unresolved");
		assert_resolves(fake, "/user.slice/libpod-" A ".scope",
				"container id=" A " runtime=podman unresolved");
		fake_unlink(fake, stores[i]);
	}
	write_podman(fake, STORE, "user.slice:libpod:" A, "containers.json");
	assert_resolves(fake, path, "unit unit=user@1000.service/libpod-" A ".scope");
}

/* A user may have the store elsewhere, but not anywhere. */
static void test_podman_moved_by_its_user(void **state)
{
	static const struct {
		const char *config;
		const char *store; /* where one is then */
		bool is_found;
	} cases[] = {
		{ "graphroot = \"$HOME/big/store\"", "/home/ann/big/store/overlay-containers/",
		  true },
		{ "graphroot = \"/home/ann/big\"\ndriver = 'btrfs'",
		  "/home/ann/big/btrfs-containers/", true },
		{ "driver = \"zfs\"", "/home/ann/.local/share/containers/storage/zfs-containers/",
		  true },
		{ "graphroot = \"/srv/ann\"", "/srv/ann/overlay-containers/", false },
		{ "graphroot = \"$HOME/../bob\"", "/home/bob/overlay-containers/", false },
		{ "graphroot = \"/home/anna\"", "/home/anna/overlay-containers/", false },
		{ "driver = \"../x\"", "/home/ann/.local/share/containers/storage/../x-containers/",
		  false },
	};
	struct fake_root *fake = *state;

	fake_write(fake, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		fake_write(fake, "home/ann/.config/containers/storage.conf", "[storage]\n%s\n",
			   cases[i].config);
		write_podman(fake, cases[i].store, "user.slice:libpod:" A, "containers.json");
		assert_resolves(fake,
				"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" A
				".scope",
				cases[i].is_found ? "container id=" A " name=db runtime=podman "
						    "image=quay.io/pg:16 source=podman-storage"
						  : "container id=" A " runtime=podman unresolved");
		fake_unlink(fake, cases[i].store);
	}
}

/* A user writes what they like into their own store, and their containers lose names by it. */
static void test_podman_hostile_user(void **state)
{
#define USERS_STORE "/home/ann/.local/share/containers/storage/overlay-containers/"
	static const struct {
		const char *item;
		size_t size;
	} cases[] = { { "1", 16u << 20 }, { "{}", 4u << 20 }, { "{}", 400u << 10 } };
	struct fake_root *fake = *state;
	const char *path =
		"/user.slice/user-1000.slice/user@1000.service/user.slice/libpod-" A ".scope";
	char many[100001] = "";
	struct identity identity;

	fake_write(fake, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		write_podman(fake, USERS_STORE, "user.slice:libpod:" A, "volatile-containers.json");
		fake_write_list(fake, USERS_STORE "containers.json", cases[i].item, cases[i].size);
		assert_resolves(fake, path,
				"container id=" A " name=db runtime=podman image=quay.io/pg:16 "
				"source=podman-storage");
		fake_write_list(fake, USERS_STORE "volatile-containers.json", cases[i].item,
				cases[i].size);
		assert_resolves(fake, path,
				"container id=" A " runtime=podman source=podman-storage");
		fake_write_list(fake, USERS_STORE A "/userdata/config.json", cases[i].item,
				cases[i].size);
		assert_resolves(fake, path, "container id=" A " runtime=podman unresolved");
	}

	/* JSON in a string, that has far more in it than is needed. */
	for (size_t i = 0; i < sizeof(many) - 1; i += 2)
		memcpy(many + i, "1,", 2);
	write_podman(fake, USERS_STORE, "user.slice:libpod:" A, "volatile-containers.json");
	fake_write(fake, USERS_STORE "volatile-containers.json",
		   "[{\"id\":\"" A "\",\"names\":[\"db\"],"
		   "\"metadata\":\"{\\\"x\\\":[%s1],\\\"image-name\\\":\\\"y\\\"}\"}]",
		   many);
	fake_unlink(fake, USERS_STORE "containers.json");
	assert_resolves(fake, path,
			"container id=" A " name=db runtime=podman source=podman-storage");

	/* Who makes work waits for the name, and is not known without one. */
	for (int i = 0; i < 20; i++) {
		fake_write_list(fake, USERS_STORE "containers.json",
				"\"0123456789012345678901234567890123456789\"", 500u << 10);
		identity = resolve(fake, path);
		identity_done(&identity);
	}
	fake_unlink(fake, USERS_STORE "containers.json");
	assert_resolves(fake, path, "container id=" A " runtime=podman unresolved");
}

/* Both keep their containers in one store. */
static void test_shared_storage(void **state)
{
	struct fake_root *fake = *state;

	write_podman(fake, STORE, "/x/" A, "containers.json");
	assert_resolves(fake, "/x/" A,
			"container id=" A " name=db runtime=podman image=quay.io/pg:16 "
			"source=podman-storage");
	write_crio(fake, "/var/lib/containers/storage" CRIO_STORE, "container");
	assert_resolves(fake, "/kubepods.slice/kubepods-pod" POD_ ".slice/crio-" A ".scope",
			"container id=" A " name=app runtime=cri-o image=docker.io/nginx:1 "
			"ns=shop pod=web-7d9f uid=" POD
			" k8s=app qos=guaranteed source=crio-bundle");
}

static void test_lxc(void **state)
{
	static const char *const dirs[] = { "/var/lib/lxc/web", "/var/lib/incus/containers/web",
					    "/var/lib/lxd/containers/web",
					    "/var/snap/lxd/common/lxd/containers/web" };
	struct fake_root *fake = *state;

	for (size_t i = 0; i < sizeof(dirs) / sizeof(dirs[0]); i++) {
		fake_symlink(fake, "/nowhere", dirs[i]);
		assert_resolves(fake, "/lxc.payload.web/system.slice/a.service",
				"container id=web name=web runtime=lxc source=lxc");
		assert_resolves(fake, "/lxc/web",
				"container id=web name=web runtime=lxc source=lxc");
		assert_resolves(fake, "/lxc.payload.web-1",
				"container id=web-1 name=web runtime=lxc source=lxc");
		assert_resolves(fake, "/lxc.payload.web-x",
				"container id=web-x runtime=lxc unresolved");
		fake_unlink(fake, dirs[i]);
	}
	assert_resolves(fake, "/lxc.payload.web", "container id=web runtime=lxc unresolved");
	assert_resolves(fake, "/lxc.monitor.web", "unknown unresolved");

	/* A name is no proof further down, and a user's is the user's. */
	fake_mkdir(fake, "/var/lib/lxc/web");
	assert_resolves(fake, "/a.service/lxc.payload.web",
			"container id=web runtime=lxc unresolved");
	fake_write(fake, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
	assert_resolves(fake, "/user.slice/user-1000.slice/user@1000.service/lxc.payload.web",
			"container id=web runtime=lxc unresolved");
	fake_mkdir(fake, "/home/ann/.local/share/lxc/web");
	assert_resolves(fake, "/user.slice/user-1000.slice/user@1000.service/lxc.payload.web",
			"container id=web name=web runtime=lxc source=lxc");
}

/* As machined writes it, up to version 257 and from then on; NULL: no unit is named. */
static void write_machine(struct fake_root *fake, const char *name, const char *unit_line)
{
	char path[256];

	snprintf(path, sizeof(path), "run/systemd/machines/%s", name);
	fake_write(fake, path,
		   "# This is private data. Do not parse.\nNAME=%s\n%sSERVICE=systemd-nspawn\n"
		   "ROOT=/var/lib/machines/%s\nID=b4a6b0d5b2f54ff9b7ad6f8b6b1f8f5c\nLEADER=4711\n"
		   "CLASS=container\nREALTIME=1764360000000000\nMONOTONIC=1\nNETIF=7\n",
		   name, unit_line ? unit_line : "", name);
}

static void test_machines(void **state)
{
	struct fake_root *fake = *state;
	static const char *const lines[] = {
		"SCOPE=machine-deb\\\\x2d12.scope\nSCOPE_JOB=/org/freedesktop/systemd1/job/1\n",
		"SCOPE=\"machine-deb\\\\x2d12.scope\"\n",
		"UNIT=machine-deb\\x2d12.scope\n",
		NULL,
	};

	for (size_t i = 0; i < sizeof(lines) / sizeof(lines[0]); i++) {
		write_machine(fake, "deb-12", lines[i]);
		assert_resolves(
			fake, "/machine.slice/machine-deb\\x2d12.scope/payload/init.scope",
			"container id=deb-12 name=deb-12 runtime=systemd-nspawn source=machined");
	}
	write_machine(fake, "tmpl", "SCOPE=systemd-nspawn@tmpl.service\n");
	assert_resolves(fake, "/machine.slice/systemd-nspawn@tmpl.service/payload",
			"container id=tmpl name=tmpl runtime=systemd-nspawn source=machined");
	assert_resolves(fake,
			"/system.slice/system-systemd\\x2dnspawn.slice/systemd-nspawn@tmpl.service",
			"container id=tmpl name=tmpl runtime=systemd-nspawn source=machined");
	write_machine(fake, "nix", "SCOPE=container@nix.service\n");
	assert_resolves(fake, "/machine.slice/container@nix.service/payload/init.scope",
			"container id=nix name=nix runtime=systemd-nspawn source=machined");
	/* Under another unit than machined says. */
	assert_resolves(fake, "/machine.slice/machine-tmpl.scope", "unit unit=machine-tmpl.scope");
	assert_resolves(fake, "/machine.slice/machine-other.scope",
			"container id=other runtime=systemd-nspawn unresolved");

	write_machine(fake, "lxc-969-web", "SCOPE=machine-lxc\\\\x2d969\\\\x2dweb.scope\n");
	assert_resolves(fake, "/machine.slice/machine-lxc\\x2d969\\x2dweb.scope/libvirt/init.scope",
			"container id=web name=web runtime=libvirt-lxc source=machined");
	fake_write(fake, "run/libvirt/lxc/old.xml", "<domstatus/>");
	assert_resolves(fake, "/libvirt/lxc/old",
			"container id=old name=old runtime=libvirt-lxc source=libvirt");
	assert_resolves(fake, "/machine/lxc-7-old.libvirt-lxc",
			"container id=old name=old runtime=libvirt-lxc source=libvirt");
	fake_write(fake, "run/libvirt/qemu/vm.xml", "<domstatus/>");
	assert_resolves(fake, "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator",
			"unit id=vm name=vm runtime=libvirt-qemu "
			"unit=machine-qemu\\x2d1\\x2dvm.scope source=libvirt");
}

/* A name is no proof below what somebody else makes the cgroups of. */
static void test_machines_elsewhere(void **state)
{
	static const struct {
		const char *path;
		const char *expected;
	} cases[] = {
		{ "/system.slice/alice.service/machine.slice/machine-deb.scope",
		  "container id=deb runtime=systemd-nspawn unresolved" },
		{ "/system.slice/alice.service/systemd-nspawn@tmpl.service",
		  "container id=tmpl runtime=systemd-nspawn unresolved" },
		{ "/alice/machine.slice/machine-deb.scope",
		  "container id=deb runtime=systemd-nspawn unresolved" },
		{ "/system.slice/alice.service/machine.slice/machine-lxc\\x2d9\\x2dold.scope",
		  "container id=old runtime=libvirt-lxc unresolved" },
		{ "/system.slice/alice.service/libvirt/lxc/old",
		  "container id=old runtime=libvirt-lxc unresolved" },
		{ "/alice/machine/lxc-7-old.libvirt-lxc",
		  "container id=old runtime=libvirt-lxc unresolved" },
	};
	struct fake_root *fake = *state;

	write_machine(fake, "deb", "SCOPE=machine-deb.scope\n");
	write_machine(fake, "tmpl", "SCOPE=systemd-nspawn@tmpl.service\n");
	fake_write(fake, "run/libvirt/lxc/old.xml", "<domstatus/>");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		assert_lives(fake, cases[i].path, cases[i].expected);
}

static void test_kubelet_logs(void **state)
{
	struct fake_root *fake = *state;

	fake_mkdir(fake, "var/log/pods/shop_web-7d9f_" POD "/app");
	assert_resolves(fake, "/kubepods/pod" POD,
			"pod ns=shop pod=web-7d9f uid=" POD " qos=guaranteed source=kubelet-logs");
	assert_resolves(fake, "/kubepods/pod" POD "/crio-" A,
			"container id=" A " runtime=cri-o ns=shop pod=web-7d9f uid=" POD
			" qos=guaranteed source=kubelet-logs");
	fake_symlink(fake, "/var/log/pods/x", "var/log/containers/web-7d9f_shop_app-" A ".log");
	assert_resolves(fake, "/kubepods/pod" POD "/crio-" A,
			"container id=" A " name=app runtime=cri-o ns=shop pod=web-7d9f uid=" POD
			" k8s=app qos=guaranteed source=kubelet-logs");
	/* Neither another pod's, nor below a user's manager, nor inside of something unknown. */
	assert_resolves(fake, "/kubepods/pod5fe556a4-0bd7-45be-966f-46e2cbf4c4ac/" A,
			"container id=" A " uid=5fe556a4-0bd7-45be-966f-46e2cbf4c4ac "
			"qos=guaranteed unresolved");
	assert_lives(fake, "/user.slice/user-1.slice/user@1.service/kubepods/pod" POD,
		     "unit unit=user@1.service");
	assert_resolves(fake, "/user.slice/user-1.slice/user@1.service/kubepods/pod" POD,
			"pod uid=" POD " qos=guaranteed unresolved");
	assert_lives(fake, "/lxc.payload.x/kubepods/pod" POD "/" A,
		     "container id=x runtime=lxc unresolved");
}

/* Names that hold the wanted ones, and are listed before or after them. */
static void test_kubelet_logs_of_others(void **state)
{
	struct fake_root *fake = *state;
	const char *expected =
		"container id=" A " name=app runtime=cri-o ns=shop pod=web-7d9f uid=" POD
		" k8s=app qos=guaranteed source=kubelet-logs";
	char name[64];

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "var/log/pods/%d", i);
		fake_mkdir(fake, name);
	}
	fake_mkdir(fake,
		   "var/log/pods/default_evil-" POD "-x_5fe556a4-0bd7-45be-966f-46e2cbf4c4ac");
	fake_mkdir(fake, "var/log/pods/default_" POD "_5fe556a4-0bd7-45be-966f-46e2cbf4c4ac");
	fake_mkdir(fake, "var/log/pods/shop_web-7d9f_" POD);
	fake_mkdir(fake, "var/log/pods/x" POD);
	fake_mkdir(fake,
		   "var/log/pods/default_evil-" POD "-y_5fe556a4-0bd7-45be-966f-46e2cbf4c4ac");
	fake_symlink(fake, "/x", "var/log/containers/evil-" A "_default_app-" B ".log");
	fake_symlink(fake, "/x", "var/log/containers/" A ".log");
	fake_symlink(fake, "/x", "var/log/containers/x-" A ".log");
	fake_symlink(fake, "/x", "var/log/containers/web-7d9f_shop_app-" A ".log");
	fake_symlink(fake, "/x", "var/log/containers/web_shop_app-" A ".log");
	fake_symlink(fake, "/x", "var/log/containers/evil-" A ".log_default_app-" B ".log");
	assert_resolves(fake, "/kubepods/pod" POD "/crio-" A, expected);
}

static void test_no_container(void **state)
{
	struct fake_root *fake = *state;

	assert_resolves(fake, "/", "host");
	assert_resolves(fake, "/init.scope", "host");
	assert_resolves(fake, "/system.slice/ssh.service", "unit unit=ssh.service");
	assert_resolves(fake, "/system.slice/ssh.service/child", "unit unit=ssh.service");
	assert_resolves(fake, "/user.slice/user-1.slice/user@1.service/sshd.service",
			"unit unit=user@1.service/sshd.service");
	assert_resolves(fake, "/machine.slice/machine-qemu\\x2d1\\x2dvm.scope",
			"unit id=vm runtime=libvirt-qemu unit=machine-qemu\\x2d1\\x2dvm.scope");
	assert_resolves(fake, "/kubepods/pod" POD, "pod uid=" POD " qos=guaranteed unresolved");
	assert_resolves(fake, "/some/where/else", "unknown unresolved");
	assert_resolves(fake, "/kubepods/besteffort", "unknown qos=besteffort unresolved");
}

/* Metadata that cannot be believed is neither a name nor a reason to believe somebody else. */
static void test_damaged(void **state)
{
	static const char *const broken[] = {
		"", "{", "[]", "{\"ID\":\"\\ud800\"}", "{\"a\\u0000\":1}", "{\"Name\":\"\xff\"}",
	};
	struct fake_root *fake = *state;
	char full[FAKE_PATH_MAX];
	char *big = malloc(5u << 20);

	write_docker(fake, DOCKER B "/config.v2.json", B, "/victim");
	for (size_t i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
		fake_write(fake, DOCKER A "/config.v2.json", "%s", broken[i]);
		assert_resolves(fake, "/docker/" A "/docker/" B,
				"container id=" A " runtime=docker unresolved");
	}
	memset(big, ' ', 5u << 20);
	fake_write_bytes(fake, DOCKER A "/config.v2.json", big, 5u << 20);
	free(big);
	assert_resolves(fake, "/docker/" A "/docker/" B,
			"container id=" A " runtime=docker unresolved");

	fake_unlink(fake, DOCKER A "/config.v2.json");
	assert_int_equal(mkfifo(fake_path(fake, DOCKER A "/config.v2.json", full), 0600), 0);
	assert_resolves(fake, "/docker/" A "/docker/" B,
			"container id=" A " runtime=docker unresolved");
	fake_unlink(fake, DOCKER A "/config.v2.json");
	fake_symlink(fake, "../" B "/config.v2.json", DOCKER A "/config.v2.json");
	assert_resolves(fake, "/docker/" A "/docker/" B,
			"container id=" A " runtime=docker unresolved");
	fake_unlink(fake, DOCKER A "/config.v2.json");
	fake_mkdir(fake, DOCKER A "/config.v2.json");
	assert_resolves(fake, "/docker/" A "/docker/" B,
			"container id=" A " runtime=docker unresolved");

	/* Not root's: anybody could have put it there. */
	fake_unlink(fake, DOCKER A);
	write_docker(fake, DOCKER A "/config.v2.json", A, "/a");
	if (geteuid() == 0) {
		assert_int_equal(
			chown(fake_path(fake, DOCKER A "/config.v2.json", full), 12345, 12345), 0);
		assert_resolves(fake, "/docker/" A "/docker/" B,
				"container id=" A " runtime=docker unresolved");
	}

	/* A NUL in a name would make another name of it; an unlimited number is no damage. */
	fake_unlink(fake, DOCKER A);
	fake_write(fake, DOCKER A "/config.v2.json",
		   "{\"Name\":\"/a\\u0000b\",\"x\":18446744073709551615}");
	assert_resolves(fake, "/docker/" A,
			"container id=" A " runtime=docker source=docker-config");
}

static void test_spoofed(void **state)
{
	struct fake_root *fake = *state;
	const char *nested = "/system.slice/docker-" A ".scope/docker-" B ".scope";
	const char *is_a = "container id=" A " name=a runtime=docker image=nginx:1 "
			   "source=docker-config";

	/* The outer one is known: whatever is inside is its own. */
	write_docker(fake, DOCKER A "/config.v2.json", A, "/a");
	assert_resolves(fake, nested, is_a);
	write_docker(fake, DOCKER B "/config.v2.json", B, "/b");
	assert_resolves(fake, nested, is_a);
	write_cri(fake, MOBY B "/config.json", "system.slice:docker:" B, "");
	assert_resolves(fake, nested, is_a);

	/* The bundle says where it is; elsewhere the id is somebody's claim. */
	assert_resolves(fake, "/system.slice/docker-" B ".scope",
			"container id=" B " name=b runtime=docker image=nginx:1 "
			"source=docker-config");
	assert_resolves(fake, "/evil.service/docker-" B ".scope", "unit unit=evil.service");
	assert_resolves(fake, "/evil/docker-" B ".scope", "unit unit=evil/docker-" B ".scope");
	assert_resolves(fake, "/docker/" B, "unknown unresolved");
	/* By another runtime's prefix. */
	assert_resolves(fake, "/evil.service/crio-" B ".scope", "unit unit=evil.service");
	assert_resolves(fake, "/evil.service/crio-" A ".scope", "unit unit=evil.service");

	/* What guests of a system that is known by name build, or a user. */
	assert_lives(fake, "/lxc.payload.x/system.slice/docker-" B ".scope",
		     "container id=x runtime=lxc unresolved");
	assert_lives(fake, "/lxc.payload.x/kubepods/pod" POD,
		     "container id=x runtime=lxc unresolved");
	assert_resolves(fake,
			"/user.slice/user-1000.slice/user@1000.service/system.slice/docker-" B
			".scope",
			"unit unit=user@1000.service/docker-" B ".scope");
	fake_write(fake, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
	write_docker(fake, "home/ann/.local/share/docker/containers/" B "/config.v2.json", B, "/z");
	assert_resolves(fake,
			"/user.slice/user-1000.slice/user@1000.service/system.slice/docker-" B
			".scope",
			"unit unit=user@1000.service/docker-" B ".scope");
}

static void test_unknown_outer(void **state)
{
	struct fake_root *fake = *state;
	const char *kind = "/docker/" A "/kubelet/kubepods/burstable/pod" POD "/" CONTAINER;
	const char *pod = "container id=" CONTAINER " name=web runtime=containerd "
			  "image=localhost/pause:1 ns=prod pod=mypod-abc uid=" POD
			  " k8s=web qos=burstable source=containerd-bundle";

	/* Nobody here knows either: what the text says. */
	assert_resolves(fake, kind,
			"container id=" CONTAINER " uid=" POD " qos=burstable unresolved");
	/* In the node: the inner one is known, with the node's own cgroup in front and without. */
	fake_copy(fake, "containerd/container-1.6.20.json", K8S_TASKS CONTAINER "/config.json");
	assert_resolves(fake, kind, pod);
	assert_resolves(fake, "/kubepods/burstable/pod" POD "/" CONTAINER, pod);
	/* On the node's host: the node. */
	write_docker(fake, DOCKER A "/config.v2.json", A, "/kind-control-plane");
	assert_resolves(fake, kind,
			"container id=" A " name=kind-control-plane runtime=docker image=nginx:1 "
			"source=docker-config");
}

/* EKS: a Fargate task is a node, of which nothing is kept, and whose pods are known in it. */
static void test_node_of_fargate(void **state)
{
	struct fake_root *fake = *state;
	const char *task = "0123456789abcdef0123456789abcdef";
	char path[512];

	snprintf(path, sizeof(path), "/ecs/%s/%s-305/kubepods/burstable/pod" POD "/" CONTAINER,
		 task, task);
	fake_copy(fake, "containerd/container-1.6.20.json", K8S_TASKS CONTAINER "/config.json");
	assert_lives(fake, path,
		     "container id=" CONTAINER " name=web runtime=containerd "
		     "image=localhost/pause:1 ns=prod pod=mypod-abc uid=" POD
		     " k8s=web qos=burstable source=containerd-bundle");
}

static void test_names_path(void **state)
{
	static const struct {
		const char *cgroups_path;
		const char *path;
		bool named;
	} cases[] = {
		{ "/kubepods/pod" POD "/" A, "/kubepods/pod" POD "/" A, true },
		{ "/kubepods/pod" POD "/" A, "/kubelet/kubepods/pod" POD "/" A, false },
		{ "/kubepods/pod" POD "/" A, "/../../kubepods/pod" POD "/" A, true },
		/* In a node that is a container, of which nobody knows, and where only that is. */
		{ "/kubepods/pod" POD "/" A, "/docker/" B "/kubepods/pod" POD "/" A, true },
		{ "/kubepods/pod" POD "/" A,
		  "/system.slice/docker-" B ".scope/kubelet/kubepods/pod" POD "/" A, true },
		{ "/kubepods/pod" POD "/" A,
		  "/system.slice/alice.service/docker-" B ".scope/kubepods/pod" POD "/" A, false },
		{ "kubepods-pod" POD_ ".slice:cri-containerd:" A,
		  "/system.slice/alice.service/kubepods.slice/kubepods-pod" POD_
		  ".slice/cri-containerd-" A ".scope",
		  false },
		{ "kubepods-pod" POD_ ".slice:cri-containerd:" A,
		  "/kubepods-pod" POD_ ".slice:cri-containerd:" A, true },
		{ "kubepods-pod" POD_ ".slice:cri-containerd:" A,
		  "/system.slice/alice.service/x/kubepods-pod" POD_ ".slice:cri-containerd:" A,
		  false },
		{ "/kubepods/pod" POD "/" A, "/xkubepods/pod" POD "/" A, false },
		{ "/kubepods/burstable/pod" POD "/" A, "/kubepods/pod" POD "/" A, false },
		{ "kubepods-pod" POD_ ".slice:cri-containerd:" A,
		  "/kubepods.slice/kubepods-pod" POD_ ".slice/cri-containerd-" A ".scope", true },
		{ "kubepods-pod" POD_ ".slice:cri-containerd:" A,
		  "/kubepods-pod" POD_ ".slice/cri-containerd-" A ".scope", false },
		{ "kubepods-pod" POD_ ".slice:cri-containerd:" A,
		  "/system.slice/containerd.service/kubepods-pod" POD_ ".slice:cri-containerd:" A,
		  true },
		/* Without a slash in front, it is below the runtime's cgroup, on v2 beside it. */
		{ "foo/" A, "/foo/" A, true },
		{ "foo/" A, "/system.slice/docker.service/foo/" A, true },
		{ "foo/" A, "/system.slice/containerd.service/foo/" A, true },
		{ "foo/" A, "/system.slice/foo/" A, true },
		{ "foo/" A, "/system.slice/k3s.service/foo/" A, true },
		{ "foo/" A, "/system.slice/alice.service/foo/" A, false },
		{ "foo/" A, "/system.slice/docker.service.service/foo/" A, false },
		{ "foo/" A, "/docker/" B "/foo/" A, true },
		{ "foo/" A, "/system.slice/alice.service/x/foo/" A, false },
		{ "foo/" A, "/evil/foo/" A, false },
		{ "foo/" A, "/system.slice/docker.service/xfoo/" A, false },
		{ "/foo/" A, "/system.slice/docker.service/foo/" A, false },
		{ "/foo/" A, "/system.slice/foo/" A, false },
		{ ":cri-containerd:" A, "/system.slice/:cri-containerd:" A, true },
		{ ":cri-containerd:" A, "/system.slice/cri-containerd-" A ".scope", true },
		{ ":cri-containerd:" A, "/evil.slice/cri-containerd-" A ".scope", false },
		{ "-.slice:cri-containerd:" A, "/cri-containerd-" A ".scope", true },
		{ "a:b:c:" A, "/system.slice/cri-containerd-" A ".scope", false },
		{ "", "/system.slice/cri-containerd-" A ".scope", true }, /* names none */
	};
	struct fake_root *fake = *state;

	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct identity identity;

		write_cri(fake, K8S_TASKS A "/config.json", cases[i].cgroups_path,
			  CRI "container-type\":\"container\"");
		identity = resolve(fake, cases[i].path);
		if ((identity.resolved && identity.container_id) != cases[i].named)
			print_error("row: %s\n", cases[i].path);
		if (identity.resolved && identity.container_id)
			assert_true(cases[i].named);
		else
			assert_false(cases[i].named);
		identity_done(&identity);
	}
}

static void test_keys(void **state)
{
	static const struct {
		const char *path;
		const char *key;
		const char *cgroup;
	} cases[] = {
		{ "/docker/" A "/x", A, "/docker/" A },
		{ "docker/" A, A, "/docker/" A },
		{ "/docker/" B "/x", "path:/docker/" B, "/docker/" B },
		{ "/system.slice/a.service/x", "unit:a.service", "/system.slice/a.service" },
		{ "/", "host", "/" },
		{ "/kubepods/pod" POD "/x", "path:/kubepods/pod" POD, "/kubepods/pod" POD },
		{ "/user.slice/user-1.slice/user@1.service/docker-" A ".scope",
		  "unit:user@1.service/docker-" A ".scope",
		  "/user.slice/user-1.slice/user@1.service/docker-" A ".scope" },
	};
	struct fake_root *fake = *state;

	write_docker(fake, DOCKER A "/config.v2.json", A, "/a");
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		struct identity identity = resolve(fake, cases[i].path);

		assert_string_equal(identity.key, cases[i].key);
		assert_string_equal(identity.cgroup_path, cases[i].cgroup);
		identity_done(&identity);
	}
}

/* However many are asked, it is all there: whoever may have the outermost name, and then all of
 * eight. */
static void test_long_trace(void **state)
{
	static const char *const ids[] = { A, B, CONTAINER, SANDBOX };
	struct fake_root *fake = *state;
	struct resolver *resolver = NULL;
	struct resolve_trace trace;
	struct identity identity;
	char path[1024] = "/a/b/kubepods/pod" POD;

	for (size_t i = 0; i < 8; i++)
		sprintf(path + strlen(path), "/docker/%zu%.63s", i, ids[i % 4]);
	assert_int_equal(resolver_new(fake->root, NULL, &resolver), 0);
	assert_int_equal(resolver_resolve_path(resolver, path, &identity, &trace), 0);
	assert_int_equal(trace.n_chain, 8);
	assert_int_equal(trace.n_attempts, 1 + 8 * 4 + 1);
	identity_done(&identity);
	resolver_free(resolver);
}

static void test_trace(void **state)
{
	struct fake_root *fake = *state;
	struct resolver *resolver = NULL;
	struct resolve_trace trace;
	struct identity identity;

	write_cri(fake, MOBY A "/config.json", "/elsewhere/" A, "");
	write_docker(fake, DOCKER A "/config.v2.json", A, "/a");
	assert_int_equal(resolver_new(fake->root, NULL, &resolver), 0);
	assert_int_equal(resolver_resolve_path(resolver, "/docker/" A, &identity, &trace), 0);
	assert_int_equal(trace.n_attempts, 1);
	assert_string_equal(trace.attempts[0].source, "docker aaaaaaaaaaaa");
	assert_non_null(strstr(trace.attempts[0].answer, "refused"));
	identity_done(&identity);
	resolver_free(resolver);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, fake_setup, fake_teardown)
		TEST(test_containerd_cri),
		TEST(test_containerd_state_roots),
		TEST(test_containerd_before_1_5),
		TEST(test_containerd_other_clients),
		TEST(test_containerd_rootless),
		TEST(test_docker),
		TEST(test_docker_places),
		TEST(test_docker_options),
		TEST(test_docker_roots),
		TEST(test_docker_rootless),
		TEST(test_docker_rootless_moved),
		TEST(test_docker_hostile_user),
		TEST(test_cri_dockerd),
		TEST(test_crio),
		TEST(test_podman),
		TEST(test_podman_drivers),
		TEST(test_podman_infra),
		TEST(test_podman_rootless),
		TEST(test_podman_moved_by_its_user),
		TEST(test_podman_hostile_user),
		TEST(test_shared_storage),
		TEST(test_lxc),
		TEST(test_machines),
		TEST(test_machines_elsewhere),
		TEST(test_kubelet_logs),
		TEST(test_kubelet_logs_of_others),
		TEST(test_no_container),
		TEST(test_damaged),
		TEST(test_spoofed),
		TEST(test_unknown_outer),
		TEST(test_node_of_fargate),
		TEST(test_names_path),
		TEST(test_keys),
		TEST(test_trace),
		TEST(test_long_trace),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
