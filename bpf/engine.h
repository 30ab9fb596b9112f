/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Loads, attaches, switches and measures the programs in the kernel. No object is pinned. */
#ifndef LAZYSCOPE_BYPASS_ENGINE_H
#define LAZYSCOPE_BYPASS_ENGINE_H

#include <stdbool.h>
#include "request.h"

/* The reason of a failure, from libbpf or the verifier. */
struct failure {
	int error; /* errno value */
	char reason[512];
};

/* Loads the programs and unloads them at once: a test whether the kernel accepts them. */
bool engine_probe(unsigned int log_level, struct failure *failure);
/* Loads the programs and attaches to the socket map and the tracepoints. Accelerates nothing yet. */
bool engine_load(const struct request *request, struct failure *failure);
bool engine_loaded(void);
/*
 * Switches off and unloads the programs; the kernel keeps the parts that open connections use. Call
 * it after cgroup_keep has detached every cgroup.
 */
void engine_unload(void);

/* Sets limits, ports and the switches. */
void engine_configure(const struct request *request, bool insert);
/* New connections use the stack. Open connections return to the stack with their next message. */
void engine_off(void);
bool engine_on(void);

struct figures {
	unsigned int sockets, arrived, connections, expected, waiting, swept;
	uint64_t unread_max; /* most unread bytes in one direction of a connection */
	uint64_t counters[COUNTERS_MAX];
};

/* Removes connections whose two ends are closed, then counts. */
void engine_measure(struct figures *figures);

/*
 * Attaches to the cgroup at a path; true also if it was attached. False: `failure` has the reason.
 */
bool cgroup_attach(const char *path, struct failure *failure);
/* Detaches from all cgroups that the request does not name: their new connections use the stack. */
void cgroup_keep(const struct request *request);
unsigned int cgroup_count(void);

struct bypass;
struct bypass *engine_programs(void);

#endif
