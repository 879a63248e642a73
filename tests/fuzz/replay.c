/* SPDX-License-Identifier: BSD-2-Clause */
/*
 * Runs a fuzz entry on each argument: a file is an input, a directory holds inputs, and in a table
 * (*.tsv) every cell is one.
 */
#include <dirent.h>
#include <errno.h>
#include <stdbool.h>

#include "fuzz.h"
#include "src/cleanup.h"

static size_t n_inputs;

static void run(const char *data, size_t size)
{
	char *copy = malloc(size + !size); /* a sanitizer sees what is read behind its end */

	PROMISE(copy);
	memcpy(copy, data, size);
	(void)LLVMFuzzerTestOneInput((const uint8_t *)copy, size);
	free(copy);
	n_inputs++;
}

static void run_table(char *text)
{
	for (char *cell = text; *cell != '\0';) {
		size_t n = strcspn(cell, "\t\n");

		run(cell, n);
		cell += n + (cell[n] != '\0');
	}
}

static bool run_file(const char *path)
{
	_cleanup_(fclosep) FILE *file = fopen(path, "re");
	_cleanup_(freep) char *text = NULL;
	const char *dot = strrchr(path, '.');
	size_t size = 0, n;

	if (!file || fseek(file, 0, SEEK_END) < 0)
		return false;
	size = (size_t)ftell(file);
	rewind(file);
	text = calloc(1, size + 1);
	PROMISE(text);
	n = fread(text, 1, size, file);
	if (n != size)
		return false;

	if (dot && strcmp(dot, ".tsv") == 0)
		run_table(text);
	else
		run(text, n);
	return true;
}

static bool run_directory(const char *path, DIR *directory)
{
	const struct dirent *entry;

	while ((entry = readdir(directory))) {
		_cleanup_(freep) char *name = NULL;

		if (entry->d_name[0] == '.')
			continue;
		PROMISE(asprintf(&name, "%s/%s", path, entry->d_name) > 0);
		if (!run_file(name)) {
			fprintf(stderr, "cannot read \"%s\"\n", name);
			return false;
		}
	}
	return true;
}

static bool run_argument(const char *path)
{
	_cleanup_(closedirp) DIR *directory = opendir(path);

	if (directory)
		return run_directory(path, directory);
	if (errno == ENOTDIR && run_file(path))
		return true;
	fprintf(stderr, "cannot read \"%s\"\n", path);
	return false;
}

int main(int argc, char *argv[])
{
	for (int i = 1; i < argc; i++)
		if (!run_argument(argv[i]))
			return EXIT_FAILURE;
	printf("%zu inputs\n", n_inputs);
	return n_inputs > 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}
