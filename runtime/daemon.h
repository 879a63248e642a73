/* SPDX-License-Identifier: BSD-2-Clause */
/* What a runtime's daemon was given on its command line. */
#pragma once

#include "src/host_root.h"

/*
 * The value of the option @name ("--data-root") of the daemon whose PID is in the file @pid_file,
 * the last if there are several; the caller frees it. NULL: there is none, or no such daemon.
 *
 * A daemon that was killed leaves its file behind, and somebody in a container may have its PID
 * by then: who is in a container, or is not root, is no daemon of the host's.
 */
char *daemon_option(const struct host_root *root, const char *pid_file, const char *name);
