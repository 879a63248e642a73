/* SPDX-License-Identifier: BSD-2-Clause */
#pragma once

/*
 * Whether we are in the initial PID namespace, so that PIDs are the host's: 1, 0, or -errno where
 * /proc does not tell.
 */
int pid_namespace_is_initial(void);
