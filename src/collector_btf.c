/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Attaching by the kernel's types where these come from a file. libbpf takes btf_custom_path for
 * CO-RE only: what a program attaches to by BTF it looks up in the kernel's own places, and fails
 * where nothing is there. A section with a handler of ours is left to us.
 */
#include "collector_internal.h"

#include <bpf/btf.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

static const struct btf_target {
	const char *section;
	enum bpf_attach_type type;
	const char *prefix; /* of what is attached to, in the BTF; see kernel/bpf/verifier.c */
	uint32_t kind;
} targets[] = {
	{ "tp_btf+", BPF_TRACE_RAW_TP, "btf_trace_", BTF_KIND_TYPEDEF },
	{ "iter+", BPF_TRACE_ITER, "bpf_iter_", BTF_KIND_FUNC },
};

static const struct btf *kernel_btf;

/* Called for each program before it is loaded; the cookie is its target's index. */
static int give_target(struct bpf_program *program, struct bpf_prog_load_opts *opts, long cookie)
{
	const struct btf_target *target = &targets[cookie];
	const char *section = bpf_program__section_name(program);
	const char *name = strchr(section, '/');
	char type[128];
	int id;

	if (!name)
		return -EINVAL;
	(void)snprintf(type, sizeof(type), "%s%s", target->prefix, name + 1);
	id = btf__find_by_name_kind(kernel_btf, type, target->kind);
	if (id < 0)
		return id;
	opts->expected_attach_type = target->type;
	opts->attach_btf_id = (uint32_t)id;
	return bpf_program__set_type(program, BPF_PROG_TYPE_TRACING);
}

int collector_btf_set(const struct btf *btf, bool from_file)
{
	LIBBPF_OPTS(libbpf_prog_handler_opts, opts, .prog_prepare_load_fn = give_target);
	static size_t n_registered;

	kernel_btf = btf;
	if (!from_file)
		return 0;
	/* For good: once the last one is gone, libbpf 1.1 goes on with memory that it has freed. */
	while (n_registered < sizeof(targets) / sizeof(*targets)) {
		int r;

		opts.cookie = (long)n_registered;
		/* As of another type: those of tracing programs are what libbpf looks up itself. */
		r = libbpf_register_prog_handler(targets[n_registered].section,
						 BPF_PROG_TYPE_RAW_TRACEPOINT,
						 targets[n_registered].type, &opts);
		if (r < 0)
			return r;
		n_registered++;
	}
	return 0;
}
