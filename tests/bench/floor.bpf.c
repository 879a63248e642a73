/* SPDX-License-Identifier: BSD-2-Clause OR GPL-2.0-only */
/* What any monitor of calls pays at least: two programs that do nothing, or take the time. */
#include "vmlinux.h"

#include <bpf/bpf_helpers.h>

char LICENSE[] SEC("license") = "Dual BSD/GPL";

const volatile bool timestamps;
volatile __u64 last_ns;

SEC("raw_tp/sys_enter")
int on_enter(void *ctx)
{
	if (timestamps)
		last_ns = bpf_ktime_get_ns();
	return 0;
}

SEC("raw_tp/sys_exit")
int on_exit(void *ctx)
{
	if (timestamps)
		last_ns = bpf_ktime_get_ns();
	return 0;
}
