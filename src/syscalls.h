/* SPDX-License-Identifier: BSD-2-Clause */
/* Names and properties of system calls, per ABI. */
#pragma once

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "bpf/abi.h"

#define SYSCALL_NAME_MAX 32

/*
 * The name, or "sys_N" for an unknown number, which is then written to @buffer; N as the signed
 * number that a program would pass. An x32 number is without the x32 bit.
 */
const char *syscall_name(uint32_t nr, uint32_t abi, char buffer[static SYSCALL_NAME_MAX]);

/* "ia32", "x32", "arm32"; NULL for the machine's own ABI. */
const char *syscall_abi_name(uint32_t abi);

/* enum call_trait; 0 for unknown numbers. */
uint8_t syscall_traits(uint32_t nr, uint32_t abi);

/* Whether the call waits by design, so that its time says nothing about slowness. */
bool syscall_is_wait(uint32_t nr, uint32_t abi);

/* Whether @name is a call of any ABI of this machine, or "sys_N" of a number without a name. */
bool syscall_name_is_known(const char *name);

/* "EAGAIN", or NULL if the number has no name. */
const char *errno_name(uint32_t number);
