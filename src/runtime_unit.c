/* SPDX-License-Identifier: BSD-2-Clause */
#include "runtime_unit.h"

#include <string.h>

#include "span.h"

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

bool runtime_unit_is(struct span name)
{
	const char *instance;

	if (!span_ends_with(name, ".service"))
		return false;
	name = span_without_suffix(name, ".service");
	instance = memchr(name.s, '@', name.n);
	if (instance)
		name.n = (size_t)(instance - name.s);
	for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
		if (span_equals(name, names[i]))
			return true;
	}
	return false;
}

bool runtime_unit_other_is_in(const char *path, size_t end)
{
	for (size_t at = 0; at < end;) {
		const char *slash = memchr(path + at, '/', end - at);
		struct span name = { path + at, slash ? (size_t)(slash - path) - at : end - at };

		if ((span_ends_with(name, ".service") || span_ends_with(name, ".scope")) &&
		    !runtime_unit_is(name))
			return true;
		at += name.n + 1;
	}
	return false;
}
