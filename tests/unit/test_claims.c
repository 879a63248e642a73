/* SPDX-License-Identifier: BSD-2-Clause */
/* What is asked, when, and who gets the answer: below the resolver, which keeps the cgroups. */
#include "src/claims.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "fake_root.h"
#include "src/cleanup.h"

#define A	"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B	"bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define VICTIM	"cccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccccc"
#define U	"0d08203e-255a-11e9-8cd9-0007cb0b2cc8"
#define DOCKER	FAKE_DOCKER
#define MOBY	"/run/docker/containerd/daemon/io.containerd.runtime.v2.task/moby/"
#define STARTED (1000 * S)

#define MS 1000000ull
#define S  1000000000ull

struct world {
	struct fake_root fake;
	struct claims *claims;
	uint64_t now_ns;
};

/* Granted more than any test asks for: the budget is counted in time, too. */
static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	fake_open(&world->fake);
	assert_int_equal(claims_new(world->fake.root, NULL, &world->claims), 0);
	world->now_ns = STARTED;
	claims_grant(world->claims, 1000000);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	claims_free(world->claims);
	fake_close(&world->fake);
	free(world);
	return 0;
}

static struct claim *take(struct world *world, const char *path)
{
	struct claim *claim = NULL;

	assert_int_equal(claims_take(world->claims, path, world->now_ns, &claim), 0);
	return claim;
}

static void drop(struct world *world, struct claim *claim)
{
	claim_release(world->claims, claim);
}

static const struct identity *identity_of(struct world *world, struct claim *claim)
{
	const struct subject *subject = claim_subject(world->claims, claim);

	return subject ? subject_identity(subject) : NULL;
}

static void tick(struct world *world, uint64_t ns, bool all_names)
{
	world->now_ns += ns;
	claims_tick(world->claims, world->now_ns, all_names);
}

/* A is a container that Docker knows, by its bundle under one path only; of B nobody knows. */
static void write_world(struct world *world)
{
	fake_docker(&world->fake, A, "web1");
	fake_docker(&world->fake, VICTIM, "victim");
	fake_write(&world->fake, MOBY VICTIM "/config.json",
		   "{\"linux\":{\"cgroupsPath\":\"/docker/" VICTIM "\"}}");
}

static void test_whose(void **state)
{
	static const struct {
		const char *path;
		const char *key; /* NULL: nobody's */
		bool resolved;
	} rows[] = {
		{ "/docker/" A, A, true },
		{ "docker/" A, A, true },
		{ "/docker/" A "/init.scope", A, true },
		{ "/system.slice/docker-" A ".scope", A, true },
		/* By the path, lest an imitation be summed with the real one. */
		{ "/docker/" B, "path:/docker/" B, false },
		{ "/docker/" B "/a/b/c", "path:/docker/" B, false },
		/* Below one that is known, all is its own, whatever it is called. */
		{ "/docker/" A "/docker/" B, A, true },
		{ "/docker/" A "/docker/" VICTIM, A, true },
		{ "/docker/" A "/system.slice/docker-" VICTIM ".scope", A, true },
		/* Below one that is not, the first that is, and under that path. */
		{ "/docker/" B "/docker/" A, A, true },
		{ "/docker/" VICTIM, VICTIM, true },
		{ "/docker/" B "/docker/" VICTIM, VICTIM, true }, /* as in a node of kind */
		{ "/docker/" B "/system.slice/docker-" VICTIM ".scope", "path:/docker/" B, false },
		{ "/system.slice/docker-" VICTIM ".scope", NULL, false },
		{ "/docker/x/docker-" VICTIM ".scope", NULL, false },
		/* A guess is one only if it is right. */
		{ "/default/redis", NULL, false },
		/* None of these claims anything. */
		{ "", NULL, false },
		{ "/", NULL, false },
		{ "/..", NULL, false },
		{ "/init.scope", NULL, false },
		{ "/system.slice/ssh.service", NULL, false },
		{ "/docker/" A "a", NULL, false },
		{ "/docker/aaaa", NULL, false },
		{ "/docker/\x1b[2J\xff", NULL, false },
		{ "/system.slice/docker-" A ".scopes", NULL, false },
		{ "/system.slice/docker-" A ".mount", NULL, false },
		{ "/machine.slice/libpod-conmon-" A ".scope", NULL, false },
	};
	struct world *world = *state;

	write_world(world);
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct claim *claim = take(world, rows[i].path);
		const struct identity *identity = claim ? identity_of(world, claim) : NULL;

		if (!identity != !rows[i].key)
			fail_msg("%s: %s", rows[i].path, identity ? identity->key : "nobody's");
		if (identity) {
			assert_string_equal(identity->key, rows[i].key);
			assert_int_equal(identity->resolved, rows[i].resolved);
		}
		drop(world, claim);
	}
}

/* One question a link, however many cgroups are below it, and none of what does not matter. */
static void test_asked_once(void **state)
{
	struct world *world = *state;
	struct claim *first, *again, *child, *other;

	write_world(world);
	first = take(world, "/docker/" A);
	again = take(world, "/docker/" A);
	child = take(world, "/docker/" A "/docker/" B "/docker/" VICTIM);
	assert_ptr_equal(again, first);
	assert_ptr_equal(child, first);
	assert_int_equal(claims_lookups(world->claims), 1);

	/* Another path is another question, but the same container. */
	other = take(world, "/system.slice/docker-" A ".scope");
	assert_ptr_not_equal(other, first);
	assert_int_equal(claims_lookups(world->claims), 2);
	assert_ptr_equal(claim_subject(world->claims, other), claim_subject(world->claims, first));

	drop(world, first);
	drop(world, again);
	assert_string_equal(identity_of(world, child)->container_name, "web1");
	drop(world, child);
	drop(world, other);
	/* Forgotten with its last cgroup: asked anew. */
	drop(world, take(world, "/docker/" A));
	assert_int_equal(claims_lookups(world->claims), 3);
}

/* Each wait is longer, up to a minute, for as long as nobody knows the answer. */
static void test_backoff(void **state)
{
	static const uint64_t waits_ns[] = { 250 * MS, 500 * MS, 1 * S,	 4 * S,
					     15 * S,   60 * S,	 60 * S, 60 * S };
	struct world *world = *state;
	struct claim *claim;

	assert_int_equal(claims_due_ns(world->claims), UINT64_MAX);
	claim = take(world, "/docker/" B);
	for (size_t i = 0; i < sizeof(waits_ns) / sizeof(waits_ns[0]); i++) {
		assert_int_equal(claims_lookups(world->claims), i + 1);
		assert_int_equal(claims_due_ns(world->claims), world->now_ns + waits_ns[i]);
		tick(world, waits_ns[i] - 1, true);
		assert_int_equal(claims_lookups(world->claims), i + 1);
		tick(world, 1, false);
	}
	assert_false(identity_of(world, claim)->resolved);
	assert_int_equal(claims_unresolved(world->claims), 1);

	/* Then it is known, watched, and one more. */
	fake_docker(&world->fake, B, "late");
	tick(world, 60 * S, false);
	assert_string_equal(identity_of(world, claim)->container_name, "late");
	assert_int_equal(claims_unresolved(world->claims), 0);
	assert_true(claims_due_ns(world->claims) >= world->now_ns + 5 * S);
	assert_true(claims_due_ns(world->claims) < world->now_ns + 8 * S);
	drop(world, claim);
	assert_int_equal(claims_due_ns(world->claims), UINT64_MAX);
}

/* What is beyond the budget is by id until it is its turn, which comes at the next tick. */
static void test_budget(void **state)
{
	struct world *world = *state;
	struct claim *claims[10];
	char path[128];

	fake_docker(&world->fake, A, "web1");
	claims_grant(world->claims, 4);
	for (size_t i = 0; i < 10; i++) {
		snprintf(path, sizeof(path), "/docker/%064zx", i + 1);
		claims[i] = take(world, path);
		assert_non_null(identity_of(world, claims[i]));
	}
	assert_int_equal(claims_lookups(world->claims), 4);
	assert_int_equal(claims_due_ns(world->claims), 0);
	/* No more than that, for the newest either, but it has its id. */
	drop(world, take(world, "/docker/" A));
	assert_int_equal(claims_lookups(world->claims), 4);
	assert_int_equal(claims_unresolved(world->claims), 10);

	/* The four are not due yet. */
	tick(world, 1, false);
	assert_true(claims_lookups(world->claims) > 4);
	for (size_t i = 0; i < 100 && claims_due_ns(world->claims) == 0; i++)
		tick(world, 1, false);
	assert_int_equal(claims_lookups(world->claims), 10);
	for (size_t i = 0; i < 10; i++)
		drop(world, claims[i]);
}

static void test_names_change(void **state)
{
	struct world *world = *state;
	struct claim *claim;

	fake_docker(&world->fake, A, "web1");
	claim = take(world, "/docker/" A);
	fake_docker(&world->fake, A, "renamed");
	/* Not yet; then at the latest after 8 seconds. */
	tick(world, 1 * S, false);
	assert_string_equal(identity_of(world, claim)->container_name, "web1");
	tick(world, 8 * S, false);
	assert_string_equal(identity_of(world, claim)->container_name, "renamed");

	/* Whoever wants to be sure asks for it. */
	fake_docker(&world->fake, A, "again");
	tick(world, 1, true);
	assert_string_equal(identity_of(world, claim)->container_name, "again");

	/* A name that was known stays: gone, spoilt, or of another. */
	fake_unlink(&world->fake, DOCKER A);
	tick(world, 60 * S, true);
	assert_string_equal(identity_of(world, claim)->container_name, "again");
	fake_write(&world->fake, DOCKER A "/config.v2.json", "{\"ID\":\"" A "\",\"Name\":");
	tick(world, 60 * S, true);
	assert_string_equal(identity_of(world, claim)->container_name, "again");
	fake_write(&world->fake, DOCKER A "/config.v2.json", "{\"ID\":\"" B "\",\"Name\":\"/b\"}");
	tick(world, 60 * S, true);
	assert_string_equal(identity_of(world, claim)->container_name, "again");
	assert_true(identity_of(world, claim)->resolved);
	drop(world, claim);
}

/*
 * A user has spent what is read for them a second. What is further in stays out of sight until it
 * is the turn of the outer one, which comes.
 */
static void test_not_yet(void **state)
{
#define USERS	    "/user.slice/user-1000.slice/user@1000.service"
#define USERS_STORE "/home/ann/.local/share/containers/storage/overlay-containers/"
	struct world *world = *state;
	const char *nested = USERS "/user.slice/libpod-" A ".scope/user.slice/libpod-" B ".scope";
	_cleanup_(freep) char *padding = calloc(1, 455001);
	const struct identity *identity;
	struct claim *claim;
	bool is_known = true;

	memset(padding, 'x', 455000);
	fake_write(&world->fake, "etc/passwd", "ann:x:1000:1000::/home/ann:/bin/sh\n");
	fake_write(&world->fake, USERS_STORE A "/userdata/config.json",
		   "{\"annotations\":{\"io.container.manager\":\"libpod\"},"
		   "\"linux\":{\"cgroupsPath\":\"user.slice:libpod:" A "\"},\"x\":\"%s\"}",
		   padding);
	fake_write(&world->fake, USERS_STORE B "/userdata/config.json",
		   "{\"annotations\":{\"io.container.manager\":\"libpod\"},"
		   "\"linux\":{\"cgroupsPath\":\"user.slice:libpod:" B "\"}}");
	for (size_t i = 0; i < 100 && is_known; i++) {
		claim = take(world, USERS "/user.slice/libpod-" A ".scope");
		is_known = identity_of(world, claim)->resolved;
		drop(world, claim);
	}
	assert_false(is_known);

	claim = take(world, nested);
	identity = identity_of(world, claim);
	assert_string_equal(identity->container_id, A);
	if (!identity->resolved)
		assert_int_equal(claims_due_ns(world->claims), world->now_ns + 250 * MS);

	fake_write(&world->fake, USERS_STORE A "/userdata/config.json",
		   "{\"annotations\":{\"io.container.manager\":\"libpod\"},"
		   "\"linux\":{\"cgroupsPath\":\"user.slice:libpod:" A "\"}}");
	tick(world, 250 * MS, false);
	identity = identity_of(world, claim);
	assert_string_equal(identity->container_id, A);
	assert_true(identity->resolved);
	drop(world, claim);
}

/* Callers look at an identity until the next tick, whoever has let go of it. */
static void test_dead_until_the_tick(void **state)
{
	struct world *world = *state;
	const struct identity *identity;
	struct claim *claim;

	fake_docker(&world->fake, A, "web1");
	claim = take(world, "/docker/" A);
	identity = identity_of(world, claim);
	drop(world, claim);
	assert_string_equal(identity->container_name, "web1");
	assert_int_equal(claims_due_ns(world->claims), UINT64_MAX);

	/* Back before the tick, it is the same one. */
	claim = take(world, "/docker/" A);
	assert_ptr_equal(identity_of(world, claim), identity);
	tick(world, 1, false);
	assert_string_equal(identity->container_name, "web1");
	drop(world, claim);
	tick(world, 1, false);
}

static void test_own(void **state)
{
	static const struct {
		const char *path; /* NULL: not known */
		enum identity_kind kind;
		const char *key; /* of the cgroup 7 */
	} rows[] = {
		{ "/system.slice/ssh.service", IDENTITY_UNIT, "unit:ssh.service" },
		{ "/system.slice/ssh.service/child", IDENTITY_UNIT, "unit:ssh.service" },
		{ "/user.slice/user-1000.slice/user@1000.service/ssh.service", IDENTITY_UNIT,
		  "unit:user@1000.service/ssh.service" },
		{ "/", IDENTITY_HOST, "host" },
		{ "/init.scope", IDENTITY_HOST, "host" },
		/* Of the rest each is for itself. */
		{ NULL, IDENTITY_UNKNOWN, "cgid:7" },
		{ "", IDENTITY_UNKNOWN, "cgid:7" },
		{ "/some/where", IDENTITY_UNKNOWN, "cgid:7" },
		{ "/..", IDENTITY_UNKNOWN, "cgid:7" },
		{ "/unit:ssh.service/x", IDENTITY_UNIT, "unit:unit:ssh.service" },
		{ "/cgid:8", IDENTITY_UNKNOWN, "cgid:7" },
		{ "/host", IDENTITY_UNKNOWN, "cgid:7" },
	};
	struct world *world = *state;

	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		struct subject *subject = claims_take_own(world->claims, rows[i].path, 7);
		struct subject *other = claims_take_own(world->claims, rows[i].path, 8);
		const struct identity *identity = subject_identity(subject);

		if (strcmp(identity->key, rows[i].key) != 0)
			fail_msg("%s: %s", rows[i].path, identity->key);
		assert_int_equal(identity->kind, rows[i].kind);
		assert_int_equal(subject == other, rows[i].kind != IDENTITY_UNKNOWN);
		subject_release(world->claims, other);
		subject_release(world->claims, subject);
		tick(world, 1, false);
	}
	assert_int_equal(claims_lookups(world->claims), 0);
	assert_int_equal(claims_unresolved(world->claims), 0);
}

/* As long as paths can be, and as deep: a claim each at most, and nothing left behind. */
static void test_deep(void **state)
{
	struct world *world = *state;
	char path[CGROUP_PATH_MAX] = "";
	struct claim *claim;
	uint64_t lookups;

	for (unsigned i = 0; strlen(path) + 80 < sizeof(path); i++)
		sprintf(path + strlen(path), "/docker-%064x.scope", i);
	claim = take(world, path);
	lookups = claims_lookups(world->claims);
	assert_true(lookups > 1 && lookups <= 9);
	assert_false(identity_of(world, claim)->resolved);
	drop(world, claim);
	assert_int_equal(claims_due_ns(world->claims), UINT64_MAX);
	assert_int_equal(claims_unresolved(world->claims), 0);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_whose),  TEST(test_asked_once),   TEST(test_backoff),
		TEST(test_budget), TEST(test_names_change), TEST(test_dead_until_the_tick),
		TEST(test_own),	   TEST(test_not_yet),	    TEST(test_deep),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
