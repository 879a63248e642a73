/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * `cgscope check`: whether this machine can run cgscope, and which runtimes it can read. One line
 * a finding on @out. Returns the exit code: 0 if it can run, 1 if something it needs is missing.
 * Does not flush @out.
 */
#pragma once

#include <stdio.h>

#include "options.h"

int check_machine(const struct options *options, FILE *out);
