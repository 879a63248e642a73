/* SPDX-License-Identifier: BSD-2-Clause */
#include "report_filter.h"

#include <string.h>

#include "glob.h"
#include "report.h"
#include "syscalls.h"

/* Shorter ones are rather the names of containers: "db", "cafe" have hex digits only. */
#define ID_PREFIX_MIN 4

static bool matches_any(const struct string_list *globs, const char *name)
{
	for (size_t i = 0; name && i < globs->n; i++) {
		if (glob_match(globs->items[i], name))
			return true;
	}
	return false;
}

static bool id_matches_any(const struct string_list *prefixes, const char *id)
{
	for (size_t i = 0; id && i < prefixes->n; i++) {
		size_t n = strlen(prefixes->items[i]);

		if (n >= ID_PREFIX_MIN && strspn(prefixes->items[i], "0123456789abcdef") == n &&
		    strncmp(id, prefixes->items[i], n) == 0)
			return true;
	}
	return false;
}

bool report_takes_identity(const struct identity *identity, const struct options *options)
{
	if (options->containers_only && !identity_in_container(identity))
		return false;
	if (options->containers.n && !matches_any(&options->containers, identity->container_name) &&
	    !matches_any(&options->containers, identity->k8s_container_name) &&
	    !matches_any(&options->containers, identity->container_id) &&
	    !id_matches_any(&options->containers, identity->container_id))
		return false;
	if (options->pods.n && !matches_any(&options->pods, identity->pod_name))
		return false;
	if (options->namespaces.n && !matches_any(&options->namespaces, identity->namespace_name))
		return false;
	return true;
}

bool filter_takes_pid(const struct filter *filter, int32_t pid)
{
	const struct options *options = filter->options;

	/* What is summed up without a PID has passed this filter in the kernel. */
	if (pid == 0)
		return true;
	for (size_t i = 0; i < options->n_pids; i++) {
		if (options->pids[i] == pid)
			return true;
	}
	return options->n_pids == 0;
}

static bool takes_syscall(const struct options *options, uint32_t nr, uint32_t abi)
{
	char buffer[SYSCALL_NAME_MAX];
	const char *name;

	/* The ledger sums up only what is wanted. */
	if (options->syscalls.n == 0 || nr == CALL_NR_OTHERS)
		return true;
	name = syscall_name(nr, abi, buffer);
	for (size_t i = 0; i < options->syscalls.n; i++) {
		if (strcmp(options->syscalls.items[i], name) == 0)
			return true;
	}
	return false;
}

uint8_t filter_verdict(struct filter *filter, uint32_t nr, uint32_t abi)
{
	bool is_usual = abi < CALL_ABI_N_ && nr < CALLS_MAX;
	uint8_t verdict;

	if (is_usual && filter->verdicts[abi][nr])
		return filter->verdicts[abi][nr];

	verdict = VERDICT_KNOWN;
	if (takes_syscall(filter->options, nr, abi))
		verdict |= VERDICT_WANTED;
	if (syscall_is_wait(nr, abi))
		verdict |= VERDICT_WAIT;
	if (is_usual)
		filter->verdicts[abi][nr] = verdict;
	return verdict;
}
