/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * What must and must not be among the instructions of the built object, which is the argument.
 *
 * Fact F43: lockdown=confidentiality takes the helpers away that read kernel memory, and a program
 * that calls one is refused. So no program that counting needs calls one, nor a function that those
 * call.
 *
 * What the dump reads while it is written (all of it has 32 bits) is only ordered by atomics that
 * fetch: those whose result goes unused are relaxed on arm64, and the compiler makes them of
 * others.
 */
#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <gelf.h>
#include <libelf.h>
#include <linux/bpf.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* May each be refused alone. */
static const char *const optional[] = { "on_cgroup_mkdir" };

static bool reads_kernel(const struct bpf_insn *insn)
{
	if (insn->code != (BPF_JMP | BPF_CALL) || insn->src_reg != 0)
		return false;
	return insn->imm == BPF_FUNC_probe_read || insn->imm == BPF_FUNC_probe_read_str ||
	       insn->imm == BPF_FUNC_probe_read_kernel ||
	       insn->imm == BPF_FUNC_probe_read_kernel_str;
}

static bool is_atomic_32(const struct bpf_insn *insn)
{
	return insn->code == (BPF_STX | BPF_ATOMIC | BPF_W);
}

static bool is_optional(const char *name)
{
	for (size_t i = 0; i < sizeof(optional) / sizeof(optional[0]); i++) {
		if (strcmp(optional[i], name) == 0)
			return true;
	}
	return false;
}

struct counts {
	unsigned reads;
	unsigned atomics;
	unsigned relaxed; /* of the atomics */
};

static bool count_instructions(Elf *elf, const GElf_Sym *symbol, struct counts *ret)
{
	Elf_Scn *section = elf_getscn(elf, symbol->st_shndx);
	Elf_Data *data = section ? elf_getdata(section, NULL) : NULL;
	struct bpf_insn insn;

	*ret = (struct counts){ 0 };
	if (!data || !data->d_buf || symbol->st_size == 0 || symbol->st_value > data->d_size ||
	    symbol->st_size > data->d_size - symbol->st_value)
		return false;
	for (uint64_t at = 0; at + sizeof(insn) <= symbol->st_size; at += sizeof(insn)) {
		memcpy(&insn, (const char *)data->d_buf + symbol->st_value + at, sizeof(insn));
		ret->reads += reads_kernel(&insn);
		ret->atomics += is_atomic_32(&insn);
		ret->relaxed += is_atomic_32(&insn) && !(insn.imm & BPF_FETCH);
	}
	return true;
}

struct findings {
	unsigned functions;
	unsigned core_reads;
	unsigned optional_reads; /* proof that reads are found */
	unsigned atomics;
	unsigned relaxed;
};

static void look_at_function(Elf *elf, const GElf_Sym *symbol, const char *name,
			     struct findings *findings)
{
	struct counts counts;

	if (!count_instructions(elf, symbol, &counts))
		return;
	findings->functions++;
	findings->atomics += counts.atomics;
	findings->relaxed += counts.relaxed;
	if (counts.relaxed)
		(void)fprintf(stderr, "%s: %u atomics do not order anything\n", name,
			      counts.relaxed);
	if (is_optional(name)) {
		findings->optional_reads += counts.reads;
	} else if (counts.reads) {
		findings->core_reads += counts.reads;
		(void)fprintf(stderr, "%s: reads kernel memory in %u places\n", name, counts.reads);
	}
}

static bool look_at_symbols(Elf *elf, struct findings *findings)
{
	Elf_Scn *section = NULL;
	GElf_Shdr header;
	GElf_Sym symbol;

	while ((section = elf_nextscn(elf, section))) {
		Elf_Data *data = elf_getdata(section, NULL);

		if (!gelf_getshdr(section, &header) || header.sh_type != SHT_SYMTAB || !data)
			continue;
		for (int i = 0; gelf_getsym(data, i, &symbol); i++) {
			const char *name = elf_strptr(elf, header.sh_link, symbol.st_name);

			if (name && GELF_ST_TYPE(symbol.st_info) == STT_FUNC)
				look_at_function(elf, &symbol, name, findings);
		}
		return true;
	}
	return false;
}

int main(int argc, char **argv)
{
	struct findings findings = { 0 };
	Elf *elf;
	int fd;

	if (argc != 2 || elf_version(EV_CURRENT) == EV_NONE)
		return 2;
	fd = open(argv[1], O_RDONLY | O_CLOEXEC);
	elf = fd < 0 ? NULL : elf_begin(fd, ELF_C_READ, NULL);
	if (!elf || !look_at_symbols(elf, &findings)) {
		(void)fprintf(stderr, "%s: cannot be read as an object\n", argv[1]);
		return 1;
	}
	(void)elf_end(elf);
	close(fd);
	(void)fprintf(
		stderr,
		"%u functions, reads: %u in core, %u in optional ones; %u atomics of 32 bits, "
		"%u that do not fetch\n",
		findings.functions, findings.core_reads, findings.optional_reads, findings.atomics,
		findings.relaxed);
	return findings.functions < 5 || findings.core_reads || !findings.optional_reads ||
	       !findings.atomics || findings.relaxed;
}
