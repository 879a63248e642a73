/* SPDX-License-Identifier: BSD-2-Clause */
/* The life of a cached identity, with a clock and a host root of our own. */
#include <errno.h>
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "fake_root.h"
#include "src/cleanup.h"
#include "src/clock.h"
#include "src/resolver.h"

#define A      "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define B      "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"
#define DOCKER FAKE_DOCKER

#define MS 1000000ULL
#define S  1000000000ULL

struct world {
	struct fake_root fake;
	struct resolver *resolver;
	uint64_t now_ns;
};

static int setup(void **state)
{
	struct world *world = calloc(1, sizeof(*world));

	fake_open(&world->fake);
	assert_int_equal(resolver_new(world->fake.root, NULL, &world->resolver), 0);
	world->now_ns = 1000 * S;
	resolver_tick(world->resolver, world->now_ns);
	*state = world;
	return 0;
}

static int teardown(void **state)
{
	struct world *world = *state;

	resolver_free(world->resolver);
	fake_close(&world->fake);
	free(world);
	return 0;
}

static void pass(struct world *world, uint64_t ns)
{
	world->now_ns += ns;
	resolver_tick(world->resolver, world->now_ns);
}

static const struct identity *identify(struct world *world, uint64_t id)
{
	return resolver_identify(world->resolver, id, world->now_ns);
}

static struct resolver_stats stats(const struct world *world)
{
	struct resolver_stats stats;

	resolver_stats(world->resolver, &stats);
	return stats;
}

static void test_first_sight(void **state)
{
	struct world *world = *state;
	const struct identity *identity;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	/* The files may go before anybody asks. */
	fake_unlink(&world->fake, DOCKER);
	identity = identify(world, 7);
	assert_int_equal(identity->kind, IDENTITY_CONTAINER);
	assert_true(identity->resolved);
	assert_string_equal(identity->container_name, "web1");
	assert_string_equal(identity->key, A);
	assert_string_equal(identity->cgroup_path, "/docker/" A);
	assert_int_equal(identity->cgroup_id, 7);
	assert_string_equal(resolver_path(world->resolver, 7), "/docker/" A);
}

static void test_unknown_ids(void **state)
{
	struct world *world = *state;
	const struct identity *first = identify(world, 1234), *second = identify(world, 1235);

	assert_int_equal(first->kind, IDENTITY_UNKNOWN);
	assert_false(first->resolved);
	assert_string_equal(first->key, "cgid:1234");
	assert_int_equal(first->cgroup_id, 1234);
	assert_null(first->cgroup_path);
	assert_string_equal(second->key, "cgid:1235");
	assert_ptr_equal(identify(world, 1234), first);
	assert_null(resolver_path(world->resolver, 1234));

	/* The path can come later. */
	resolver_cgroup_made(world->resolver, 1234, "/system.slice/a.service");
	assert_string_equal(identify(world, 1234)->unit, "a.service");
}

static void test_children_inherit(void **state)
{
	struct world *world = *state;
	const struct identity *identity;
	uint64_t lookups;

	fake_docker(&world->fake, A, "web1");
	/* Seen through a child first. */
	resolver_cgroup_made(world->resolver, 8, "/docker/" A "/init.scope");
	identity = identify(world, 8);
	lookups = stats(world).lookups;
	for (uint64_t id = 100; id < 1100; id++) {
		char path[256];

		snprintf(path, sizeof(path), "/docker/" A "/system.slice/%" PRIu64 ".service", id);
		resolver_cgroup_made(world->resolver, id, path);
		assert_ptr_equal(identify(world, id), identity);
	}
	assert_int_equal(stats(world).lookups, lookups);

	assert_string_equal(identity->cgroup_path, "/docker/" A);
	assert_int_equal(identity->cgroup_id, 8);
	resolver_cgroup_made(world->resolver, 9, "/docker/" A);
	identity = identify(world, 9);
	assert_int_equal(identity->cgroup_id, 9);
}

static void test_restart_is_one_key(void **state)
{
	struct world *world = *state;
	const struct identity *old;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	old = identify(world, 7);
	resolver_cgroup_removed(world->resolver, 7);
	resolver_cgroup_made(world->resolver, 70, "/docker/" A);
	assert_ptr_equal(identify(world, 70), old);
	assert_ptr_equal(identify(world, 7), old);
	assert_string_equal(old->key, A);

	/* Also after the first cgroup is forgotten. */
	for (int i = 0; i < 10; i++) {
		pass(world, 10 * S);
		assert_string_equal(identify(world, 70)->container_name, "web1");
	}
	assert_int_equal(stats(world).cgroups, 1);
}

static void test_units_share_a_key(void **state)
{
	struct world *world = *state;

	resolver_cgroup_made(world->resolver, 1, "/system.slice/a.service");
	resolver_cgroup_made(world->resolver, 2, "/system.slice/a.service/child");
	assert_ptr_equal(identify(world, 1), identify(world, 2));
	assert_int_equal(identify(world, 2)->cgroup_id, 1);
}

static void test_backoff(void **state)
{
	/* What is due when, from the first look on, and 60 seconds apart at last. */
	static const uint64_t due_ms[] = { 250, 500, 1000, 4000, 15000, 60000, 60000 };
	struct world *world = *state;
	uint64_t lookups;

	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	assert_false(identify(world, 7)->resolved);
	assert_string_equal(identify(world, 7)->container_id, A);
	assert_string_equal(identify(world, 7)->runtime_name, "docker");
	assert_string_equal(identify(world, 7)->key, "path:/docker/" A);
	assert_int_equal(stats(world).unresolved, 1);

	for (size_t i = 0; i < sizeof(due_ms) / sizeof(due_ms[0]); i++) {
		lookups = stats(world).lookups;
		pass(world, due_ms[i] * MS - 1);
		assert_int_equal(stats(world).lookups, lookups);
		pass(world, 1);
		assert_int_equal(stats(world).lookups, lookups + 1);
	}
}

static void test_late_metadata(void **state)
{
	struct world *world = *state;

	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	resolver_cgroup_made(world->resolver, 8, "/docker/" A "/child");
	assert_false(identify(world, 8)->resolved);
	fake_docker(&world->fake, A, "web1");
	/* Identities change at ticks only. */
	assert_false(identify(world, 8)->resolved);
	pass(world, 1 * S);
	assert_string_equal(identify(world, 8)->container_name, "web1");
	assert_string_equal(identify(world, 7)->key, A);
	assert_int_equal(identify(world, 7)->cgroup_id, 7);
	assert_int_equal(stats(world).unresolved, 0);
}

static void test_settled_is_left_alone(void **state)
{
	struct world *world = *state;
	uint64_t lookups;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	resolver_cgroup_made(world->resolver, 8, "/system.slice/ssh.service");
	lookups = stats(world).lookups;
	for (int i = 0; i < 100; i++) {
		pass(world, 10 * S);
		identify(world, 7);
		identify(world, 8);
	}
	assert_int_equal(stats(world).lookups, lookups);
}

static void test_rename_is_seen(void **state)
{
	struct world *world = *state;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	pass(world, 10 * S);
	assert_string_equal(identify(world, 7)->container_name, "web1");

	fake_docker(&world->fake, A, "web2");
	pass(world, 10 * S);
	assert_string_equal(identify(world, 7)->container_name, "web2");

	/* A write that is caught half done takes no name away, and is read again. */
	fake_write(&world->fake, DOCKER A "/config.v2.json", "{\"ID\":");
	pass(world, 10 * S);
	assert_string_equal(identify(world, 7)->container_name, "web2");
	fake_docker(&world->fake, A, "web3");
	pass(world, 10 * S);
	assert_string_equal(identify(world, 7)->container_name, "web3");

	/* Nor does its removal. */
	fake_unlink(&world->fake, DOCKER A);
	pass(world, 10 * S);
	assert_string_equal(identify(world, 7)->container_name, "web3");
	assert_true(identify(world, 7)->resolved);
}

/* However late in a long interval it comes. */
static void test_rename_before_the_end(void **state)
{
	struct world *world = *state;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	pass(world, 10 * S);
	for (int i = 0; i < 9; i++) {
		world->now_ns += S;
		resolver_work(world->resolver, world->now_ns);
	}
	assert_string_equal(identify(world, 7)->container_name, "web1");
	fake_docker(&world->fake, A, "web2");
	pass(world, S);
	assert_string_equal(identify(world, 7)->container_name, "web2");
}

static void test_rename_with_short_ticks(void **state)
{
	struct world *world = *state;
	int seconds = 0;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	fake_docker(&world->fake, A, "web2");
	while (strcmp(identify(world, 7)->container_name, "web2") != 0 && seconds < 60) {
		pass(world, S);
		seconds++;
	}
	assert_in_range(seconds, 1, 10);
}

static void test_gone_is_kept_for_the_last_interval(void **state)
{
	struct world *world = *state;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	pass(world, S);
	resolver_cgroup_removed(world->resolver, 7);
	fake_unlink(&world->fake, DOCKER);

	pass(world, 29 * S);
	assert_string_equal(identify(world, 7)->container_name, "web1");
	pass(world, S);
	assert_int_equal(stats(world).cgroups, 1); /* used in the last interval */
	pass(world, S);
	pass(world, S);
	assert_int_equal(stats(world).cgroups, 0);
	assert_int_equal(identify(world, 7)->kind, IDENTITY_UNKNOWN);
}

/* However long an interval is, the last one is printed before the name goes. */
static void test_gone_with_long_intervals(void **state)
{
	struct world *world = *state;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 7, "/docker/" A);
	pass(world, 300 * S);
	resolver_cgroup_removed(world->resolver, 7);
	pass(world, 300 * S);
	assert_string_equal(identify(world, 7)->container_name, "web1");
	pass(world, 300 * S);
	pass(world, 300 * S);
	assert_int_equal(stats(world).cgroups, 0);
}

static void test_idle_are_forgotten(void **state)
{
	struct world *world = *state;

	resolver_cgroup_made(world->resolver, 7, "/system.slice/a.service");
	resolver_cgroup_made(world->resolver, 8, "/system.slice/b.service");
	for (int i = 0; i < 59; i++)
		pass(world, 10 * S);
	assert_int_equal(stats(world).cgroups, 2);
	identify(world, 8);
	pass(world, 10 * S);
	pass(world, 10 * S);
	assert_int_equal(stats(world).cgroups, 1);
}

static void test_eviction_order(void **state)
{
	struct world *world = *state;
	uint64_t id;

	for (id = 1; id <= 16384; id++)
		resolver_cgroup_made(world->resolver, id, "/system.slice/a.service");
	assert_int_equal(stats(world).cgroups, 16384);
	resolver_cgroup_removed(world->resolver, 5000);
	identify(world, 1);

	/* What has gone goes first, and is no loss. */
	resolver_cgroup_made(world->resolver, id++, "/system.slice/a.service");
	assert_null(resolver_path(world->resolver, 5000));
	assert_int_equal(stats(world).evicted,
			 1); /* by the question for 5000, which came in again */
	resolver_cgroup_removed(world->resolver, 5000);

	/* Then the one that was silent for longest: 2 made room for 5000, 3 is next, 1 was used. */
	resolver_cgroup_made(world->resolver, id++, "/system.slice/a.service");
	resolver_cgroup_made(world->resolver, id++, "/system.slice/a.service");
	assert_int_equal(stats(world).evicted, 2);
	assert_non_null(resolver_path(world->resolver, 1));
	assert_non_null(resolver_path(world->resolver, 4));
	assert_int_equal(stats(world).evicted, 2);
	assert_null(resolver_path(world->resolver, 3));
	assert_int_equal(stats(world).cgroups, 16384);
}

static void made_container(struct world *world, uint64_t id)
{
	char path[256];

	snprintf(path, sizeof(path), "/docker/%064" PRIx64, id);
	resolver_cgroup_made(world->resolver, id, path);
}

/* On a slow machine a turn ends by its time, long before its number of lookups. */
#define PASSES_MAX 5000

static void test_budget(void **state)
{
	struct world *world = *state;
	uint64_t lookups = 0, start_ns = monotonic_ns();

	for (uint64_t id = 1; id <= 1000; id++)
		made_container(world, id);
	/* Refilled once a second that this took. */
	assert_in_range(stats(world).lookups, 1, 200 * (2 + (monotonic_ns() - start_ns) / S));

	/* The rest is known by id and path meanwhile, and its turn comes. */
	for (uint64_t id = 1; id <= 1000; id++) {
		const struct identity *identity = identify(world, id);

		assert_int_equal(identity->kind, IDENTITY_CONTAINER);
		assert_non_null(identity->container_id);
		assert_false(identity->resolved);
	}
	for (int i = 0; i < PASSES_MAX && stats(world).lookups < 1000; i++) {
		lookups = stats(world).lookups;
		pass(world, S / 100);
		assert_in_range(stats(world).lookups - lookups, 0, 200);
	}
	assert_true(stats(world).lookups >= 1000);
	assert_int_equal(stats(world).unresolved, 1000);
}

/* While the outer link waits for its turn, nobody further in is believed. */
static void test_budget_is_no_way_in(void **state)
{
	struct world *world = *state;
	const struct identity *identity;

	fake_docker(&world->fake, A, "attacker");
	fake_docker(&world->fake, B, "victim");
	resolver_cgroup_made(world->resolver, 5000, "/docker/" B);
	for (uint64_t id = 1; id <= 1000; id++)
		made_container(world, id);
	resolver_cgroup_made(world->resolver, 5001, "/docker/" A "/docker/" B);
	identity = identify(world, 5001);
	assert_string_equal(identity->container_id, A);
	for (int i = 0; i < PASSES_MAX && !identity->resolved; i++) {
		pass(world, S / 100);
		identity = identify(world, 5001);
	}
	assert_string_equal(identity->container_name, "attacker");
}

static void test_refused(void **state)
{
	struct world *world = *state;

	fake_docker(&world->fake, B, "victim");
	fake_write(&world->fake,
		   "/run/containerd/io.containerd.runtime.v2.task/moby/" B "/config.json",
		   "{\"linux\":{\"cgroupsPath\":\"/docker/" B "\"}}");
	resolver_cgroup_made(world->resolver, 1, "/docker/" B);
	resolver_cgroup_made(world->resolver, 2, "/evil.service/docker-" B ".scope");
	assert_string_equal(identify(world, 1)->container_name, "victim");
	assert_int_equal(identify(world, 2)->kind, IDENTITY_UNIT);
	assert_null(identify(world, 2)->container_id);
	assert_string_not_equal(identify(world, 1)->key, identify(world, 2)->key);
	for (int i = 0; i < 10; i++)
		pass(world, 10 * S);
	assert_int_equal(identify(world, 2)->kind, IDENTITY_UNIT);
	assert_string_equal(identify(world, 1)->container_name, "victim");
}

/* An identity that somebody holds stays until the next tick, whatever happens to its cgroup. */
static void test_identities_outlive_eviction(void **state)
{
	struct world *world = *state;
	const struct identity *identity;

	fake_docker(&world->fake, A, "web1");
	resolver_cgroup_made(world->resolver, 100000, "/docker/" A);
	identity = identify(world, 100000);
	for (uint64_t id = 1; id <= 20000; id++)
		resolver_cgroup_made(world->resolver, id, "/system.slice/a.service");
	assert_true(stats(world).evicted > 0);
	assert_string_equal(identity->container_name, "web1");
}

static void test_many(void **state)
{
	struct world *world = *state;
	uint64_t start_ns;

	for (uint64_t id = 1; id <= 1000; id++) {
		char hash[65];

		snprintf(hash, sizeof(hash), "%064" PRIx64, id);
		fake_docker(&world->fake, hash, "web");
	}
	start_ns = monotonic_ns();
	for (uint64_t id = 1; id <= 1000; id++) {
		made_container(world, id);
		if (id % 100 == 0)
			pass(world, S);
	}
	/* The budget of a pass is in real time, which on a busy machine is not much. */
	for (int i = 0; i < PASSES_MAX && stats(world).unresolved > 0; i++)
		pass(world, S);
	for (uint64_t id = 1; id <= 1000; id++)
		assert_true(identify(world, id)->resolved);
	print_message("1000 containers in %.3f s\n", (double)(monotonic_ns() - start_ns) / S);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
		TEST(test_first_sight),
		TEST(test_unknown_ids),
		TEST(test_children_inherit),
		TEST(test_restart_is_one_key),
		TEST(test_units_share_a_key),
		TEST(test_backoff),
		TEST(test_late_metadata),
		TEST(test_settled_is_left_alone),
		TEST(test_rename_is_seen),
		TEST(test_rename_before_the_end),
		TEST(test_rename_with_short_ticks),
		TEST(test_gone_is_kept_for_the_last_interval),
		TEST(test_gone_with_long_intervals),
		TEST(test_idle_are_forgotten),
		TEST(test_eviction_order),
		TEST(test_budget),
		TEST(test_budget_is_no_way_in),
		TEST(test_refused),
		TEST(test_identities_outlive_eviction),
		TEST(test_many),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
