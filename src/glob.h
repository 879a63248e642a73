/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Shell patterns over names and paths: "*" and "?" (which match "/" as well), "[a-z]", "[!a-z]".
 * A backslash is a character like any other, since systemd's names are full of them
 * ("machine-qemu\x2d1.scope"); "[*]" is a star, and so is a "[" that has no "]", as in fnmatch(3).
 * Byte by byte, in any locale.
 */
#pragma once

#include <stdbool.h>

/* Whether all of @text is as @pattern says. */
bool glob_match(const char *pattern, const char *text);

/* Whether @pattern may match anything else than its own text. */
bool glob_has_magic(const char *pattern);
