/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * A program without a C library, and so without any call but these: getppid three times,
 * exit_group.
 */
#include <asm/unistd.h>

static long call(long nr)
{
#if defined(__x86_64__)
	long ret;

	__asm__ volatile("syscall" : "=a"(ret) : "a"(nr), "D"(0L) : "rcx", "r11", "memory");
	return ret;
#elif defined(__aarch64__)
	register long x8 __asm__("x8") = nr;
	register long x0 __asm__("x0") = 0;

	__asm__ volatile("svc 0" : "+r"(x0) : "r"(x8) : "memory");
	return x0;
#endif
}

void _start(void);
void _start(void)
{
	for (int i = 0; i < 3; i++)
		(void)call(__NR_getppid);
	(void)call(__NR_exit_group);
	__builtin_unreachable();
}
