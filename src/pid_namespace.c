/* SPDX-License-Identifier: BSD-2-Clause */
#include "pid_namespace.h"

#include <errno.h>
#include <sys/stat.h>

/* include/linux/proc_ns.h: PROC_PID_INIT_INO, an inode number that no other namespace gets. */
#define INITIAL_INODE 4026531836ul

int pid_namespace_is_initial(void)
{
	struct stat st;

	if (stat("/proc/self/ns/pid", &st) < 0)
		return -errno;
	return st.st_ino == INITIAL_INODE;
}
