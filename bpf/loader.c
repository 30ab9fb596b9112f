// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Reads requests from standard input, one JSON object per line, and writes one JSON object per
 * answer to standard output. On end of input, closed output, SIGTERM or SIGINT, the loader switches
 * redirection off and exits; open connections continue over the stack.
 */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>
#include "answer.h"
#include "engine.h"
#include "selftest.h"

/* Holds all cgroups and ports of the largest policy. Paths count twice because of escapes. */
#define LINE_MAX_SIZE (CGROUPS_MAX * PATH_SIZE * 2 + PORTS_MAX * 8 + 4096)
/* The largest values that a request may set. */
#define CONNECTIONS_LIMIT 1048576
#define BYTES_LIMIT (1ull << 30)
#define SECONDS_LIMIT 3600
#define STREAM_SECONDS_LIMIT 86400

static volatile sig_atomic_t stopping;

static void stop(int signal)
{
	stopping = signal;
}

static bool answer_probe(const struct request *request)
{
	struct failure failure;
	struct utsname name;

	if (!engine_probe((unsigned int)request->log_level, &failure))
		return refuse(request->command, failure.reason, failure.error);
	uname(&name);
	answer_begin(true, request->command);
	answer_string("kernel", name.release);
	answer_string("architecture", name.machine);
	answer_bool("btf", !access("/sys/kernel/btf/vmlinux", R_OK));
	return answer_send();
}

/*
 * Attaches to the named cgroups and detaches from all others. The answer lists those that failed.
 */
static bool answer_policy(const struct request *request, bool insert)
{
	struct failure failure;

	engine_configure(request, insert);
	if (request->has_cgroups)
		cgroup_keep(request);
	answer_begin(true, request->command);
	answer_open("refused", '[');
	for (unsigned int i = 0; i < request->cgroup_count; i++) {
		if (cgroup_attach(request->cgroups[i], &failure))
			continue;
		answer_open(NULL, '{');
		answer_string("cgroup", request->cgroups[i]);
		answer_string("reason", failure.reason);
		answer_string("error", strerrorname_np(failure.error) ?: "unknown");
		answer_close('}');
	}
	answer_close(']');
	answer_number("cgroups", cgroup_count());
	return answer_send();
}

static const char *out_of_bounds(const struct request *r)
{
	if (r->connections < 1 || r->connections > CONNECTIONS_LIMIT)
		return "connections: 1 to 1048576";
	if (r->byte_limit > BYTES_LIMIT)
		return "byteLimit: at most 1 GiB";
	if (r->message_limit > UINT32_MAX || r->stream_limit > UINT32_MAX || r->stream_bytes > UINT32_MAX)
		return "messageLimit, streamLimit, streamBytes: 32 bits";
	if (r->seconds > SECONDS_LIMIT)
		return "seconds: at most 3600";
	if (r->stream_seconds > STREAM_SECONDS_LIMIT)
		return "streamSeconds: at most 86400";
	return r->log_level > 7 ? "logLevel: at most 7" : NULL;
}

static bool answer_start(const struct request *request)
{
	struct failure failure;

	if (!engine_loaded() && !engine_load(request, &failure))
		return refuse(request->command, failure.reason, failure.error);
	return answer_policy(request, true);
}

static bool answer_stats(const struct request *request)
{
#define X(name) #name,
	static const char *const counters[] = { COUNTERS(X) };
#undef X
	static const char *const hops[] = { "other", "outbound", "inbound" };
	static const char *const of_hop[] = { "redirectedMessages", "redirectedBytes", "stackMessages",
					      "stackBytes" };
	static struct figures figures;

	engine_measure(&figures);
	answer_begin(true, request->command);
	answer_bool("on", engine_on());
	answer_number("cgroups", cgroup_count());
	answer_number("sockets", figures.sockets);
	answer_number("arrived", figures.arrived);
	answer_number("connections", figures.connections);
	answer_number("expected", figures.expected);
	answer_number("waiting", figures.waiting);
	answer_number("swept", figures.swept);
	answer_number("unreadMax", figures.unread_max);
	answer_open("counters", '{');
	for (unsigned int i = 0; i < COUNT_HOPS; i++)
		answer_number(counters[i], figures.counters[i]);
	answer_close('}');
	answer_open("hops", '{');
	for (unsigned int hop = 0; hop < HOPS; hop++) {
		answer_open(hops[hop], '{');
		for (unsigned int i = 0; i < HOP_COUNTERS; i++)
			answer_number(of_hop[i], figures.counters[COUNT_HOPS + hop * HOP_COUNTERS + i]);
		answer_close('}');
	}
	answer_close('}');
	return answer_send();
}

/*
 * Switches off, waits until the last connection has ended or the time is over, and ends the loader.
 */
static bool answer_drain(const struct request *request)
{
	const struct timespec pause = { .tv_nsec = 50 * 1000 * 1000 };
	struct pollfd input = { .fd = STDIN_FILENO };
	/* Counted in pauses: a step of the clock must not make it end early, or never. */
	unsigned long pauses = (unsigned long)request->seconds * 20;
	static struct figures figures;

	engine_off();
	engine_measure(&figures);
	while (figures.connections && pauses-- && !stopping) {
		if (poll(&input, 1, 0) > 0)
			break;
		nanosleep(&pause, NULL);
		engine_measure(&figures);
	}
	answer_begin(true, request->command);
	answer_number("connections", figures.connections);
	answer_send();
	return false;
}

/* Returns false when the loader must end. */
static bool obey(const char *line)
{
	static const struct request defaults = {
		.redirect = true,
		.byte_limit = 4 << 20,
		.message_limit = 1024,
		.stream_limit = 128,
		.stream_bytes = 16384,
		.stream_seconds = 600,
		.connections = CONNECTIONS_MAX,
		.seconds = 5,
	};
	static struct request r;
	const char *wrong;

	r = defaults;
	wrong = read_request(line, &r);
	if (!wrong)
		wrong = out_of_bounds(&r);
	if (wrong)
		return refuse(r.command, wrong, EINVAL);
	if (!strcmp(r.command, "probe"))
		return answer_probe(&r);
	if (!strcmp(r.command, "start"))
		return answer_start(&r);
	if (!strcmp(r.command, "selftest") && !engine_loaded() && r.cgroup_count == 1)
		return answer_selftest(r.command, r.cgroups[0]);
	if (!engine_loaded())
		return refuse(r.command, "send probe or start first", ENOENT);
	if (!strcmp(r.command, "policy"))
		return answer_policy(&r, engine_on());
	if (!strcmp(r.command, "stats"))
		return answer_stats(&r);
	if (!strcmp(r.command, "drain"))
		return answer_drain(&r);
	if (strcmp(r.command, "off"))
		return refuse(r.command, "cmd: probe, start, policy, stats, off or drain", EINVAL);
	engine_off();
	answer_begin(true, r.command);
	return answer_send();
}

/*
 * Handles each complete line of the buffer. Returns the length of the rest; -1: the loader must
 * end.
 */
static ssize_t obey_lines(char *buffer, size_t length)
{
	char *line = buffer, *end;

	while ((end = memchr(line, '\n', length - (size_t)(line - buffer)))) {
		*end = '\0';
		/* A zero byte inside a line would hide the rest of it. */
		if (strlen(line) != (size_t)(end - line) ? !refuse("", "not a JSON object", EINVAL) :
							   !obey(line))
			return -1;
		line = end + 1;
	}
	length -= (size_t)(line - buffer);
	memmove(buffer, line, length);
	return (ssize_t)length;
}

int main(void)
{
	static char buffer[LINE_MAX_SIZE];
	struct sigaction action = { .sa_handler = stop };
	size_t length = 0;
	ssize_t n;

	signal(SIGPIPE, SIG_IGN);
	sigaction(SIGTERM, &action, NULL);
	sigaction(SIGINT, &action, NULL);
	while (!stopping) {
		n = read(STDIN_FILENO, buffer + length, sizeof(buffer) - length);
		if (n <= 0)
			break;
		n = obey_lines(buffer, length + (size_t)n);
		if (n < 0)
			break;
		length = (size_t)n;
		if (length == sizeof(buffer)) {
			refuse("", "the line is too long", E2BIG);
			break;
		}
	}
	if (engine_loaded())
		engine_off();
	return 0;
}
