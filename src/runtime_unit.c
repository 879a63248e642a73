/* SPDX-License-Identifier: BSD-2-Clause */
#include "runtime_unit.h"

#include <string.h>

/* As their packages call them; an instance of one ("containerd@x") is one, too. */
static const char *const names[] = {
	"docker",
	"dockerd",
	"containerd",
	"crio",
	"cri-o",
	"cri-docker",
	"podman",
	"buildkit",
	"buildkitd",
	"kubelet",
	"k3s",
	"k3s-agent",
	"rke2-server",
	"rke2-agent",
	"k0scontroller",
	"k0sworker",
	"nomad",
	"lxd",
	"incus",
	"balena",
	"balena-engine",
	"moby-engine",
	"host-containerd",
	"snap.docker.dockerd",
	"snap.lxd.daemon",
	"snap.microk8s.daemon-containerd",
	"snap.microk8s.daemon-kubelite",
	"snap.k8s.containerd",
};

static bool ends_with(const char *name, size_t n, const char *suffix)
{
	size_t n_suffix = strlen(suffix);

	return n > n_suffix && memcmp(name + n - n_suffix, suffix, n_suffix) == 0;
}

bool runtime_unit_is(const char *name, size_t n)
{
	const char *instance;

	if (!ends_with(name, n, ".service"))
		return false;
	n -= strlen(".service");
	instance = memchr(name, '@', n);
	if (instance)
		n = (size_t)(instance - name);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (strlen(names[i]) == n && memcmp(names[i], name, n) == 0)
			return true;
	}
	return false;
}

bool runtime_unit_other_is_in(const char *path, size_t end)
{
	for (size_t at = 0, n; at < end; at += n + 1) {
		const char *slash = memchr(path + at, '/', end - at);

		n = slash ? (size_t)(slash - path) - at : end - at;
		if ((ends_with(path + at, n, ".service") || ends_with(path + at, n, ".scope")) &&
		    !runtime_unit_is(path + at, n))
			return true;
	}
	return false;
}
