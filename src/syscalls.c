/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * One table of names per ABI, indexed by number; what a call is for follows from its name, since
 * the same call has another number in every ABI.
 */
#include "src/syscalls.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "snapshot.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

struct abi_table {
	const char *abi; /* as printed; NULL for the machine's own */
	const char *const *names;
	size_t n_names;
};

#if defined(__x86_64__)
static const char *const names_native[] = {
#include "src/syscalls/x86_64.inc"
};
static const char *const names_compat[] = {
#include "src/syscalls/ia32.inc"
};
static const char *const names_x32[] = {
#include "src/syscalls/x32.inc"
};

static const struct abi_table abis[CALL_ABI_N_] = {
	[CALL_ABI_NATIVE] = { NULL, names_native, N_ELEMENTS(names_native) },
	[CALL_ABI_COMPAT] = { "ia32", names_compat, N_ELEMENTS(names_compat) },
	[CALL_ABI_X32] = { "x32", names_x32, N_ELEMENTS(names_x32) },
};
#elif defined(__aarch64__)
static const char *const names_native[] = {
#include "src/syscalls/arm64.inc"
};
static const char *const names_compat[] = {
#include "src/syscalls/arm32.inc"
};

static const struct abi_table abis[CALL_ABI_N_] = {
	[CALL_ABI_NATIVE] = { NULL, names_native, N_ELEMENTS(names_native) },
	[CALL_ABI_COMPAT] = { "arm32", names_compat, N_ELEMENTS(names_compat) },
};
#else
#error "no system-call tables for this machine"
#endif

struct call_class {
	const char *name;
	uint8_t traits;
	bool wait;
};

/* Sorted by name. Calls that are not here move no bytes, return like any other, and do not wait. */
static const struct call_class classes[] = {
	{ "_newselect", 0, true },
	{ "clock_nanosleep", 0, true },
	{ "clock_nanosleep_time64", 0, true },
	{ "copy_file_range", BYTES_RETURNED, false },
	{ "epoll_pwait", 0, true },
	{ "epoll_pwait2", 0, true },
	{ "epoll_wait", 0, true },
	{ "exit", TRAIT_NO_RETURN, false },
	{ "exit_group", TRAIT_NO_RETURN, false },
	{ "futex", 0, true },
	{ "futex_time64", 0, true },
	{ "futex_wait", 0, true },
	{ "futex_waitv", 0, true },
	{ "nanosleep", 0, true },
	{ "pause", 0, true },
	{ "poll", 0, true },
	{ "ppoll", 0, true },
	{ "ppoll_time64", 0, true },
	{ "pread64", BYTES_RETURNED, false },
	{ "preadv", BYTES_RETURNED, false },
	{ "preadv2", BYTES_RETURNED, false },
	{ "process_vm_readv", BYTES_RETURNED, false },
	{ "process_vm_writev", BYTES_RETURNED, false },
	{ "pselect6", 0, true },
	{ "pselect6_time64", 0, true },
	{ "pwrite64", BYTES_RETURNED, false },
	{ "pwritev", BYTES_RETURNED, false },
	{ "pwritev2", BYTES_RETURNED, false },
	{ "read", BYTES_RETURNED, false },
	{ "readv", BYTES_RETURNED, false },
	{ "recv", BYTES_RECVFROM, false }, /* its four arguments are recvfrom's first four */
	{ "recvfrom", BYTES_RECVFROM, false },
	{ "recvmmsg", BYTES_RECVMMSG, false },
	{ "recvmmsg_time64", BYTES_RECVMMSG, false },
	{ "recvmsg", BYTES_RECVMSG, false },
	{ "restart_syscall", 0, true },
	{ "rt_sigreturn", TRAIT_SIGRETURN, false },
	{ "rt_sigsuspend", 0, true },
	{ "rt_sigtimedwait", 0, true },
	{ "rt_sigtimedwait_time64", 0, true },
	{ "select", 0, true },
	{ "send", BYTES_RETURNED, false },
	{ "sendfile", BYTES_RETURNED, false },
	{ "sendfile64", BYTES_RETURNED, false },
	{ "sendmmsg", BYTES_SENDMMSG, false },
	{ "sendmsg", BYTES_RETURNED, false },
	{ "sendto", BYTES_RETURNED, false },
	{ "sigreturn", TRAIT_SIGRETURN, false },
	{ "sigsuspend", 0, true },
	{ "socketcall", BYTES_SOCKETCALL, false },
	{ "splice", BYTES_RETURNED, false },
	{ "tee", BYTES_RETURNED, false },
	{ "vfork", 0, true }, /* lasts until the child execs or exits */
	{ "vmsplice", BYTES_RETURNED, false },
	{ "wait4", 0, true },
	{ "waitid", 0, true },
	{ "waitpid", 0, true },
	{ "write", BYTES_RETURNED, false },
	{ "writev", BYTES_RETURNED, false },
};

/* Of asm-generic, which both machines use; the kernel's own ones from 515 on leak now and then. */
static const char *const errno_names[] = {
#define E(name) [name] = #name
	E(EPERM),
	E(ENOENT),
	E(ESRCH),
	E(EINTR),
	E(EIO),
	E(ENXIO),
	E(E2BIG),
	E(ENOEXEC),
	E(EBADF),
	E(ECHILD),
	E(EAGAIN),
	E(ENOMEM),
	E(EACCES),
	E(EFAULT),
	E(ENOTBLK),
	E(EBUSY),
	E(EEXIST),
	E(EXDEV),
	E(ENODEV),
	E(ENOTDIR),
	E(EISDIR),
	E(EINVAL),
	E(ENFILE),
	E(EMFILE),
	E(ENOTTY),
	E(ETXTBSY),
	E(EFBIG),
	E(ENOSPC),
	E(ESPIPE),
	E(EROFS),
	E(EMLINK),
	E(EPIPE),
	E(EDOM),
	E(ERANGE),
	E(EDEADLK),
	E(ENAMETOOLONG),
	E(ENOLCK),
	E(ENOSYS),
	E(ENOTEMPTY),
	E(ELOOP),
	E(ENOMSG),
	E(EIDRM),
	E(ECHRNG),
	E(EL2NSYNC),
	E(EL3HLT),
	E(EL3RST),
	E(ELNRNG),
	E(EUNATCH),
	E(ENOCSI),
	E(EL2HLT),
	E(EBADE),
	E(EBADR),
	E(EXFULL),
	E(ENOANO),
	E(EBADRQC),
	E(EBADSLT),
	E(EBFONT),
	E(ENOSTR),
	E(ENODATA),
	E(ETIME),
	E(ENOSR),
	E(ENONET),
	E(ENOPKG),
	E(EREMOTE),
	E(ENOLINK),
	E(EADV),
	E(ESRMNT),
	E(ECOMM),
	E(EPROTO),
	E(EMULTIHOP),
	E(EDOTDOT),
	E(EBADMSG),
	E(EOVERFLOW),
	E(ENOTUNIQ),
	E(EBADFD),
	E(EREMCHG),
	E(ELIBACC),
	E(ELIBBAD),
	E(ELIBSCN),
	E(ELIBMAX),
	E(ELIBEXEC),
	E(EILSEQ),
	E(ERESTART),
	E(ESTRPIPE),
	E(EUSERS),
	E(ENOTSOCK),
	E(EDESTADDRREQ),
	E(EMSGSIZE),
	E(EPROTOTYPE),
	E(ENOPROTOOPT),
	E(EPROTONOSUPPORT),
	E(ESOCKTNOSUPPORT),
	E(EOPNOTSUPP),
	E(EPFNOSUPPORT),
	E(EAFNOSUPPORT),
	E(EADDRINUSE),
	E(EADDRNOTAVAIL),
	E(ENETDOWN),
	E(ENETUNREACH),
	E(ENETRESET),
	E(ECONNABORTED),
	E(ECONNRESET),
	E(ENOBUFS),
	E(EISCONN),
	E(ENOTCONN),
	E(ESHUTDOWN),
	E(ETOOMANYREFS),
	E(ETIMEDOUT),
	E(ECONNREFUSED),
	E(EHOSTDOWN),
	E(EHOSTUNREACH),
	E(EALREADY),
	E(EINPROGRESS),
	E(ESTALE),
	E(EUCLEAN),
	E(ENOTNAM),
	E(ENAVAIL),
	E(EISNAM),
	E(EREMOTEIO),
	E(EDQUOT),
	E(ENOMEDIUM),
	E(EMEDIUMTYPE),
	E(ECANCELED),
	E(ENOKEY),
	E(EKEYEXPIRED),
	E(EKEYREVOKED),
	E(EKEYREJECTED),
	E(EOWNERDEAD),
	E(ENOTRECOVERABLE),
	E(ERFKILL),
	E(EHWPOISON),
#undef E
	[515] = "ENOIOCTLCMD",
	[517] = "EPROBE_DEFER",
	[518] = "EOPENSTALE",
	[519] = "ENOPARAM",
	[521] = "EBADHANDLE",
	[522] = "ENOTSYNC",
	[523] = "EBADCOOKIE",
	[524] = "ENOTSUPP",
	[525] = "ETOOSMALL",
	[526] = "ESERVERFAULT",
	[527] = "EBADTYPE",
	[528] = "EJUKEBOX",
	[529] = "EIOCBQUEUED",
	[530] = "ERECALLCONFLICT",
};

static const char *known_name(uint32_t nr, uint32_t abi)
{
	if (abi >= CALL_ABI_N_ || nr >= abis[abi].n_names)
		return NULL;
	return abis[abi].names[nr];
}

const char *syscall_name(uint32_t nr, uint32_t abi, char buffer[static SYSCALL_NAME_MAX])
{
	const char *name = known_name(nr, abi);

	if (name)
		return name;
	if (nr == CALL_NR_OTHERS)
		return "sys_others";

	snprintf(buffer, SYSCALL_NAME_MAX, "sys_%" PRId32, (int32_t)nr);
	return buffer;
}

const char *syscall_abi_name(uint32_t abi)
{
	return abi < CALL_ABI_N_ ? abis[abi].abi : NULL;
}

static int compare_class(const void *name, const void *class)
{
	return strcmp(name, ((const struct call_class *)class)->name);
}

static const struct call_class *class_of(uint32_t nr, uint32_t abi)
{
	const char *name = known_name(nr, abi);

	if (!name)
		return NULL;
	return bsearch(name, classes, N_ELEMENTS(classes), sizeof(classes[0]), compare_class);
}

uint8_t syscall_traits(uint32_t nr, uint32_t abi)
{
	const struct call_class *class = class_of(nr, abi);

	return class ? class->traits : 0;
}

bool syscall_is_wait(uint32_t nr, uint32_t abi)
{
	const struct call_class *class = class_of(nr, abi);

	return class && class->wait;
}

static bool abi_has_name(const struct abi_table *table, const char *name)
{
	for (size_t i = 0; i < table->n_names; i++) {
		if (table->names[i] && strcmp(table->names[i], name) == 0)
			return true;
	}
	return false;
}

/* A number counts as it would be printed: no zeros in front, and none that has a name. */
static bool is_unknown_number(const char *name)
{
	char buffer[SYSCALL_NAME_MAX];
	long number;

	if (strncmp(name, "sys_", 4) != 0)
		return false;

	number = strtol(name + 4, NULL, 10);
	if (number < INT32_MIN || number > INT32_MAX)
		return false;
	for (uint32_t abi = 0; abi < CALL_ABI_N_; abi++) {
		if (abis[abi].names &&
		    strcmp(syscall_name((uint32_t)number, abi, buffer), name) == 0)
			return true;
	}
	return false;
}

bool syscall_name_is_known(const char *name)
{
	for (uint32_t abi = 0; abi < CALL_ABI_N_; abi++) {
		if (abi_has_name(&abis[abi], name))
			return true;
	}
	return is_unknown_number(name);
}

const char *errno_name(uint32_t number)
{
	return number < N_ELEMENTS(errno_names) ? errno_names[number] : NULL;
}
