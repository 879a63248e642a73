/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>

#include <cmocka.h>

#include "src/cleanup.h"
#include "src/syscalls.h"

static const char *name_of(uint32_t nr, uint32_t abi)
{
	static char buffer[SYSCALL_NAME_MAX];

	return syscall_name(nr, abi, buffer);
}

/* Whether any of @n names, as a call of @abi, has the number @ret. */
static bool number_of(const char *name, uint32_t abi, uint32_t *ret)
{
	for (uint32_t nr = 0; nr < CALLS_MAX; nr++) {
		if (strcmp(name_of(nr, abi), name) == 0) {
			*ret = nr;
			return true;
		}
	}
	return false;
}

static void test_native(void **state)
{
	assert_string_equal(name_of(SYS_read, CALL_ABI_NATIVE), "read");
	assert_string_equal(name_of(SYS_getppid, CALL_ABI_NATIVE), "getppid");
	assert_string_equal(name_of(SYS_exit_group, CALL_ABI_NATIVE), "exit_group");
	assert_string_equal(name_of(462, CALL_ABI_NATIVE), "mseal");
	assert_null(syscall_abi_name(CALL_ABI_NATIVE));
}

static void test_unknown_numbers(void **state)
{
	static const uint32_t numbers[] = { 1023,	1024,	    9999,      INT32_MAX,
					    0x80000000, 0xfffffffe, UINT32_MAX };

	for (uint32_t abi = 0; abi < CALL_ABI_N_ + 2; abi++) {
		for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
			assert_int_equal(strncmp(name_of(numbers[i], abi), "sys_", 4), 0);
			assert_int_equal(syscall_traits(numbers[i], abi), 0);
			assert_false(syscall_is_wait(numbers[i], abi));
		}
	}
	assert_string_equal(name_of(9999, CALL_ABI_NATIVE), "sys_9999");
	assert_string_equal(name_of(UINT32_MAX, CALL_ABI_NATIVE), "sys_-1");
	assert_string_equal(name_of(0x80000000, CALL_ABI_COMPAT), "sys_-2147483648");
	assert_string_equal(name_of(3, UINT32_MAX), "sys_3");
	assert_null(syscall_abi_name(CALL_ABI_N_));
	assert_null(syscall_abi_name(UINT32_MAX));
}

static void test_known_names(void **state)
{
	static const char *const known[] = { "read",	"openat",	  "mseal",  "sys_9999",
					     "sys_-1",	"rt_sigreturn",	  "fchmod", "sys_1000000",
					     "_llseek", "clock_gettime64" };
	static const char *const unknown[] = { "",	    "reed",	 "READ",
					       "sys_",	    "sys_09999", "sys_x",
					       "sys_9999x", "sys_+9999", "sys_ 9999",
					       "sys_-0",    "read ",	 "sys_99999999999999999999",
					       "sys_1" };

	for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
		assert_true(syscall_name_is_known(known[i]));
	for (size_t i = 0; i < sizeof(unknown) / sizeof(unknown[0]); i++)
		assert_false(syscall_name_is_known(unknown[i]));
}

struct trait_case {
	const char *name;
	uint8_t traits;
	bool wait;
};

/* By name: the same in every ABI that has the call. */
static const struct trait_case trait_cases[] = {
	{ "read", BYTES_RETURNED, false },
	{ "pread64", BYTES_RETURNED, false },
	{ "readv", BYTES_RETURNED, false },
	{ "preadv", BYTES_RETURNED, false },
	{ "preadv2", BYTES_RETURNED, false },
	{ "recvfrom", BYTES_RECVFROM, false },
	{ "recvmsg", BYTES_RECVMSG, false },
	{ "recv", BYTES_RECVFROM, false },
	{ "process_vm_readv", BYTES_RETURNED, false },
	{ "recvmmsg", BYTES_RECVMMSG, false },
	{ "recvmmsg_time64", BYTES_RECVMMSG, false },
	{ "write", BYTES_RETURNED, false },
	{ "pwrite64", BYTES_RETURNED, false },
	{ "writev", BYTES_RETURNED, false },
	{ "pwritev", BYTES_RETURNED, false },
	{ "pwritev2", BYTES_RETURNED, false },
	{ "sendto", BYTES_RETURNED, false },
	{ "sendmsg", BYTES_RETURNED, false },
	{ "send", BYTES_RETURNED, false },
	{ "process_vm_writev", BYTES_RETURNED, false },
	{ "sendmmsg", BYTES_SENDMMSG, false },
	{ "sendfile", BYTES_RETURNED, false },
	{ "sendfile64", BYTES_RETURNED, false },
	{ "splice", BYTES_RETURNED, false },
	{ "tee", BYTES_RETURNED, false },
	{ "vmsplice", BYTES_RETURNED, false },
	{ "copy_file_range", BYTES_RETURNED, false },
	{ "socketcall", BYTES_SOCKETCALL, false },
	/* never bytes, although they return sizes or addresses */
	{ "io_submit", 0, false },
	{ "io_getevents", 0, false },
	{ "io_uring_enter", 0, false },
	{ "getdents64", 0, false },
	{ "getrandom", 0, false },
	{ "readlink", 0, false },
	{ "readlinkat", 0, false },
	{ "getcwd", 0, false },
	{ "getxattr", 0, false },
	{ "lseek", 0, false },
	{ "mmap", 0, false },
	{ "fcntl", 0, false },
	{ "ioctl", 0, false },
	{ "msgrcv", 0, false },
	{ "mq_timedreceive", 0, false },
	{ "readahead", 0, false },
	{ "exit", TRAIT_NO_RETURN, false },
	{ "exit_group", TRAIT_NO_RETURN, false },
	{ "rt_sigreturn", TRAIT_SIGRETURN, false },
	{ "sigreturn", TRAIT_SIGRETURN, false },
	{ "vfork", 0, true },
	{ "execve", 0, false },
	{ "epoll_wait", 0, true },
	{ "epoll_pwait", 0, true },
	{ "epoll_pwait2", 0, true },
	{ "poll", 0, true },
	{ "ppoll", 0, true },
	{ "ppoll_time64", 0, true },
	{ "select", 0, true },
	{ "_newselect", 0, true },
	{ "pselect6", 0, true },
	{ "pselect6_time64", 0, true },
	{ "futex", 0, true },
	{ "futex_time64", 0, true },
	{ "futex_wait", 0, true },
	{ "futex_waitv", 0, true },
	{ "futex_wake", 0, false },
	{ "nanosleep", 0, true },
	{ "clock_nanosleep", 0, true },
	{ "clock_nanosleep_time64", 0, true },
	{ "pause", 0, true },
	{ "wait4", 0, true },
	{ "waitid", 0, true },
	{ "waitpid", 0, true },
	{ "rt_sigtimedwait", 0, true },
	{ "rt_sigtimedwait_time64", 0, true },
	{ "rt_sigsuspend", 0, true },
	{ "sigsuspend", 0, true },
	{ "restart_syscall", 0, true },
	{ "fsync", 0, false },
	{ "epoll_ctl", 0, false },
};

static void test_traits(void **state)
{
	for (uint32_t abi = 0; abi < CALL_ABI_N_; abi++) {
		size_t n_found = 0;

		for (size_t i = 0; i < sizeof(trait_cases) / sizeof(trait_cases[0]); i++) {
			uint32_t nr;

			if (!number_of(trait_cases[i].name, abi, &nr))
				continue;
			n_found++;
			if (syscall_traits(nr, abi) != trait_cases[i].traits ||
			    syscall_is_wait(nr, abi) != trait_cases[i].wait)
				fail_msg("abi %u: %s", abi, trait_cases[i].name);
		}
		/* arm64 has no x32 */
		assert_true(n_found > 50 || (abi == CALL_ABI_X32 && !syscall_abi_name(abi)));
	}
}

/* Every call with a trait or a wait is one of the above: a slip in the table adds none in silence.
 */
static void test_no_other_traits(void **state)
{
	for (uint32_t abi = 0; abi < CALL_ABI_N_; abi++) {
		for (uint32_t nr = 0; nr < CALLS_MAX; nr++) {
			const char *name = name_of(nr, abi);
			bool listed = false;

			if (!syscall_traits(nr, abi) && !syscall_is_wait(nr, abi))
				continue;
			for (size_t i = 0; i < sizeof(trait_cases) / sizeof(trait_cases[0]); i++)
				listed = listed || strcmp(trait_cases[i].name, name) == 0;
			if (!listed)
				fail_msg("abi %u: %s", abi, name);
		}
	}
}

#if defined(__x86_64__)
static void test_sigreturn_numbers(void **state)
{
	assert_int_equal(syscall_traits(15, CALL_ABI_NATIVE), TRAIT_SIGRETURN);
	assert_int_equal(syscall_traits(513, CALL_ABI_X32), TRAIT_SIGRETURN);
	assert_int_equal(syscall_traits(119, CALL_ABI_COMPAT), TRAIT_SIGRETURN);
	assert_int_equal(syscall_traits(173, CALL_ABI_COMPAT), TRAIT_SIGRETURN);
}

static void test_foreign_abis(void **state)
{
	assert_string_equal(name_of(20, CALL_ABI_NATIVE), "writev");
	assert_string_equal(name_of(20, CALL_ABI_COMPAT), "getpid");
	assert_string_equal(name_of(39, CALL_ABI_X32), "getpid");
	assert_string_equal(name_of(3, CALL_ABI_COMPAT), "read");
	assert_string_equal(syscall_abi_name(CALL_ABI_COMPAT), "ia32");
	assert_string_equal(syscall_abi_name(CALL_ABI_X32), "x32");
}

static void check_against_header(const char *path, uint32_t abi)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	char line[256];
	size_t n = 0;

	if (!file) {
		print_error("%s: not installed, skipping\n", path);
		skip();
	}
	while (fgets(line, sizeof(line), file)) {
		char name[64], number[64];
		const char *digits;

		if (sscanf(line, "#define __NR_%63s %63[^\n]", name, number) != 2)
			continue;
		/* "39", "(__X32_SYSCALL_BIT + 39)" */
		digits = strpbrk(number, "+");
		digits = strpbrk(digits ? digits : number, "0123456789");
		if (!digits || strcmp(name, "syscalls") == 0)
			continue;
		assert_string_equal(name_of((uint32_t)strtoul(digits, NULL, 10), abi), name);
		n++;
	}
	assert_true(n > 300);
}

static void test_header_native(void **state)
{
	check_against_header("/usr/include/x86_64-linux-gnu/asm/unistd_64.h", CALL_ABI_NATIVE);
}

static void test_header_ia32(void **state)
{
	check_against_header("/usr/include/x86_64-linux-gnu/asm/unistd_32.h", CALL_ABI_COMPAT);
}

static void test_header_x32(void **state)
{
	check_against_header("/usr/include/x86_64-linux-gnu/asm/unistd_x32.h", CALL_ABI_X32);
}
#elif defined(__aarch64__)
static void test_sigreturn_numbers(void **state)
{
	assert_int_equal(syscall_traits(139, CALL_ABI_NATIVE), TRAIT_SIGRETURN);
	assert_int_equal(syscall_traits(119, CALL_ABI_COMPAT), TRAIT_SIGRETURN);
	assert_int_equal(syscall_traits(173, CALL_ABI_COMPAT), TRAIT_SIGRETURN);
}

static void test_foreign_abis(void **state)
{
	assert_string_equal(name_of(172, CALL_ABI_NATIVE), "getpid");
	assert_string_equal(name_of(20, CALL_ABI_COMPAT), "getpid");
	assert_string_equal(name_of(39, CALL_ABI_X32), "sys_39");
	assert_string_equal(syscall_abi_name(CALL_ABI_COMPAT), "arm32");
}
#endif

static void test_errnos(void **state)
{
	size_t n = 0;

	assert_string_equal(errno_name(EAGAIN), "EAGAIN");
	assert_string_equal(errno_name(EDEADLK), "EDEADLK");
	assert_string_equal(errno_name(EOPNOTSUPP), "EOPNOTSUPP");
	assert_string_equal(errno_name(ENOENT), "ENOENT");
	assert_string_equal(errno_name(524), "ENOTSUPP");
	assert_null(errno_name(0));
	assert_null(errno_name(41));
	assert_null(errno_name(4095));
	assert_null(errno_name(UINT32_MAX));
	for (uint32_t i = 1; i <= 133; i++)
		n += errno_name(i) != NULL;
	assert_int_equal(n, 131); /* without 41 and 58 */
#ifdef __GLIBC__
	for (uint32_t i = 1; i <= 133; i++) {
		if (errno_name(i))
			assert_string_equal(errno_name(i), strerrorname_np((int)i));
	}
#endif
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_native),
		cmocka_unit_test(test_unknown_numbers),
		cmocka_unit_test(test_known_names),
		cmocka_unit_test(test_traits),
		cmocka_unit_test(test_no_other_traits),
		cmocka_unit_test(test_sigreturn_numbers),
		cmocka_unit_test(test_foreign_abis),
#if defined(__x86_64__)
		cmocka_unit_test(test_header_native),
		cmocka_unit_test(test_header_ia32),
		cmocka_unit_test(test_header_x32),
#endif
		cmocka_unit_test(test_errnos),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
