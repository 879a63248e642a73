/* SPDX-License-Identifier: BSD-2-Clause */
#include "privileges.h"

#include <errno.h>
#include <string.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "cleanup.h"

struct need {
	cap_value_t capability;
	cap_value_t or_capability; /* what older kernels and container engines know instead */
	const char *name;
	const char *purpose;
	bool foreign_root_only;
};

static const struct need needs[] = {
	{ CAP_BPF, CAP_SYS_ADMIN, "CAP_BPF", "to load the BPF programs", false },
	{ CAP_PERFMON, CAP_SYS_ADMIN, "CAP_PERFMON", "to attach them to system calls", false },
	{ CAP_DAC_READ_SEARCH, CAP_DAC_READ_SEARCH, "CAP_DAC_READ_SEARCH",
	  "to turn cgroup ids into paths and read the runtimes' state files", false },
	{ CAP_SYS_PTRACE, CAP_SYS_PTRACE, "CAP_SYS_PTRACE",
	  "to read the host's files through /proc/1/root", true },
};

static void cap_freep(cap_t *caps)
{
	if (*caps)
		cap_free(*caps);
}

static bool has(cap_t caps, cap_value_t capability)
{
	cap_flag_value_t value = CAP_CLEAR;

	return cap_get_flag(caps, capability, CAP_EFFECTIVE, &value) == 0 && value == CAP_SET;
}

/* Whether @path is the root of a process in /proc, wherever that is mounted, or below it. */
static bool is_process_root(const char *path)
{
	static const char dir[] = "/proc/", root[] = "/root";

	for (const char *s = strstr(path, dir); s; s = strstr(s + 1, dir)) {
		const char *process = s + strlen(dir), *rest = process + strcspn(process, "/");

		if (rest == process || strncmp(rest, root, strlen(root)) != 0)
			continue;
		rest += strlen(root);
		if (*rest == 0 || *rest == '/')
			return true;
	}
	return false;
}

/*
 * The kernel shows the root of a process to those that may trace it. For our own user's processes
 * with no more capabilities than ours no privilege is needed, so that only trying tells; and once
 * it is open, it stays so.
 */
static bool needs_tracer(const char *root, int root_error)
{
	return (root_error == -EACCES || root_error == -EPERM) && is_process_root(root);
}

int privileges_check(const char *root, int root_error, FILE *err)
{
	_cleanup_(cap_freep) cap_t caps = cap_get_proc();

	if (!caps) {
		fprintf(err, "cgscope: cannot read the own capabilities\n");
		return 1;
	}
	return privileges_check_of(caps, root, root_error, err);
}

int privileges_check_of(cap_t caps, const char *root, int root_error, FILE *err)
{
	bool foreign_root = needs_tracer(root, root_error);
	/* Root without it is root in a container, mostly. */
	const char *advice = geteuid() == 0 ? "give it to the container (Docker's --cap-add or "
					      "--privileged, the chart's capabilities) or to the "
					      "service (systemd's CapabilityBoundingSet)"
					    : "run as root, or grant it (setcap)";
	int n_missing = 0;

	for (size_t i = 0; i < sizeof(needs) / sizeof(*needs); i++) {
		const struct need *need = &needs[i];

		if (need->foreign_root_only && !foreign_root)
			continue;
		if (has(caps, need->capability) || has(caps, need->or_capability))
			continue;
		fprintf(err, "cgscope: missing capability %s, needed %s; %s\n", need->name,
			need->purpose, advice);
		n_missing++;
	}
	return n_missing;
}

static int set_only(const cap_value_t *keep, int n_keep)
{
	_cleanup_(cap_freep) cap_t caps = cap_init();

	if (!caps)
		return -ENOMEM;
	if (cap_set_flag(caps, CAP_PERMITTED, n_keep, keep, CAP_SET) < 0 ||
	    cap_set_flag(caps, CAP_EFFECTIVE, n_keep, keep, CAP_SET) < 0 || cap_set_proc(caps) < 0)
		return -errno;
	return 0;
}

/* Out of the effective set only, so that it can come back. */
static int suspend(cap_value_t capability)
{
	_cleanup_(cap_freep) cap_t caps = cap_get_proc();

	if (!caps || cap_set_flag(caps, CAP_EFFECTIVE, 1, &capability, CAP_CLEAR) < 0 ||
	    cap_set_proc(caps) < 0)
		return -errno;
	return 0;
}

int privileges_drop(bool (*still_works)(void *data), void *data)
{
	cap_value_t keep[] = { CAP_DAC_READ_SEARCH, CAP_BPF };
	_cleanup_(cap_freep) cap_t caps = cap_get_proc();
	cap_value_t bpf;
	int r;

	if (!caps)
		return -errno;
	bpf = has(caps, CAP_BPF) ? CAP_BPF : CAP_SYS_ADMIN;
	keep[1] = bpf;
	r = set_only(keep, 2);
	if (r < 0)
		return r;
	r = suspend(bpf);
	if (r < 0)
		return r;
	r = set_only(keep, still_works(data) ? 1 : 2);
	if (r < 0)
		return r;
	return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ? -errno : 0;
}
