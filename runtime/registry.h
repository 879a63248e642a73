/* SPDX-License-Identifier: BSD-2-Clause */
/* Every runtime's one object; runtimes[] has them in order. */
#pragma once

#include "runtime/runtime.h"

extern const struct runtime containerd_runtime;
extern const struct runtime crio_runtime;
extern const struct runtime docker_runtime;
extern const struct runtime libvirt_lxc_runtime;
extern const struct runtime libvirt_qemu_runtime;
extern const struct runtime lxc_runtime;
extern const struct runtime nspawn_runtime;
extern const struct runtime podman_runtime;
