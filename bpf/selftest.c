// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <sys/socket.h>
#include <unistd.h>
#include "answer.h"
#include "engine.h"
#include "selftest.h"

static struct request trial = {
	.only_ports = true,
	.port_count = 1,
	.byte_limit = TRIAL_BYTES,
	.message_limit = TRIAL_MESSAGES,
	.stream_limit = UINT32_MAX,
	.connections = 64,
};

void trial_redirect(bool on)
{
	trial.redirect = on;
	engine_configure(&trial, true);
}

void trial_detach(void)
{
	static const struct request nothing;

	if (!engine_loaded())
		return;
	engine_off();
	cgroup_keep(&nothing);
	engine_unload();
}

static int listener(void)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t size = sizeof(address);
	int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

	if (fd < 0 || bind(fd, (void *)&address, size) || listen(fd, 8) ||
	    getsockname(fd, (void *)&address, &size)) {
		close(fd);
		return -1;
	}
	trial.ports[0] = ntohs(address.sin_port);
	return fd;
}

static bool connect_ends(int listening, struct ends *ends)
{
	struct sockaddr_in address = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
				       .sin_port = htons(trial.ports[0]) };
	const int one = 1;

	ends->server = -1;
	ends->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ends->client < 0 || connect(ends->client, (void *)&address, sizeof(address)))
		return false;
	setsockopt(ends->client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	ends->server = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
	/* The client blocked until now, because connecting does not wait for this process. */
	return ends->server >= 0 && !fcntl(ends->client, F_SETFL, O_NONBLOCK);
}

static void close_ends(struct ends *ends)
{
	if (ends->client >= 0)
		close(ends->client);
	if (ends->server >= 0)
		close(ends->server);
}

/* The first connection only teaches the programs that this process reads without blocking. */
static bool introduce(int listening)
{
	struct ends ends;
	char byte;
	bool met = connect_ends(listening, &ends);

	recv(ends.server, &byte, 1, 0);
	recv(ends.client, &byte, 1, 0);
	close_ends(&ends);
	return met;
}

static const char *run_check(const struct check *check, int listening)
{
	const char *wrong = "cannot connect to itself";
	struct ends ends;

	trial_redirect(true);
	if (connect_ends(listening, &ends))
		wrong = check->run(&ends);
	close_ends(&ends);
	return wrong;
}

bool answer_selftest(const char *command, const char *cgroup)
{
	struct failure failure;
	int listening = listener();
	bool passed = true;

	if (listening < 0)
		return refuse(command, "cannot listen on the loopback address", errno);
	if (!engine_load(&trial, &failure))
		return refuse(command, failure.reason, failure.error);
	if (!cgroup_attach(cgroup, &failure)) {
		trial_detach();
		return refuse(command, failure.reason, failure.error);
	}
	trial_redirect(true);
	introduce(listening);
	answer_begin(true, command);
	answer_open("checks", '{');
	for (size_t i = 0; i < check_count; i++) {
		const char *wrong = run_check(&checks[i], listening);

		answer_string(checks[i].name, wrong ? wrong : "ok");
		passed = passed && !wrong;
	}
	answer_close('}');
	answer_bool("passed", passed);
	close(listening);
	trial_detach();
	return answer_send();
}
