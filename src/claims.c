/* SPDX-License-Identifier: BSD-2-Clause */
#include "claims.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cleanup.h"
#include "clock.h"
#include "host_cache.h"
#include "identify.h"
#include "table.h"

#define N_BUCKETS 8192

#define MS NSEC_PER_MSEC
#define S  NSEC_PER_SEC

/* The budget of an interval, or of a second if that is shorter: retries leave half to what is new.
 */
#define BUDGET_LOOKUPS 200
#define BUDGET_NS      (50 * MS)
#define RETRY_LOOKUPS  (BUDGET_LOOKUPS / 2)
#define REFILL_NS      S

/* A runtime writes its files before the container starts, but its root may be mounted late. */
static const uint64_t backoff_ns[] = { 250 * MS, 500 * MS, 1 * S, 4 * S, 15 * S };
#define N_BACKOFF     (sizeof(backoff_ns) / sizeof(backoff_ns[0]))
#define UNRESOLVED_NS (60 * S)

/* Names are looked at every 5 to 8 seconds, not all at once. */
#define WATCH_NS	(5 * S)
#define WATCH_SPREAD_NS (3 * S)

/* What was missing is looked for anew, at most this often: for young claims, and for old ones. */
#define FORGET_YOUNG_NS (200 * MS)
#define FORGET_OLD_NS	(55 * S)

struct subject {
	struct table_link by_key;
	struct list dead;
	struct identity identity;
	uint32_t refs;
};

struct claim {
	struct table_link by_path;
	struct list work; /* in claims->work while it is to be asked again */
	struct claim *outer;
	struct subject *subject;
	struct candidate candidate;
	enum link_verdict verdict;
	uint32_t refs;
	uint32_t tries;
	uint64_t due_ns;
	struct container_watch watches[CONTAINER_WATCHES_MAX];
	size_t n_watches;
	bool is_outermost;
	char path[]; /* as far as the link */
};

struct claims {
	const struct host_root *root;
	struct cgroup_tree *tree;
	struct table claims_by_path;
	struct table subjects_by_key;
	struct list work; /* newest first */
	struct list dead; /* subjects that a caller may still look at */
	uint64_t lookups;
	uint32_t lookups_left;
	int64_t time_left_ns;
	uint64_t refilled_ns;
	uint64_t forgot_ns;
	uint64_t due_ns; /* no later than the first of work; the tick brings it up to date */
	bool in_tick;
	bool is_granted; /* no refill until the next tick */
};

static void refill(struct claims *claims)
{
	claims->lookups_left = BUDGET_LOOKUPS;
	claims->time_left_ns = (int64_t)BUDGET_NS;
	claims->refilled_ns = monotonic_ns();
	claims->is_granted = false;
}

void claims_grant(struct claims *claims, uint32_t n)
{
	claims->lookups_left = n;
	claims->time_left_ns = INT64_MAX;
	claims->is_granted = true;
}

int claims_new(const struct host_root *root, struct cgroup_tree *tree, struct claims **ret)
{
	struct claims *claims;

	claims = calloc(1, sizeof(*claims));
	if (!claims)
		return -ENOMEM;
	claims->root = root;
	claims->tree = tree;
	claims->due_ns = UINT64_MAX;
	list_init(&claims->work);
	list_init(&claims->dead);
	if (table_init(&claims->claims_by_path, N_BUCKETS) < 0 ||
	    table_init(&claims->subjects_by_key, N_BUCKETS) < 0) {
		claims_free(claims);
		return -ENOMEM;
	}
	refill(claims);
	*ret = claims;
	return 0;
}

const struct identity *subject_identity(const struct subject *subject)
{
	return &subject->identity;
}

static struct subject *find_subject(const struct claims *claims, const char *key, uint64_t hash)
{
	struct table_link *link;

	for (link = table_first(&claims->subjects_by_key, hash); link; link = link->next) {
		struct subject *subject = container_of(link, struct subject, by_key);

		if (link->hash == hash && strcmp(subject->identity.key, key) == 0)
			return subject;
	}
	return NULL;
}

/* What is in @from replaces what is known, but for the cgroup: the first one found stays. */
static void update_identity(struct identity *identity, struct identity *from)
{
	struct identity old = *identity;

	*identity = *from;
	identity->cgroup_id = old.cgroup_id;
	identity_done(&old);
	*from = (struct identity){ 0 };
}

/* The subject with the key of @identity, which is taken over; referenced. NULL without memory. */
static struct subject *take_subject(struct claims *claims, struct identity *identity)
{
	uint64_t hash = table_hash(&claims->subjects_by_key, identity->key, strlen(identity->key));
	struct subject *subject = find_subject(claims, identity->key, hash);

	if (subject) {
		/* Between ticks somebody may be looking at it. */
		if (claims->in_tick)
			update_identity(&subject->identity, identity);
		if (subject->refs == 0)
			list_remove(&subject->dead);
	} else {
		subject = calloc(1, sizeof(*subject));
		if (subject) {
			list_init(&subject->dead);
			subject->identity = *identity;
			*identity = (struct identity){ 0 };
			table_add(&claims->subjects_by_key, &subject->by_key, hash);
		}
	}
	identity_done(identity);
	if (subject)
		subject->refs++;
	return subject;
}

void subject_release(struct claims *claims, struct subject *subject)
{
	if (subject && --subject->refs == 0)
		list_insert_after(&claims->dead, &subject->dead);
}

static void free_subject(struct claims *claims, struct subject *subject)
{
	table_remove(&claims->subjects_by_key, &subject->by_key);
	list_remove(&subject->dead);
	identity_done(&subject->identity);
	free(subject);
}

static void bury_dead(struct claims *claims)
{
	while (!list_is_empty(&claims->dead))
		free_subject(claims, container_of(claims->dead.next, struct subject, dead));
}

struct subject *claims_take_own(struct claims *claims, const char *path, uint64_t id)
{
	struct cgroup_parse parse;
	struct identity identity;

	if (path) {
		cgroup_path_parse(path, &parse);
		/* The top of a view is somebody's cgroup, and no claim to be the host. */
		if (claims->tree && !cgroup_tree_is_whole(claims->tree))
			parse.is_root = false;
		if (identify_make_own(path, &parse, &identity) < 0)
			return NULL;
	} else {
		identity = (struct identity){ .kind = IDENTITY_UNKNOWN };
	}

	/* What is not known to belong to anything is summed with nothing. */
	if (identity.kind == IDENTITY_UNKNOWN) {
		free(identity.key);
		if (asprintf(&identity.key, "cgid:%" PRIu64, id) < 0) {
			identity.key = NULL;
			identity_done(&identity);
			return NULL;
		}
	}
	return take_subject(claims, &identity);
}

/* @path names the cgroup @identity is about; one may lack the leading slash. */
static bool is_own_path(const struct identity *identity, const char *path)
{
	return path && identity->cgroup_path && strcmp(identity->cgroup_path, path) == 0;
}

void subject_seen(struct claims *claims, struct subject *subject, const char *path, uint64_t id)
{
	struct identity *identity = &subject->identity;
	uint64_t own;

	if (is_own_path(identity, path) || !identity->cgroup_path)
		identity->cgroup_id = id; /* the latest: a restart makes the cgroup anew */
	if (identity->cgroup_id != 0)
		return;
	if (claims->tree && cgroup_tree_id(claims->tree, identity->cgroup_path, &own) == 0)
		identity->cgroup_id = own;
	else
		identity->cgroup_id = id;
}

static void drop_watches(struct claim *claim)
{
	for (size_t i = 0; i < claim->n_watches; i++) {
		free(claim->watches[i].base);
		free(claim->watches[i].path);
	}
	claim->n_watches = 0;
}

static void free_claim(struct claims *claims, struct claim *claim)
{
	table_remove(&claims->claims_by_path, &claim->by_path);
	list_remove(&claim->work);
	subject_release(claims, claim->subject);
	drop_watches(claim);
	free(claim);
}

void claim_release(struct claims *claims, struct claim *claim)
{
	while (claim && --claim->refs == 0) {
		struct claim *outer = claim->outer;

		free_claim(claims, claim);
		claim = outer;
	}
}

static int set_subject(struct claims *claims, struct claim *claim, const struct link_answer *answer)
{
	struct identity identity;
	struct subject *subject;
	int r;

	r = identify_make(claim->path, &claim->candidate, answer, &identity);
	if (r < 0)
		return r;
	subject = take_subject(claims, &identity);
	if (!subject)
		return -ENOMEM;

	if (claim->subject && subject->identity.cgroup_id == 0)
		subject->identity.cgroup_id = claim->subject->identity.cgroup_id;
	subject_release(claims, claim->subject);
	claim->subject = subject;
	return 0;
}

static bool budget_is_spent(struct claims *claims)
{
	return claims->lookups_left == 0 || claims->time_left_ns <= 0;
}

static uint64_t watch_ns(const struct claim *claim)
{
	return WATCH_NS + claim->by_path.hash % WATCH_SPREAD_NS;
}

static void expect_due(struct claims *claims, uint64_t due_ns)
{
	if (due_ns < claims->due_ns)
		claims->due_ns = due_ns;
}

/* When to ask again, if at all. Young claims stand in front, the others take turns behind them. */
static void schedule(struct claims *claims, struct claim *claim, uint64_t now_ns)
{
	bool is_young = claim->tries <= N_BACKOFF;

	list_remove(&claim->work);
	if (claim->n_watches > 0)
		claim->due_ns = now_ns + watch_ns(claim);
	else if (claim->verdict == LINK_ACCEPTED)
		return;
	else
		claim->due_ns = now_ns + (is_young ? backoff_ns[claim->tries - 1] : UNRESOLVED_NS);
	list_insert_after(is_young && claim->n_watches == 0 ? &claims->work : claims->work.prev,
			  &claim->work);
	expect_due(claims, claim->due_ns);
}

static void take_answer(struct claims *claims, struct claim *claim, struct link_answer *answer)
{
	claim->verdict = answer->verdict;
	if (answer->verdict != LINK_REFUSED &&
	    (!claim->candidate.is_guess || answer->verdict == LINK_ACCEPTED))
		(void)set_subject(claims, claim, answer);

	drop_watches(claim);
	memcpy(claim->watches, answer->container.watches, sizeof(claim->watches));
	claim->n_watches = answer->container.n_watches;
	answer->container.n_watches = 0;
}

/* Asks the runtimes. A container that is no longer known keeps the names that it had. */
static void look_up(struct claims *claims, struct claim *claim, uint64_t now_ns)
{
	uint64_t started_ns = monotonic_ns();
	struct link_answer answer;

	claims->lookups++;
	claims->lookups_left--;
	claim->tries++;
	identify_ask(claims->root, claim->path, &claim->candidate, claim->is_outermost, NULL,
		     &answer);
	if (claim->verdict != LINK_ACCEPTED || answer.verdict == LINK_ACCEPTED)
		take_answer(claims, claim, &answer);
	link_answer_done(&answer);
	schedule(claims, claim, now_ns);

	claims->time_left_ns -= (int64_t)(monotonic_ns() - started_ns);
}

/*
 * Missing directories are remembered as missing. Before a claim is asked they are looked for
 * anew, unless that was just done; old claims, of which there may be many for ever, do so rarely.
 */
static void forget_missing(struct claims *claims, const struct claim *claim, uint64_t now_ns)
{
	uint64_t age = claim->tries <= N_BACKOFF ? FORGET_YOUNG_NS : FORGET_OLD_NS;

	if (now_ns - claims->forgot_ns < age)
		return;
	host_cache_forget(host_root_cache(claims->root));
	claims->forgot_ns = now_ns;
}

static void look_up_new(struct claims *claims, struct claim *claim, uint64_t now_ns)
{
	if (!claims->is_granted && monotonic_ns() - claims->refilled_ns >= REFILL_NS)
		refill(claims);
	if (budget_is_spent(claims)) {
		claim->due_ns = 0; /* at the next tick */
		list_insert_after(&claims->work, &claim->work);
		expect_due(claims, claim->due_ns);
		return;
	}
	forget_missing(claims, claim, now_ns);
	look_up(claims, claim, now_ns);
}

static struct claim *find_claim(const struct claims *claims, const char *path, size_t len,
				bool is_pod, uint64_t hash)
{
	struct table_link *link;

	for (link = table_first(&claims->claims_by_path, hash); link; link = link->next) {
		struct claim *claim = container_of(link, struct claim, by_path);

		if (link->hash == hash && claim->candidate.is_pod == is_pod &&
		    strncmp(claim->path, path, len) == 0 && claim->path[len] == 0)
			return claim;
	}
	return NULL;
}

/* The claim of @candidate on @path, referenced; it takes over the reference to @outer. */
static struct claim *take_claim(struct claims *claims, const char *path,
				const struct candidate *candidate, struct claim *outer,
				bool is_outermost, uint64_t now_ns)
{
	size_t len = candidate->link.end;
	uint64_t hash = table_hash(&claims->claims_by_path, path, len);
	struct claim *claim = find_claim(claims, path, len, candidate->is_pod, hash);

	if (claim) {
		claim->refs++;
		claim_release(claims, outer);
		return claim;
	}

	claim = calloc(1, sizeof(*claim) + len + 1);
	if (!claim)
		return NULL;
	list_init(&claim->work);
	claim->candidate = *candidate;
	claim->outer = outer;
	claim->is_outermost = is_outermost;
	claim->refs = 1;
	memcpy(claim->path, path, len);
	table_add(&claims->claims_by_path, &claim->by_path, hash);
	look_up_new(claims, claim, now_ns);
	return claim;
}

/* Nothing further in can change whose it is. */
static bool ends_chain(const struct claim *claim)
{
	return claim->verdict == LINK_ACCEPTED || claim->verdict == LINK_OPAQUE;
}

int claims_take(struct claims *claims, const char *path, uint64_t now_ns, struct claim **ret)
{
	struct candidate candidates[CANDIDATES_MAX];
	struct cgroup_parse parse;
	struct claim *claim = NULL;
	size_t n;

	cgroup_path_parse(path, &parse);
	n = identify_candidates(path, &parse, candidates);
	for (size_t i = 0; i < n; i++) {
		bool is_outermost = i == 0 || (i == 1 && candidates[0].is_guess);
		struct claim *next;

		next = take_claim(claims, path, &candidates[i], claim, is_outermost, now_ns);
		if (!next) {
			claim_release(claims, claim);
			return -ENOMEM;
		}
		claim = next;
		if (ends_chain(claim))
			break;
	}
	*ret = claim;
	return 0;
}

struct subject *claim_subject(struct claims *claims, struct claim *claim)
{
	struct candidate candidates[CANDIDATES_MAX];
	enum link_verdict verdicts[CANDIDATES_MAX];
	struct claim *chain[CANDIDATES_MAX];
	size_t n = 0, chosen;

	for (struct claim *c = claim; c && n < CANDIDATES_MAX; c = c->outer)
		n++;
	for (size_t i = n; i > 0; i--, claim = claim->outer) {
		chain[i - 1] = claim;
		verdicts[i - 1] = claim->verdict;
		candidates[i - 1] = claim->candidate;
	}

	chosen = n > 0 ? identify_choose(verdicts, candidates, n) : CHOSEN_NONE;
	if (chosen == CHOSEN_NONE)
		return NULL;
	/* Over budget, it has not been asked yet. */
	if (!chain[chosen]->subject) {
		struct link_answer unasked = { .verdict = LINK_UNASKED };

		(void)set_subject(claims, chain[chosen], &unasked);
	}
	return chain[chosen]->subject;
}

/* Whether a watched file is another one than was read. One that has gone names nobody anew. */
static bool has_changed(const struct claims *claims, const struct claim *claim)
{
	for (size_t i = 0; i < claim->n_watches; i++) {
		const struct container_watch *watch = &claim->watches[i];
		struct file_stamp stamp;
		int fd = host_cache_dir(claims->root, watch->base);

		if (fd >= 0 && host_root_stat_at(fd, watch->path, &stamp) == 0 &&
		    !file_stamp_equal(&stamp, &watch->stamp))
			return true;
	}
	return false;
}

/* Half of the budget is left to the cgroups that are yet to come. */
static bool retries_are_spent(const struct claims *claims)
{
	return claims->lookups_left <= BUDGET_LOOKUPS - RETRY_LOOKUPS ||
	       claims->time_left_ns <= (int64_t)BUDGET_NS / 2;
}

static void work_on(struct claims *claims, struct claim *claim, uint64_t now_ns)
{
	if (claim->n_watches > 0 && !has_changed(claims, claim)) {
		schedule(claims, claim, now_ns);
		return;
	}
	if (retries_are_spent(claims))
		return;
	if (claim->verdict != LINK_ACCEPTED)
		forget_missing(claims, claim, now_ns);
	look_up(claims, claim, now_ns);
}

static bool is_due(const struct claim *claim, uint64_t now_ns, bool all_names)
{
	/* Not what was looked at in this very tick, and put back. */
	if (all_names && claim->n_watches > 0)
		return claim->due_ns - watch_ns(claim) < now_ns;
	return claim->due_ns <= now_ns;
}

void claims_tick(struct claims *claims, uint64_t now_ns, bool all_names)
{
	struct list *item, *next;

	bury_dead(claims);
	host_cache_trim(host_root_cache(claims->root));
	refill(claims);

	claims->in_tick = true;
	claims->due_ns = UINT64_MAX;
	for (item = claims->work.next; item != &claims->work; item = next) {
		struct claim *claim = container_of(item, struct claim, work);

		/* What is put back goes to either end, is not due, and ends the loop at the latest.
		 */
		next = item->next;
		if (is_due(claim, now_ns, all_names))
			work_on(claims, claim, now_ns);
		if (!list_is_empty(&claim->work))
			expect_due(claims, claim->due_ns);
	}
	claims->in_tick = false;
	bury_dead(claims);
}

uint64_t claims_due_ns(const struct claims *claims)
{
	return list_is_empty(&claims->work) ? UINT64_MAX : claims->due_ns;
}

uint64_t claims_lookups(const struct claims *claims)
{
	return claims->lookups;
}

uint32_t claims_unresolved(const struct claims *claims)
{
	uint32_t n = 0;

	for (size_t i = 0; i < claims->subjects_by_key.n_buckets; i++)
		for (struct table_link *link = claims->subjects_by_key.buckets[i]; link;
		     link = link->next) {
			const struct subject *subject = container_of(link, struct subject, by_key);

			if (subject->refs > 0 && !subject->identity.resolved &&
			    identity_in_container(&subject->identity))
				n++;
		}
	return n;
}

void claims_free(struct claims *claims)
{
	if (!claims)
		return;

	/* Whoever still refers to one holds a dangling pointer; the resolver frees its entries
	 * first. */
	if (claims->subjects_by_key.buckets)
		bury_dead(claims);
	table_done(&claims->claims_by_path);
	table_done(&claims->subjects_by_key);
	free(claims);
}
