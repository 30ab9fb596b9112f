/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Tests how the kernel treats sockets in a map, on our own sockets, before any other is
 * accelerated.
 */
#ifndef LAZYSCOPE_BYPASS_SELFTEST_H
#define LAZYSCOPE_BYPASS_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The limits during the self-test. */
#define TRIAL_BYTES (1u << 20)
#define TRIAL_MESSAGES 1024

/* A connection to this process; both ends are non-blocking. */
struct ends {
	int client, server;
};

/* One check on a fresh connection. `run` returns NULL, or the reason of a failure. */
struct check {
	const char *name;
	const char *(*run)(struct ends *ends);
};

extern const struct check checks[];
extern const size_t check_count;

/* Switches between redirection and the stack. */
void trial_redirect(bool on);
/* Detaches and unloads everything while connections are open, as when the loader dies. */
void trial_detach(void);

/*
 * Replaces the client, unnoticed by the server, by a socket that sends from `back` bytes earlier in
 * the sequence. Needs CAP_NET_ADMIN.
 */
bool rewind_client(struct ends *ends, unsigned int back);

/* Answers the command: "ok" or a reason for each check. This process must be in the cgroup. */
bool answer_selftest(const char *command, const char *cgroup);

#endif
