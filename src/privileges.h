/* SPDX-License-Identifier: BSD-2-Clause */
/* The capabilities cgscope needs, what for, and how it gives them up. */
#pragma once

#include <stdbool.h>
#include <stdio.h>
#include <sys/capability.h>

/*
 * Names each missing capability on @err, one line each, with what it is for and how to get it.
 * @root, @root_error: the host's root, and what came of opening it (0 or -errno), which alone
 * tells whether it takes a tracer's privileges. Returns how many are missing.
 */
int privileges_check(const char *root, int root_error, FILE *err);

/* The same of other capabilities than our own. */
int privileges_check_of(cap_t caps, const char *root, int root_error, FILE *err);

/*
 * Gives up all capabilities but CAP_DAC_READ_SEARCH (handles and 0600 files, for as long as new
 * containers come), and CAP_BPF if @still_works says that reading the maps fails without it
 * (before 5.19 any bpf(2) wants it where kernel.unprivileged_bpf_disabled is set). Sets
 * no_new_privs. Returns 0 or -errno.
 */
int privileges_drop(bool (*still_works)(void *data), void *data);
