/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* How the self-test sends and receives on its own non-blocking sockets. */
#ifndef LAZYSCOPE_BYPASS_TALK_H
#define LAZYSCOPE_BYPASS_TALK_H

#include <stdbool.h>
#include <stddef.h>

/* How long a check waits for data. */
#define WAIT_MS 2000
#define PIECE 65536

extern unsigned char out[PIECE], in[PIECE];

bool readable(int fd, int ms);
/* Sends `size` times `byte`, at most PIECE, in one call. */
bool say(int fd, char byte, size_t size);
/* Reads exactly `size` bytes and checks that each is `byte`. */
bool hear(int fd, char byte, size_t size);
/* Sends pieces until the socket takes no more, or `most` bytes were sent; returns how many. */
size_t fill(int fd, char byte, size_t most);

#endif
