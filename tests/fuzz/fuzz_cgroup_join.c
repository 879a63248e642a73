/* SPDX-License-Identifier: BSD-2-Clause */
#include <errno.h>

#include "fuzz.h"
#include "src/cgroup_path.h"

/* The first byte is the room for the result, then come the own path, a NUL and the seen one. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	char *own, *seen, *joined;
	size_t room;
	int r;

	if (size == 0)
		return 0;
	room = data[0];
	data++;
	size--;
	own = fuzz_first(&data, &size);
	seen = fuzz_string(data, size);
	joined = malloc(room + !room);
	PROMISE(joined);

	r = cgroup_path_join(own, seen, joined, room);
	PROMISE(r == 0 || r == -ERANGE || r == -EINVAL || r == -ENAMETOOLONG);
	if (r == 0) {
		size_t n = strnlen(joined, room);

		PROMISE(n < room && joined[0] == '/');
		PROMISE(n == 1 || joined[n - 1] != '/');
		PROMISE(!strstr(joined, "/../"));
	}
	free(joined);
	free(seen);
	free(own);
	return 0;
}
