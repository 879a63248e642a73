/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/capability.h>

#include <cmocka.h>

#include "src/cleanup.h"
#include "src/privileges.h"

#define ENOUGH "cap_bpf,cap_perfmon,cap_dac_read_search=ep"

static const char *const names[] = { "CAP_BPF", "CAP_PERFMON", "CAP_DAC_READ_SEARCH",
				     "CAP_SYS_PTRACE" };

/* Asserts which of the names are said to be missing: one line each, in the order of @missing. */
static void check(const char *caps_text, const char *root, int root_error, const char *missing)
{
	_cleanup_(freep) char *text = NULL;
	char seen[128] = "";
	size_t size = 0;
	cap_t caps = cap_from_text(caps_text);
	FILE *err = open_memstream(&text, &size);
	char *line, *rest;
	int n, n_lines = 0;

	assert_non_null(caps);
	assert_non_null(err);
	n = privileges_check_of(caps, root, root_error, err);
	(void)fclose(err);
	(void)cap_free(caps);
	for (line = strtok_r(text, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
		n_lines++;
		assert_int_equal(strncmp(line, "cgscope: ", 9), 0);
		for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
			if (strstr(line, names[i])) {
				(void)strcat(seen, *seen ? " " : "");
				(void)strcat(seen, names[i]);
			}
		}
	}
	assert_string_equal(seen, missing);
	assert_int_equal(n_lines, n);
}

static void test_capabilities(void **state)
{
	static const struct {
		const char *caps;
		const char *missing;
	} cases[] = {
		{ ENOUGH, "" },
		{ "=", "CAP_BPF CAP_PERFMON CAP_DAC_READ_SEARCH" },
		{ "cap_perfmon,cap_dac_read_search=ep", "CAP_BPF" },
		{ "cap_bpf,cap_dac_read_search=ep", "CAP_PERFMON" },
		{ "cap_bpf,cap_perfmon=ep", "CAP_DAC_READ_SEARCH" },
		/* What older engines give instead. */
		{ "cap_sys_admin,cap_dac_read_search=ep", "" },
		{ "cap_sys_admin=ep", "CAP_DAC_READ_SEARCH" },
		{ "cap_sys_ptrace,cap_sys_resource=ep", "CAP_BPF CAP_PERFMON CAP_DAC_READ_SEARCH" },
		/* Only what is effective counts. */
		{ "cap_bpf,cap_perfmon,cap_dac_read_search=p",
		  "CAP_BPF CAP_PERFMON CAP_DAC_READ_SEARCH" },
		{ ENOUGH " cap_bpf-e", "CAP_BPF" },
		/* Another directory than these does no more than the usual. */
		{ "cap_dac_override=ep cap_bpf,cap_perfmon+ep", "CAP_DAC_READ_SEARCH" },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		check(cases[i].caps, "/", 0, cases[i].missing);
}

static void test_tracer(void **state)
{
	static const struct {
		const char *root;
		int error;
		bool needed;
	} cases[] = {
		{ "/", 0, false },
		{ "/proc/1/root", 0, false }, /* it was opened: nothing is missing */
		{ "/proc/1/root", -EACCES, true },
		{ "/proc/1/root", -EPERM, true },
		{ "/proc/1/root", -ENOENT, false },
		{ "/proc/1/root/", -EACCES, true },
		{ "/proc/1/root/host", -EACCES, true },
		{ "/proc/4194304/root", -EACCES, true },
		{ "/proc/self/root", -EACCES, true },
		{ "/host/proc/1/root", -EACCES, true },
		{ "/mnt/proc/x/proc/1/root", -EACCES, true },
		{ "/proc/proc/1/root/x", -EACCES, true },
		{ "/proc/x/proc/1/cwd", -EACCES, false },
		{ "/host", -EACCES, false },
		{ "/host", -EPERM, false },
		{ "/", -EACCES, false },
		{ "", -EACCES, false },
		{ "/proc", -EACCES, false },
		{ "/proc/", -EACCES, false },
		{ "/proc//root", -EACCES, false },
		{ "/proc/1", -EACCES, false },
		{ "/proc/1/", -EACCES, false },
		{ "/proc/1/rootfs", -EACCES, false },
		{ "/proc/1/cwd", -EACCES, false },
		{ "/processes/1/root", -EACCES, false },
		{ "proc/1/root", -EACCES, false },
	};

	(void)state;
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
		print_message("%s %d\n", cases[i].root, cases[i].error);
		check(ENOUGH, cases[i].root, cases[i].error,
		      cases[i].needed ? "CAP_SYS_PTRACE" : "");
		check("cap_sys_ptrace=ep " ENOUGH " cap_sys_ptrace+ep", cases[i].root,
		      cases[i].error, "");
	}
}

static void test_own(void **state)
{
	FILE *err = tmpfile();
	cap_t none = cap_init();

	(void)state;
	assert_non_null(err);
	assert_non_null(none);
	/* A process may always give up what it has. */
	assert_int_equal(cap_set_proc(none), 0);
	(void)cap_free(none);
	assert_int_equal(privileges_check("/proc/1/root", -EACCES, err), 4);
	assert_int_equal(privileges_check("/proc/1/root", 0, err), 3);
	(void)fclose(err);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_capabilities), cmocka_unit_test(test_tracer),
		cmocka_unit_test(test_own), /* the last one: what it gives up is gone */
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
