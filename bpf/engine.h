/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The programs in the kernel: loaded, attached, switched, measured. Nothing is pinned. */
#ifndef LAZYSCOPE_BYPASS_ENGINE_H
#define LAZYSCOPE_BYPASS_ENGINE_H

#include <stdbool.h>
#include "request.h"

/* What went wrong, with the words of libbpf or the verifier. */
struct failure {
	int error; /* errno value */
	char reason[512];
};

/* Loads the programs and lets them go again. */
bool engine_probe(unsigned int log_level, struct failure *failure);
/* Loads and attaches to the table of sockets and to the tracepoint; new connections are not yet taken in. */
bool engine_load(const struct request *request, struct failure *failure);
bool engine_loaded(void);
/* Switches off and unloads the programs; the kernel keeps what open connections need. Call it after
 * cgroup_keep has detached every cgroup. */
void engine_unload(void);

/* Sets limits, ports and the switches. */
void engine_configure(const struct request *request, bool insert);
/* New connections stay on the stack, and open ones go back to it as soon as they are read up. */
void engine_off(void);
bool engine_on(void);

struct figures {
	unsigned int sockets, connections, expected, waiting, swept;
	uint64_t unread_max; /* bytes of the worst direction of a connection */
	uint64_t counters[COUNTERS_MAX];
};

/* Forgets connections of which both ends are gone, then counts. */
void engine_measure(struct figures *figures);

/* Attaches to the cgroup at a path, or says why not. Already attached is fine. */
bool cgroup_attach(const char *path, struct failure *failure);
/* Detaches from all cgroups that the request does not name: new connections there stay on the stack. */
void cgroup_keep(const struct request *request);
unsigned int cgroup_count(void);

struct bypass;
struct bypass *engine_programs(void);

#endif
