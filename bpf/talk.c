// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include "talk.h"

unsigned char out[PIECE], in[PIECE];

bool readable(int fd, int ms)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	return poll(&p, 1, ms) == 1;
}

bool say(int fd, char byte, size_t size)
{
	memset(out, byte, size);
	return send(fd, out, size, MSG_NOSIGNAL) == (ssize_t)size;
}

bool hear(int fd, char byte, size_t size)
{
	while (size) {
		ssize_t n = readable(fd, WAIT_MS) ? recv(fd, in, size < PIECE ? size : PIECE, 0) : -1;

		if (n <= 0)
			return false;
		for (ssize_t i = 0; i < n; i++)
			if (in[i] != (unsigned char)byte)
				return false;
		size -= (size_t)n;
	}
	return true;
}

size_t fill(int fd, char byte, size_t most)
{
	size_t sent = 0;
	ssize_t n;

	memset(out, byte, PIECE);
	while (sent < most && (n = send(fd, out, PIECE, MSG_NOSIGNAL)) > 0)
		sent += (size_t)n;
	return sent;
}
