/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A 32-bit program without a C library: getpid, then execve of its first argument if there is
 * one, else exit. 20 and 1 are writev and write to whoever reads them by the 64-bit table, and 11
 * is munmap.
 */
	.globl _start
	.text
_start:
	movl	$20, %eax
	int	$0x80
	cmpl	$2, (%esp)
	jl	1f
	movl	$11, %eax
	movl	8(%esp), %ebx
	leal	8(%esp), %ecx
	xorl	%edx, %edx
	int	$0x80
1:
	movl	$1, %eax
	xorl	%ebx, %ebx
	int	$0x80
	.section .note.GNU-stack, "", @progbits
