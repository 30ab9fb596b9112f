/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the kernel does with sockets in a map is tried on sockets of our own before any other is touched. */
#ifndef LAZYSCOPE_BYPASS_SELFTEST_H
#define LAZYSCOPE_BYPASS_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The limits that the trial runs with. */
#define TRIAL_BYTES (1u << 20)
#define TRIAL_MESSAGES 1024

/* A connection to ourselves, both ends without blocking. */
struct ends {
	int client, server;
};

/* One thing to try on a fresh connection; NULL, or what was wrong. */
struct check {
	const char *name;
	const char *(*run)(struct ends *ends);
};

extern const struct check checks[];
extern const size_t check_count;

/* The switch between redirection and the stack. */
void trial_redirect(bool on);
/* Lets go of everything, as a loader that dies does, while connections are open. */
void trial_detach(void);

/* Answers the command: a word for each check. The loader's process must be in the cgroup. */
bool answer_selftest(const char *command, const char *cgroup);

#endif
