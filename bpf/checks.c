// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>
#include "engine.h"
#include "selftest.h"
#include "talk.h"

#define WHOLE (64u << 20)

static const char *paired(struct ends *e)
{
	static struct figures figures;

	engine_measure(&figures);
	if (!figures.counters[COUNT_server_seen])
		return "an accepted socket was not seen: its listener belongs to another cgroup";
	if (!figures.counters[COUNT_server_in])
		return "the two ends were not paired";
	if (!say(e->client, 'a', 100) || !hear(e->server, 'a', 100))
		return "data did not arrive";
	engine_measure(&figures);
	return figures.counters[COUNT_HOPS + REDIRECTED_BYTES] ? NULL : "data was not redirected";
}

static const char *order(struct ends *e)
{
	for (int i = 0; i < 50; i++) {
		trial_redirect(i % 2);
		if (!say(e->client, 'A', 1000) || (i % 3 && !hear(e->server, 'A', 400)))
			return "data did not arrive";
		trial_redirect((i + 1) % 2);
		if (!say(e->client, 'B', 1000))
			return "data was not sent";
		trial_redirect(true);
		if (!say(e->client, 'C', 1000))
			return "data was not sent";
		if (!hear(e->server, 'A', i % 3 ? 600 : 1000) || !hear(e->server, 'B', 1000) ||
		    !hear(e->server, 'C', 1000))
			return "data was reordered or lost across switches";
	}
	return NULL;
}

/* After a partial send the kernel reuses the last verdict without running the programs. */
static const char *partial(struct ends *e)
{
	trial_redirect(false);
	size_t first = fill(e->client, 'A', SIZE_MAX);

	if (!hear(e->server, 'A', first))
		return "data did not arrive";
	size_t second = fill(e->client, 'B', 8 * PIECE);

	trial_redirect(true);
	if (!hear(e->server, 'B', second / 2))
		return "data did not arrive";
	size_t third = say(e->client, 'C', 1) + say(e->client, 'C', 1);

	return hear(e->server, 'B', second - second / 2) && hear(e->server, 'C', third) ?
		       NULL : "data overtook the rest of a partial send";
}

/* As after a retransmission that merged old and new data into one segment. */
static const char *repeated(struct ends *e)
{
	trial_redirect(false);
	if (!say(e->client, 'A', 1000) || !hear(e->server, 'A', 600))
		return "data did not arrive";
	if (!rewind_client(e, 500))
		return "the client cannot repeat data";
	memset(out, 'A', 500);
	memset(out + 500, 'B', 500);
	if (send(e->client, out, 1000, MSG_NOSIGNAL) != 1000)
		return "data was not sent";
	return hear(e->server, 'A', 400) && hear(e->server, 'B', 500) && !readable(e->server, 0) ?
		       NULL : "data that arrived twice was read twice";
}

static const char *backpressure(struct ends *e)
{
	size_t most = 256u << 20, sent = fill(e->client, 'A', most);

	if (sent >= most)
		return "a writer never blocked although nobody read";
	return hear(e->server, 'A', sent) ? NULL : "data did not arrive";
}

static const char *fionread(struct ends *e)
{
	for (int redirect = 0; redirect < 2; redirect++) {
		int n = 0;

		trial_redirect(redirect);
		if (!say(e->client, 'A', 600) || !readable(e->server, WAIT_MS))
			return "data did not arrive";
		if (ioctl(e->server, FIONREAD, &n) || n != 600)
			return redirect ? "wrong for redirected data" : "wrong for data of the stack";
		if (!hear(e->server, 'A', 600))
			return "data did not arrive";
	}
	return NULL;
}

static const char *readiness(struct ends *e)
{
	for (int redirect = 0; redirect < 2; redirect++) {
		trial_redirect(redirect);
		if (readable(e->server, 0))
			return "readable without data";
		if (!say(e->client, 'A', 10) || !readable(e->server, WAIT_MS) || !hear(e->server, 'A', 10))
			return "a reader was not woken";
	}
	return readable(e->server, 0) ? "readable without data" : NULL;
}

static const char *half_close(struct ends *e)
{
	say(e->client, 'A', 10);
	shutdown(e->client, SHUT_WR);
	if (!hear(e->server, 'A', 10) || !readable(e->server, WAIT_MS) || recv(e->server, in, 1, 0) != 0)
		return "no end after the data";
	return say(e->server, 'B', 10) && hear(e->client, 'B', 10) ? NULL : "the other direction ended too";
}

static const char *reset(struct ends *e)
{
	struct linger linger = { .l_onoff = 1 };

	setsockopt(e->client, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
	close(e->client);
	e->client = -1;
	if (!readable(e->server, WAIT_MS))
		return "the other end was not notified";
	return recv(e->server, in, 1, 0) < 0 && errno == ECONNRESET ? NULL : "the reset was seen as an ordinary end";
}

static const char *peek(struct ends *e)
{
	say(e->client, 'A', 10);
	if (!readable(e->server, WAIT_MS) || recv(e->server, in, 10, MSG_PEEK) != 10)
		return "peeking found no data";
	return hear(e->server, 'A', 10) && !readable(e->server, 0) ? NULL : "peeking took data out";
}

/* Splicing redirected data may fail, with EAGAIN: readers that splice must not be accelerated. */
static const char *no_splice(struct ends *e)
{
	int pipes[2];
	ssize_t n;

	say(e->client, 'A', 10);
	if (!readable(e->server, WAIT_MS) || pipe2(pipes, O_NONBLOCK))
		return "data did not arrive";
	n = splice(e->server, NULL, pipes[1], NULL, 10, SPLICE_F_NONBLOCK);
	close(pipes[0]);
	close(pipes[1]);
	return n == 10 || (n < 0 && errno == EAGAIN) ? NULL : "returned neither data nor EAGAIN";
}

/* Returns the expected byte at an offset. No two pieces of the stream are equal. */
static unsigned char expected_at(size_t at)
{
	return (unsigned char)((at * 2654435761u) >> 13 ^ at >> 16);
}

static const char *stream(struct ends *e, bool detach)
{
	size_t sent = 0, got = 0;

	while (got < WHOLE) {
		size_t size = WHOLE - sent < PIECE ? WHOLE - sent : 1 + (size_t)rand() % PIECE;
		ssize_t n;

		for (size_t i = 0; i < size; i++)
			out[i] = expected_at(sent + i);
		n = size && sent < WHOLE ? send(e->client, out, size, MSG_NOSIGNAL) : 0;
		sent += n > 0 ? (size_t)n : 0;
		if (detach && sent > WHOLE / 2)
			trial_detach();
		else if (!detach && rand() % 64 == 0)
			trial_redirect(rand() % 2);
		if (!readable(e->server, n > 0 ? 0 : WAIT_MS)) {
			if (n <= 0)
				return "the stream stalled";
			continue;
		}
		n = recv(e->server, in, PIECE, 0);
		for (ssize_t i = 0; i < n; i++)
			if (in[i] != expected_at(got + (size_t)i))
				return "a byte was wrong";
		if (n <= 0)
			return "the stream broke";
		got += (size_t)n;
	}
	return NULL;
}

static const char *whole(struct ends *e)
{
	return stream(e, false);
}

static const char *detached(struct ends *e)
{
	return stream(e, true);
}

/* `detach` is last, because no connection is accelerated after it. */
const struct check checks[] = {
	{ "paired", paired },	    { "order", order },		{ "partialSend", partial },
	{ "repeated", repeated },
	{ "backPressure", backpressure }, { "fionread", fionread },	{ "readiness", readiness },
	{ "halfClose", half_close },	    { "reset", reset },		{ "peek", peek },
	{ "splice", no_splice },	    { "whole", whole },		{ "detach", detached },
};
const size_t check_count = sizeof(checks) / sizeof(*checks);
