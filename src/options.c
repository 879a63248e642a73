/* SPDX-License-Identifier: BSD-2-Clause */
/* One table of options feeds getopt and --help. */
#include "src/options.h"

#include <arpa/inet.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>

#include "src/clock.h"
#include "src/syscalls.h"
#include "src/text.h"

#define N_ELEMENTS(array) (sizeof(array) / sizeof((array)[0]))

#define INTERVAL_MIN_NS	 (NSEC_PER_SEC / 100)
#define INTERVAL_MAX_NS	 (86400 * NSEC_PER_SEC)
#define IN_FLIGHT_MAX_MS (1000ULL * 86400 * 365)

struct option_spec;

struct parse {
	struct options *options;
	const struct option_spec *spec; /* the option at hand */
	bool has_command;
	bool wants_text; /* by an option, not by default */
	uint64_t given;	 /* a bit for each of the options that were */
	bool has_metrics_syscalls;
	char *error;
	size_t error_size;
};

struct option_spec {
	char letter; /* 0: none */
	const char *name;
	const char *argument; /* NULL: none */
	const char *help;     /* lines of at most 62 characters */
	/* Takes the value (NULL if the option has none); false if it is wrong and the error is set.
	 */
	bool (*set)(struct parse *parse, const char *value);
};

__attribute__((format(printf, 2, 3))) static bool fail(struct parse *parse, const char *format, ...)
{
	va_list args;

	va_start(args, format);
	vsnprintf(parse->error, parse->error_size, format, args);
	va_end(args);
	return false;
}

/* "--top: "x" is not a whole number of at least 1": @what goes on after "is not". */
static bool fail_value(struct parse *parse, const char *value, const char *what)
{
	char word[128];

	text_to_word(value, SIZE_MAX, word, sizeof(word));
	return fail(parse, "--%s: \"%s\" is not %s", parse->spec->name, word, what);
}

static bool fail_memory(struct parse *parse)
{
	return fail(parse, "--%s: out of memory", parse->spec ? parse->spec->name : "");
}

/* Digits only: strtoull() takes blanks and signs. */
static bool parse_uint(const char *text, uint64_t min, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (*text == '\0')
		return false;
	for (; *text; text++) {
		if (*text < '0' || *text > '9' || __builtin_mul_overflow(value, 10, &value) ||
		    __builtin_add_overflow(value, (uint64_t)(*text - '0'), &value))
			return false;
	}
	if (value < min || value > max)
		return false;

	*ret = value;
	return true;
}

/* Decimal seconds, whatever the locale says about the point; digits below 1 ns are cut. */
static bool parse_seconds(const char *text, uint64_t *ret_ns)
{
	uint64_t ns = 0, unit_ns = NSEC_PER_SEC;
	bool has_digit = false;

	for (; *text >= '0' && *text <= '9'; text++) {
		ns = ns * 10 + (uint64_t)(*text - '0') * NSEC_PER_SEC;
		has_digit = true;
		if (ns > INTERVAL_MAX_NS)
			return false;
	}
	if (*text == '.') {
		for (text++; *text >= '0' && *text <= '9'; text++) {
			unit_ns /= 10;
			ns += (uint64_t)(*text - '0') * unit_ns;
			has_digit = true;
		}
	}
	if (*text || !has_digit || ns < INTERVAL_MIN_NS || ns > INTERVAL_MAX_NS)
		return false;

	*ret_ns = ns;
	return true;
}

static bool list_add(struct parse *parse, struct string_list *list, const char *item)
{
	const char **items;

	items = reallocarray(list->items, list->n + 1, sizeof(*items));
	if (!items)
		return fail_memory(parse);

	list->items = items;
	list->items[list->n++] = item;
	return true;
}

/* A copy of @n bytes that options_done() frees; NULL if there is no memory. */
static const char *keep(struct options *options, const char *bytes, size_t n)
{
	char **storage, *copy;

	storage = reallocarray(options->storage, options->n_storage + 1, sizeof(*storage));
	if (!storage)
		return NULL;
	options->storage = storage;

	copy = strndup(bytes, n);
	if (copy)
		options->storage[options->n_storage++] = copy;
	return copy;
}

static bool set_interval(struct parse *parse, const char *value)
{
	if (!parse_seconds(value, &parse->options->interval_ns))
		return fail_value(parse, value, "a number of seconds from 0.01 to 86400");
	return true;
}

static bool set_intervals(struct parse *parse, const char *value)
{
	if (!parse_uint(value, 1, UINT64_MAX, &parse->options->intervals))
		return fail_value(parse, value, "a whole number of at least 1");
	return true;
}

static bool set_comm(struct parse *parse, const char *value)
{
	struct string_list *comms = &parse->options->comms;
	const char *comm;

	if (comms->n >= COMMS_MAX)
		return fail(parse, "--comm: more than %d names", COMMS_MAX);

	comm = keep(parse->options, value, COMM_LEN - 1);
	if (!comm)
		return fail_memory(parse);
	return list_add(parse, comms, comm);
}

static bool set_cgroup(struct parse *parse, const char *value)
{
	return list_add(parse, &parse->options->cgroups, value);
}

static bool set_container(struct parse *parse, const char *value)
{
	return list_add(parse, &parse->options->containers, value);
}

static bool set_pod(struct parse *parse, const char *value)
{
	return list_add(parse, &parse->options->pods, value);
}

static bool set_namespace(struct parse *parse, const char *value)
{
	return list_add(parse, &parse->options->namespaces, value);
}

static bool set_pid(struct parse *parse, const char *value)
{
	struct options *options = parse->options;
	int32_t *pids;
	uint64_t pid;

	if (!parse_uint(value, 1, INT32_MAX, &pid))
		return fail_value(parse, value, "a process id, a whole number of at least 1");

	pids = reallocarray(options->pids, options->n_pids + 1, sizeof(*pids));
	if (!pids)
		return fail_memory(parse);
	options->pids = pids;
	options->pids[options->n_pids++] = (int32_t)pid;
	return true;
}

static bool add_syscall(struct parse *parse, const char *name)
{
	if (*name == '\0')
		return fail(parse, "--syscall: an empty name; expected NAME[,NAME...]");
	if (!syscall_name_is_known(name))
		return fail_value(
			parse, name,
			"a system call of this machine (names as strace prints them, "
			"such as pread64 or newfstatat; sys_N for a number without a name)");
	return list_add(parse, &parse->options->syscalls, name);
}

static bool set_syscall(struct parse *parse, const char *value)
{
	for (;;) {
		size_t n = strcspn(value, ",");
		const char *name = keep(parse->options, value, n);

		if (!name)
			return fail_memory(parse);
		if (!add_syscall(parse, name))
			return false;
		if (value[n] == '\0')
			return true;
		value += n + 1;
	}
}

static bool set_containers_only(struct parse *parse, const char *value)
{
	parse->options->containers_only = true;
	return true;
}

static bool set_by(struct parse *parse, const char *value)
{
	static const char *const words[] = {
		[ROW_PROCESS] = "process",
		[ROW_CONTAINER] = "container",
		[ROW_THREAD] = "thread",
	};

	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		if (strcmp(value, words[i]) == 0) {
			parse->options->by = (enum row_unit)i;
			return true;
		}
	}
	return fail_value(parse, value, "one of container, process, thread");
}

static bool set_top(struct parse *parse, const char *value)
{
	uint64_t top;

	if (!parse_uint(value, 1, UINT32_MAX, &top))
		return fail_value(parse, value, "a whole number of at least 1");
	parse->options->top = (uint32_t)top;
	return true;
}

static bool set_output(struct parse *parse, const char *value)
{
	static const char *const words[] = { [OUTPUT_TEXT] = "text", [OUTPUT_JSON] = "json" };

	for (size_t i = 0; i < N_ELEMENTS(words); i++) {
		if (strcmp(value, words[i]) == 0) {
			parse->options->output = (enum output_format)i;
			parse->wants_text = i == OUTPUT_TEXT;
			return true;
		}
	}
	return fail_value(parse, value, "one of text, json");
}

static bool set_in_flight(struct parse *parse, const char *value)
{
	uint64_t ms;

	if (!parse_uint(value, 0, IN_FLIGHT_MAX_MS, &ms))
		return fail_value(parse, value, "a whole number of milliseconds (0 turns it off)");
	parse->options->in_flight_ns = ms * NSEC_PER_MSEC;
	return true;
}

/*
 * Of "ADDR:PORT", what is before the colon. Brackets are for IPv6 alone, and it needs them: without
 * them its colons leave open where the port begins.
 */
static bool is_listen_host(const char *host, size_t n)
{
	bool bracketed = n > 2 && host[0] == '[' && host[n - 1] == ']';
	char text[INET6_ADDRSTRLEN];
	struct in6_addr address;

	if (bracketed) {
		host++;
		n -= 2;
	}
	if (n >= sizeof(text))
		return false;
	memcpy(text, host, n);
	text[n] = '\0';
	if (bracketed)
		return inet_pton(AF_INET6, text, &address) == 1;
	return n == 0 || strcmp(text, "localhost") == 0 || inet_pton(AF_INET, text, &address) == 1;
}

static bool set_listen(struct parse *parse, const char *value)
{
	const char *colon = strrchr(value, ':');
	bool is_unix = strncmp(value, "unix:/", strlen("unix:/")) == 0;
	const size_t path_max = sizeof(((struct sockaddr_un *)NULL)->sun_path) - 1;
	uint64_t port;

	if (is_unix && strlen(value) - strlen("unix:") > path_max)
		return fail(parse, "--listen: a socket's path has at most %zu bytes", path_max);
	if (!is_unix && (!colon || !is_listen_host(value, (size_t)(colon - value)) ||
			 !parse_uint(colon + 1, 0, UINT16_MAX, &port)))
		return fail_value(
			parse, value,
			"ADDR:PORT, such as 127.0.0.1:9435, [::]:9435 or :9435, nor unix:/PATH");

	if (parse->options->listen)
		return fail(parse, "--listen: given twice; there can be one only, such as :9435 "
				   "for all addresses");
	parse->options->listen = value;
	return true;
}

static bool set_metrics_syscalls(struct parse *parse, const char *value)
{
	uint64_t n;

	if (!parse_uint(value, 1, CALLS_MAX, &n))
		return fail_value(parse, value, "a whole number from 1 to 1024");
	parse->options->metrics_syscalls = (uint32_t)n;
	parse->has_metrics_syscalls = true;
	return true;
}

static bool set_host_root(struct parse *parse, const char *value)
{
	parse->options->host_root = value;
	return true;
}

static bool set_node(struct parse *parse, const char *value)
{
	parse->options->node = value;
	return true;
}

static bool set_btf(struct parse *parse, const char *value)
{
	parse->options->btf = value;
	return true;
}

static bool set_verbose(struct parse *parse, const char *value)
{
	parse->options->verbose++;
	return true;
}

static const struct option_spec specs[] = {
	{ 'i', "interval", "SECONDS",
	  "flush interval (default 10); decimals allowed, 0.01 to 86400", set_interval },
	{ 'n', "intervals", "N", "stop after N intervals", set_intervals },
	{ 'c', "comm", "NAME",
	  "only tasks whose own name or whose process's name is NAME\n"
	  "(cut to 15 bytes, as the kernel does); repeatable",
	  set_comm },
	{ 0, "cgroup", "PATTERN",
	  "only this cgroup and everything below it: a path, an id, or\n"
	  "a glob over paths; repeatable",
	  set_cgroup },
	{ 0, "container", "GLOB",
	  "only containers of this name, or whose id starts with this\n"
	  "(4 hex digits or more); repeatable",
	  set_container },
	{ 0, "pod", "GLOB", "only pods of this name; repeatable", set_pod },
	{ 0, "namespace", "GLOB", "only Kubernetes namespaces of this name; repeatable",
	  set_namespace },
	{ 'p', "pid", "PID", "only this process; repeatable", set_pid },
	{ 's', "syscall", "NAME[,NAME...]", "only these system calls; repeatable", set_syscall },
	{ 0, "containers-only", NULL, "leave out processes that are in no container",
	  set_containers_only },
	{ 0, "by", "container|process|thread", "what one row is (default process)", set_by },
	{ 0, "top", "N",
	  "at most N rows per container (by time, waits last), the rest\n"
	  "summed into one row named \"other\"",
	  set_top },
	{ 'o', "output", "text|json", "output format (default text)", set_output },
	{ 0, "in-flight", "MS",
	  "report calls made since the start that have not\n"
	  "returned for at least MS milliseconds (default 1000);\n"
	  "0 turns it off",
	  set_in_flight },
	{ 0, "listen", "ADDR:PORT",
	  "also serve /metrics, /healthz and /readyz; :PORT is all\n"
	  "addresses, unix:/PATH a socket",
	  set_listen },
	{ 0, "metrics-syscalls", "N",
	  "at most N calls per container in /metrics (default 30), the\n"
	  "rest as syscall=\"other\"",
	  set_metrics_syscalls },
	{ 0, "host-root", "DIR", "where the host's root is mounted (default /)", set_host_root },
	{ 0, "node", "NAME", "name of this node (default $NODE_NAME, else the host name)",
	  set_node },
	{ 0, "btf", "FILE", "BTF of the running kernel, if /sys/kernel/btf/vmlinux is missing",
	  set_btf },
	{ 'v', "verbose", NULL, "diagnostics on stderr; twice: those of libbpf, too", set_verbose },
	{ 0, "version", NULL, "print the versions of cgscope, libbpf and the kernel", NULL },
	{ 'h', "help", NULL, "print this help", NULL },
};

/* What getopt_long() returns for the long options: above any letter. */
#define LONG_FIRST 0x100

_Static_assert(N_ELEMENTS(specs) <= 64, "each has a bit in struct parse");

#define LETTERS_MAX (2 + 2 * N_ELEMENTS(specs) + 1)

/* '-': operands come in their place, whatever POSIXLY_CORRECT says; ':': errors are ours. */
static void make_letters(char ret[static LETTERS_MAX])
{
	*ret++ = '-';
	*ret++ = ':';
	for (size_t i = 0; i < N_ELEMENTS(specs); i++) {
		if (!specs[i].letter)
			continue;
		*ret++ = specs[i].letter;
		if (specs[i].argument)
			*ret++ = ':';
	}
	*ret = '\0';
}

static void make_long_options(struct option ret[static N_ELEMENTS(specs) + 1])
{
	for (size_t i = 0; i < N_ELEMENTS(specs); i++)
		ret[i] = (struct option){
			.name = specs[i].name,
			.has_arg = specs[i].argument ? required_argument : no_argument,
			.val = LONG_FIRST + (int)i,
		};
	ret[N_ELEMENTS(specs)] = (struct option){ 0 };
}

static const struct option_spec *spec_of(int value)
{
	if (value >= LONG_FIRST && value < LONG_FIRST + (int)N_ELEMENTS(specs))
		return &specs[value - LONG_FIRST];
	for (size_t i = 0; i < N_ELEMENTS(specs); i++) {
		if (value > 0 && specs[i].letter == value)
			return &specs[i];
	}
	return NULL;
}

/* @argument is what getopt stopped at, if it was a long option; of a letter optopt has it. */
static bool fail_option(struct parse *parse, const char *argument)
{
	const struct option_spec *spec = spec_of(optopt);
	char word[128];

	if (spec)
		return fail(parse, "--%s takes no value", spec->name);
	if (optopt)
		return fail(parse, "unknown option \"-%c\"; see cgscope --help",
			    optopt > 0x20 && optopt < 0x7f ? optopt : '?');

	text_to_word(argument, SIZE_MAX, word, sizeof(word));
	return fail(parse, "unknown or ambiguous option \"%s\"; see cgscope --help", word);
}

/* "pid:" and "cgroup:" are for those who mean it: what follows is a number. */
static bool check_target(struct parse *parse, const char *target)
{
	static const struct {
		const char *prefix;
		const char *what;
	} prefixes[] = { { "pid:", "a PID" }, { "cgroup:", "the id of a cgroup" } };
	char word[128];

	if (*target == '\0')
		return fail(parse, "resolve: an empty TARGET");
	for (size_t i = 0; i < N_ELEMENTS(prefixes); i++) {
		size_t n = strlen(prefixes[i].prefix);

		if (strncmp(target, prefixes[i].prefix, n) != 0)
			continue;
		if (target[n] && strspn(target + n, "0123456789") == strlen(target + n))
			continue;
		text_to_word(target, SIZE_MAX, word, sizeof(word));
		return fail(parse, "resolve: \"%s\": what follows \"%s\" is not %s", word,
			    prefixes[i].prefix, prefixes[i].what);
	}
	return true;
}

static bool take_operand(struct parse *parse, const char *operand)
{
	static const struct {
		const char *name;
		enum command command;
	} commands[] = {
		{ "resolve", COMMAND_RESOLVE },
		{ "check", COMMAND_CHECK },
	};
	struct options *options = parse->options;
	char word[128] = "";

	if (*operand)
		text_to_word(operand, SIZE_MAX, word, sizeof(word));
	if (!parse->has_command) {
		parse->has_command = true;
		for (size_t i = 0; i < N_ELEMENTS(commands); i++) {
			if (strcmp(operand, commands[i].name) == 0) {
				options->command = commands[i].command;
				return true;
			}
		}
		return fail(parse, "\"%s\" is not a command: resolve, check, or none to monitor",
			    word);
	}
	if (options->command != COMMAND_RESOLVE)
		return fail(parse, "unexpected argument \"%s\"; see cgscope --help", word);
	return check_target(parse, operand) && list_add(parse, &options->targets, operand);
}

/* An option that was given and that the command has no use for; NULL: none. */
static const char *useless_option(const struct parse *parse)
{
	static const char *const useful[][6] = {
		[COMMAND_RESOLVE] = { "output", "host-root", "node", "btf", "verbose" },
		[COMMAND_CHECK] = { "host-root", "btf", "verbose" },
	};
	const char *const *names = useful[parse->options->command];

	if (parse->options->command == COMMAND_MONITOR)
		return NULL;
	for (size_t i = 0; i < N_ELEMENTS(specs); i++) {
		size_t n = 0;

		while (names[n] && strcmp(names[n], specs[i].name) != 0)
			n++;
		if (parse->given >> i & 1 && !names[n])
			return specs[i].name;
	}
	return NULL;
}

static bool take_option(struct parse *parse, int value)
{
	parse->spec = spec_of(value);
	if (parse->spec->argument && *optarg == '\0')
		return fail(parse, "--%s: an empty value; expected %s", parse->spec->name,
			    parse->spec->argument);
	parse->given |= UINT64_C(1) << (parse->spec - specs);
	return parse->spec->set(parse, optarg);
}

static enum options_result parse_arguments(struct parse *parse, int argc, char **argv)
{
	struct option long_options[N_ELEMENTS(specs) + 1];
	char letters[LETTERS_MAX];
	bool good = true;
	int value;

	make_letters(letters);
	make_long_options(long_options);
	opterr = 0;
	optind = 0; /* start anew: tests parse more than once */
	while (good && (value = getopt_long(argc, argv, letters, long_options, NULL)) != -1) {
		if (value == 1) {
			good = take_operand(parse, optarg);
		} else if (value == ':') {
			parse->spec = spec_of(optopt);
			good = fail(parse, "--%s needs %s", parse->spec->name,
				    parse->spec->argument);
		} else if (value == '?') {
			good = fail_option(parse, argv[optind - 1]);
		} else if (strcmp(spec_of(value)->name, "help") == 0) {
			return OPTIONS_HELP;
		} else if (strcmp(spec_of(value)->name, "version") == 0) {
			return OPTIONS_VERSION;
		} else {
			good = take_option(parse, value);
		}
	}
	/* Behind "--". */
	for (; good && optind < argc; optind++)
		good = take_operand(parse, argv[optind]);

	return good ? OPTIONS_RUN : OPTIONS_ERROR;
}

/* What is wrong with all of it together. */
static bool check_whole(struct parse *parse)
{
	const struct options *options = parse->options;
	bool resolves = options->command == COMMAND_RESOLVE;
	const char *useless = useless_option(parse);

	parse->spec = NULL;
	if (resolves && options->targets.n == 0)
		return fail(parse,
			    "resolve needs at least one TARGET: "
			    "a cgroup path, a line of /proc/PID/cgroup, a cgroup id or a PID");
	if (resolves && parse->wants_text)
		return fail(parse, "--output: resolve prints JSON lines only; leave \"text\" out");
	if (useless)
		return fail(parse, "--%s: %s has no use for it; leave it out", useless,
			    resolves ? "resolve" : "check");
	if (parse->has_metrics_syscalls && !options->listen)
		return fail(parse, "--metrics-syscalls: nothing is served without --listen "
				   "ADDR:PORT");
	return true;
}

enum options_result options_parse(int argc, char **argv, const char *node_default,
				  struct options *ret, char *ret_error, size_t error_size)
{
	struct parse parse = { .options = ret, .error = ret_error, .error_size = error_size };
	enum options_result result;
	const char *node;

	node = getenv("NODE_NAME");
	*ret = (struct options){
		.interval_ns = 10 * NSEC_PER_SEC,
		.in_flight_ns = 1000 * NSEC_PER_MSEC,
		.metrics_syscalls = 30,
		.node = node && *node ? node : node_default,
	};

	result = parse_arguments(&parse, argc, argv);
	if (result == OPTIONS_RUN && !check_whole(&parse))
		return OPTIONS_ERROR;
	return result;
}

#define HELP_COLUMN 32

/* "  -i, --interval SECONDS", then the help in its column, on the next line if the name is long. */
static void help_option(FILE *out, const struct option_spec *spec)
{
	char name[64];
	int n;

	n = snprintf(name, sizeof(name), "  %c%c%s--%s%s%s", spec->letter ? '-' : ' ',
		     spec->letter ? spec->letter : ' ', spec->letter ? ", " : "  ", spec->name,
		     spec->argument ? " " : "", spec->argument ? spec->argument : "");
	if (n < HELP_COLUMN - 1)
		fprintf(out, "%-*s", HELP_COLUMN, name);
	else
		fprintf(out, "%s\n%*s", name, HELP_COLUMN, "");

	for (const char *c = spec->help; *c; c++) {
		fputc(*c, out);
		if (*c == '\n')
			fprintf(out, "%*s", HELP_COLUMN, "");
	}
	fputc('\n', out);
}

void options_help(FILE *out)
{
	fputs("cgscope shows what every container on this machine does at the system-call boundary:\n"
	      "how many calls, how slow, how many failed, how many bytes.\n"
	      "\n"
	      "Usage:\n"
	      "  cgscope [OPTIONS]                     monitor until SIGINT or SIGTERM\n"
	      "  cgscope resolve [OPTIONS] TARGET...   explain what a cgroup path, a line of\n"
	      "                                        /proc/PID/cgroup, a cgroup id or a PID is\n"
	      "  cgscope check [OPTIONS]               say whether this machine can run cgscope, and\n"
	      "                                        which container runtimes it can read\n"
	      "\n"
	      "Options:\n",
	      out);
	for (size_t i = 0; i < N_ELEMENTS(specs); i++)
		help_option(out, &specs[i]);
	fputs("\n"
	      "A TARGET that is a number is the id of a cgroup, if there is such a cgroup, else a\n"
	      "PID; cgroup:4711 and pid:4711 are the one or the other. /proc/4711/cgroup is the\n"
	      "process, too. All else is a path or a line of such a file. The exit status of\n"
	      "resolve is 0 if one of them was known at least.\n"
	      "\n"
	      "An option given twice widens the selection, different options narrow it.\n"
	      "\n"
	      "Examples:\n"
	      "  cgscope                                    everything, every 10 seconds\n"
	      "  cgscope -i 1 -n 5 --container 'web*'       five seconds of some containers\n"
	      "  cgscope -s fsync,fdatasync --top 10        who waits for the disk\n"
	      "  cgscope -o json --containers-only          JSON lines, for a log collector\n"
	      "  cgscope --cgroup /system.slice/ssh.service --by thread\n"
	      "  cgscope resolve 4711 /docker/0123abcd      what are these?\n"
	      "\n"
	      "Exit status: 0 done (also after SIGINT, SIGTERM or a closed pipe), 1 failure,\n"
	      "2 wrong usage.\n",
	      out);
}

void options_done(struct options *options)
{
	struct string_list *lists[] = { &options->comms,      &options->cgroups,
					&options->containers, &options->pods,
					&options->namespaces, &options->syscalls,
					&options->targets };

	for (size_t i = 0; i < N_ELEMENTS(lists); i++)
		free(lists[i]->items);
	for (size_t i = 0; i < options->n_storage; i++)
		free(options->storage[i]);
	free(options->storage);
	free(options->pids);
	*options = (struct options){ 0 };
}
