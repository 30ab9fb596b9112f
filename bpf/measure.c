// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Reads the maps, and removes connections that ended after their cgroup was detached, when no
 * program saw the end.
 */
#include <errno.h>
#include <string.h>
#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include "bypass.skel.h"
#include "engine.h"

#define CPUS_MAX 1024

/* Largest key: struct pair_key. */
#define KEY_SIZE 64

static unsigned int entries(const struct bpf_map *map)
{
	char key[KEY_SIZE], next[KEY_SIZE];
	unsigned int n = 0, most = bpf_map__max_entries(map);
	void *from = NULL;

	while (n < most && !bpf_map_get_next_key(bpf_map__fd(map), from, next)) {
		memcpy(key, next, sizeof(key));
		from = key;
		n++;
	}
	return n;
}

static bool is_open(int sockets, __u64 cookie)
{
	__u64 found;

	return !bpf_map_lookup_elem(sockets, &cookie, &found);
}

static __u64 unread(const struct connection *c)
{
	__u64 worst = 0;

	for (int side = 0; side < SIDES; side++) {
		/*
		 * `sent` is updated after the message, so `read` may be ahead: no byte is unread.
		 */
		__u64 n = c->sent[side] > c->read[!side] ? c->sent[side] - c->read[!side] : 0;

		if (n > worst)
			worst = n;
	}
	return worst;
}

static void measure_connections(struct figures *figures)
{
	struct bypass *programs = engine_programs();
	int fd = bpf_map__fd(programs->maps.connections), sockets = bpf_map__fd(programs->maps.sockets);
	unsigned int seen = 0, most = bpf_map__max_entries(programs->maps.connections);
	struct connection connection;
	__u64 key, next;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more && seen++ < most) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (bpf_map_lookup_elem(fd, &key, &connection))
			continue;
		if (!is_open(sockets, key) && !is_open(sockets, connection.server)) {
			bpf_map_delete_elem(fd, &key);
			figures->swept++;
			continue;
		}
		figures->connections++;
		if (unread(&connection) > figures->unread_max)
			figures->unread_max = unread(&connection);
	}
}

/*
 * Removes the entries of sockets whose end no program saw. A socket that was being taken in gets
 * its entry back; what has arrived meanwhile makes no difference, as the entry is renewed with it.
 */
static void sweep_arrived(void)
{
	struct bypass *programs = engine_programs();
	int fd = bpf_map__fd(programs->maps.arrived), sockets = bpf_map__fd(programs->maps.sockets);
	unsigned int seen = 0, most = bpf_map__max_entries(programs->maps.arrived);
	__u64 key, next;
	__u32 value;
	bool more = !bpf_map_get_next_key(fd, NULL, &next);

	while (more && seen++ < most) {
		key = next;
		more = !bpf_map_get_next_key(fd, &key, &next);
		if (is_open(sockets, key) || bpf_map_lookup_elem(fd, &key, &value))
			continue;
		bpf_map_delete_elem(fd, &key);
		if (is_open(sockets, key))
			bpf_map_update_elem(fd, &key, &value, BPF_NOEXIST);
	}
}

static void sum_counters(struct figures *figures)
{
	int fd = bpf_map__fd(engine_programs()->maps.counters), cpus = libbpf_num_possible_cpus();
	static __u64 values[CPUS_MAX];

	if (cpus < 1 || cpus > CPUS_MAX)
		return;
	for (__u32 i = 0; i < COUNTERS_MAX; i++) {
		if (bpf_map_lookup_elem(fd, &i, values))
			continue;
		for (int cpu = 0; cpu < cpus; cpu++)
			figures->counters[i] += values[cpu];
	}
}

void engine_measure(struct figures *figures)
{
	struct bypass *programs = engine_programs();

	memset(figures, 0, sizeof(*figures));
	measure_connections(figures);
	figures->sockets = entries(programs->maps.sockets);
	if (entries(programs->maps.arrived) > figures->sockets)
		sweep_arrived();
	figures->arrived = entries(programs->maps.arrived);
	figures->expected = entries(programs->maps.expected);
	figures->waiting = entries(programs->maps.waiting);
	sum_counters(figures);
}
