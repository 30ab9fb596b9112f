// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/* The check of data that arrives twice. Apart, because <linux/tcp.h> excludes <netinet/tcp.h>. */
#include <linux/tcp.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>
#include "selftest.h"

#define WINDOW 65535

static bool option(int fd, int name, const void *value, socklen_t size)
{
	return !setsockopt(fd, IPPROTO_TCP, name, value, size);
}

static bool number(int fd, int name, int value)
{
	return option(fd, name, &value, sizeof(value));
}

static bool sequence(int fd, int queue, __u32 *value)
{
	socklen_t size = sizeof(*value);

	return number(fd, TCP_REPAIR_QUEUE, queue) &&
	       !getsockopt(fd, IPPROTO_TCP, TCP_QUEUE_SEQ, value, &size);
}

static bool set_sequence(int fd, int queue, __u32 value)
{
	return number(fd, TCP_REPAIR_QUEUE, queue) && option(fd, TCP_QUEUE_SEQ, &value, sizeof(value));
}

bool rewind_client(struct ends *ends, unsigned int back)
{
	struct tcp_repair_window window = { .snd_wnd = WINDOW, .max_window = WINDOW, .rcv_wnd = WINDOW };
	struct sockaddr_in here, there;
	socklen_t size = sizeof(here);
	__u32 received, sent;

	if (getsockname(ends->client, (void *)&here, &size) || getpeername(ends->client, (void *)&there, &size))
		return false;
	if (!number(ends->client, TCP_REPAIR, TCP_REPAIR_ON) ||
	    !sequence(ends->client, TCP_RECV_QUEUE, &received) ||
	    !sequence(ends->client, TCP_SEND_QUEUE, &sent))
		return false;
	close(ends->client);
	ends->client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (ends->client < 0 || !number(ends->client, TCP_REPAIR, TCP_REPAIR_ON) ||
	    !set_sequence(ends->client, TCP_RECV_QUEUE, received) ||
	    !set_sequence(ends->client, TCP_SEND_QUEUE, sent - back))
		return false;
	window.snd_wl1 = received;
	window.rcv_wup = received;
	return !bind(ends->client, (void *)&here, size) && !connect(ends->client, (void *)&there, size) &&
	       option(ends->client, TCP_REPAIR_WINDOW, &window, sizeof(window)) &&
	       number(ends->client, TCP_REPAIR, TCP_REPAIR_OFF_NO_WP);
}
