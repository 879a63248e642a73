/* SPDX-License-Identifier: BSD-2-Clause */
/* Every runtime's one object; runtimes[] has them in order. */
#pragma once

#include "runtime/runtime.h"

extern const struct runtime containerd_runtime;
extern const struct runtime docker_runtime;
