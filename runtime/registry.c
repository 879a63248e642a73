/* SPDX-License-Identifier: BSD-2-Clause */
#include "runtime/registry.h"

#include <stdlib.h>

/* Docker before containerd, which runs Docker's containers as well but does not know their names.
 */
const struct runtime *const runtimes[RUNTIMES_MAX + 1] = {
	&docker_runtime,      &containerd_runtime,   &crio_runtime,
	&podman_runtime,      &lxc_runtime,	     &nspawn_runtime,
	&libvirt_lxc_runtime, &libvirt_qemu_runtime, NULL,
};

void container_done(struct container *container)
{
	free(container->name);
	free(container->image_name);
	free(container->pod_name);
	free(container->pod_uid);
	free(container->namespace_name);
	free(container->k8s_container_name);
	for (size_t i = 0; i < container->n_watches; i++) {
		free(container->watches[i].base);
		free(container->watches[i].path);
	}
	*container = (struct container){ 0 };
}
