/* SPDX-License-Identifier: BSD-2-Clause */
/* What the parts of the laboratory share among themselves. */
#pragma once

#include "lab.h"
#include "src/syscalls.h"

#define GROUPS_MAX    16
#define ROW_SLOTS     8192
#define ROW_ERRNOS    32
#define CALL_NAME_MAX (SYSCALL_NAME_MAX + 8)

/* How long to wait for what must come; a machine that is slower than this is broken. */
#define PATIENCE_NS (60000 * MS)

/* How often a lab is read while it waits: the rest of the machine fills the ring as well. */
#define READ_MS 10

struct sum_key {
	struct snapshot_task task;
	uint32_t nr;
	uint32_t abi;
};

struct sum {
	struct sum_key key;
	char call[CALL_NAME_MAX];
	struct call_stats stats;
	struct errno_delta errnos[ROW_ERRNOS];
	uint32_t n_errnos;
	struct sum *next; /* of the slot */
	struct sum *later;
};

struct lab {
	struct collector *collector;
	struct hierarchy hierarchy;
	struct lab_group *groups[GROUPS_MAX];
	size_t n_groups;
	uint64_t also_id;   /* another lab's group */
	char directory[64]; /* empty: none yet */
	struct sum *slots[ROW_SLOTS];
	struct sum *first;
	struct sum **last;
	uint64_t lost[LOSS_N_];
	bool changed; /* by the latest read */
	struct lab *next;
};

/* All that there are. */
extern struct lab *lab_open_labs;

/* Returns 0 or -errno. */
int lab_write_number(const char *path, long number);
int lab_group_make(const char *parent_path, const char *name, struct lab_group **ret);
int lab_groups_remove(struct lab *lab);
bool lab_group_is_ours(const struct lab *lab, uint64_t id);
