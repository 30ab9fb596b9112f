/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* One line of standard input: a flat JSON object with a command and its options. */
#ifndef LAZYSCOPE_BYPASS_REQUEST_H
#define LAZYSCOPE_BYPASS_REQUEST_H

#include <stdbool.h>
#include <stdint.h>
#include "bypass.h"

/* Pods of a node: 110 by the kubelet's default, 250 at most as recommended; two are spare. */
#define CGROUPS_MAX 252
/* A pod's cgroup path has about 150 characters. */
#define PATH_SIZE 512
#define COMMAND_SIZE 16

struct request {
	char command[COMMAND_SIZE];
	bool has_cgroups, has_ports;
	unsigned int cgroup_count, port_count;
	char cgroups[CGROUPS_MAX][PATH_SIZE];
	uint16_t ports[PORTS_MAX];
	bool only_ports, redirect;
	uint64_t byte_limit, message_limit, stream_limit, stream_bytes, stream_seconds;
	uint64_t connections, seconds, log_level;
};

/*
 * Parses a line into `request`, which holds the defaults. Returns NULL, or the reason of a failure.
 */
const char *read_request(const char *line, struct request *request);

#endif
