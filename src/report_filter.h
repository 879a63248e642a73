/* SPDX-License-Identifier: BSD-2-Clause */
/* What the filters of the command line take, as the report asks them. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#include "bpf/abi.h"
#include "options.h"

enum call_verdict {
	VERDICT_KNOWN = 1,
	VERDICT_WANTED = 2,
	VERDICT_WAIT = 4,
};

struct filter {
	const struct options *options;
	uint8_t verdicts[CALL_ABI_N_][CALLS_MAX]; /* 0: not asked for yet */
};

bool filter_takes_pid(const struct filter *filter, int32_t pid);

/* Returns flags of enum call_verdict; remembers them. */
uint8_t filter_verdict(struct filter *filter, uint32_t nr, uint32_t abi);
