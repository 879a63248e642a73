/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Output that nobody reads: a full pipe holds a write for as long as its reader sleeps, and with
 * it the answer to SIGTERM. Between stuck_watch() and stuck_unwatch() a stop signal is let in; if
 * the writing does not end within seconds after it, standard output is replaced by /dev/null. Those
 * seconds are for what is written then and for the last interval together; a second signal leaves
 * but one of them.
 */
#pragma once

#include <signal.h>
#include <stdbool.h>

/* @signals: those that ask to stop, blocked so far. Returns 0 or -errno. */
int stuck_init(const sigset_t *signals);

/* @stopping: we have been asked already, so the time runs, or goes on, from now on. */
void stuck_watch(bool stopping);

/* Returns whether output was given up; @ret_stop: whether a stop signal came meanwhile. */
bool stuck_unwatch(bool *ret_stop);
