/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Two processes on one connection of the loopback address, each waiting by poll, as event loops do:
 *   sockets rtt SIZE SECONDS CPU_A CPU_B      a message each way in turn; microseconds
 *   sockets stream SIZE SECONDS CPU_A CPU_B   writes of that size one way; bytes a second
 *   sockets first SIZE SECONDS CPU_A CPU_B    the same, as the first messages of the listener
 * Prints one line for the first 512 messages, on their own connection (not for `first`), and one line
 * for SECONDS, on another connection.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#define SAMPLES_MAX 4000000
/* Enough messages for the bypass to detect a stream. */
#define MESSAGES_FIRST 512

static char buffer[1 << 20];
static float samples[SAMPLES_MAX];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	sched_setaffinity(0, sizeof(set), &set);
}

static int wait_for(int fd, short events)
{
	struct pollfd p = { .fd = fd, .events = events };

	return poll(&p, 1, 5000) == 1;
}

static ssize_t take(int fd, size_t size)
{
	ssize_t n;

	while ((n = recv(fd, buffer, size, 0)) < 0)
		if (!wait_for(fd, POLLIN))
			return -1;
	return n;
}

static int take_all(int fd, size_t size)
{
	while (size) {
		ssize_t n = take(fd, size);

		if (n <= 0)
			return 0;
		size -= (size_t)n;
	}
	return 1;
}

static int give_all(int fd, size_t size)
{
	while (size) {
		ssize_t n = send(fd, buffer, size, MSG_NOSIGNAL);

		if (n < 0 && !wait_for(fd, POLLOUT))
			return 0;
		size -= n > 0 ? (size_t)n : 0;
	}
	return 1;
}

static void connect_ends(int listener, int ends[2])
{
	struct sockaddr_in address;
	socklen_t size = sizeof(address);
	int one = 1;

	getsockname(listener, (void *)&address, &size);
	ends[0] = socket(AF_INET, SOCK_STREAM, 0);
	if (connect(ends[0], (void *)&address, size))
		exit(1);
	ends[1] = accept(listener, NULL, NULL);
	for (int i = 0; i < 2; i++) {
		fcntl(ends[i], F_SETFL, O_NONBLOCK);
		setsockopt(ends[i], IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
	}
}

static int compare(const void *a, const void *b)
{
	float x = *(const float *)a, y = *(const float *)b;

	return x < y ? -1 : x > y;
}

static void measure_rtt(int fd, size_t size, double end)
{
	size_t n = 0;
	double before = now(), at;

	while (before < end && n < SAMPLES_MAX && give_all(fd, size) && take_all(fd, size)) {
		at = now();
		samples[n++] = (float)((at - before) * 1e6);
		before = at;
	}
	qsort(samples, n, sizeof(*samples), compare);
	if (n)
		printf("{\"p50\":%f,\"p99\":%f}\n", samples[n / 2], samples[n * 99 / 100]);
}

static void measure_stream(int fd)
{
	double start = now(), bytes = 0;
	ssize_t n;

	while ((n = take(fd, sizeof(buffer))) > 0)
		bytes += (double)n;
	printf("{\"rate\":%f}\n", bytes / (now() - start));
}

/* The measured kind of traffic, on a separate connection, until the far end has enough messages. */
static void exchange(int listener, int rtt, size_t size, double seconds, size_t most, const int cpus[2])
{
	int ends[2];

	connect_ends(listener, ends);
	if (fork() == 0) {
		double end = now() + seconds;

		close(ends[0]);
		pin(cpus[1]);
		for (size_t n = 0; n < most; n++)
			if (rtt ? !take_all(ends[1], size) || !give_all(ends[1], size) :
				  now() > end || !give_all(ends[1], size))
				break;
		_exit(0);
	}
	close(ends[1]);
	pin(cpus[0]);
	if (rtt)
		measure_rtt(ends[0], size, now() + seconds);
	else
		measure_stream(ends[0]);
	close(ends[0]);
	wait(NULL);
}

int main(int argc, char **argv)
{
	int listener = socket(AF_INET, SOCK_STREAM, 0), ends[2], rtt, cpus[2];
	struct sockaddr_in any = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	size_t size;

	if (argc != 6 || bind(listener, (void *)&any, sizeof(any)) || listen(listener, 8))
		return 1;
	rtt = !strcmp(argv[1], "rtt");
	size = strtoul(argv[2], NULL, 10);
	cpus[0] = atoi(argv[4]);
	cpus[1] = atoi(argv[5]);
	/* The first connection shows how we read; the bypass accepts our sockets only after that. */
	connect_ends(listener, ends);
	if (recv(ends[0], buffer, 1, 0) > 0 || close(ends[0]) || close(ends[1]))
		return 1;
	/* The second shows that of the listener: clients of a streaming listener stay on the stack. */
	if (strcmp(argv[1], "first"))
		exchange(listener, rtt, size, 1, MESSAGES_FIRST, cpus);
	exchange(listener, rtt, size, strtod(argv[3], NULL), SIZE_MAX, cpus);
	return 0;
}
