/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* All maps, each with its key and value, its size, and when an entry is removed. */
#ifndef LAZYSCOPE_BYPASS_MAPS_H
#define LAZYSCOPE_BYPASS_MAPS_H

#include <linux/bpf.h>
#include <bpf/bpf_core_read.h>
#include <bpf/bpf_endian.h>
#include <bpf/bpf_helpers.h>
#include <bpf/bpf_tracing.h>
#include "bypass.h"
#include "kernel.h"

/* A client as both ends see it: IPv4 addresses in their mapped form, the port in host order. */
struct client_address {
	__u32 ip[4];
	__u32 port;
};

struct pair_key {
	struct client_address client;
	__u32 client_next; /* the sequence number that the client sends next */
	__u32 server_next;
};

enum way { PATH_STACK, PATH_REDIRECT, PATH_STACK_FOR_GOOD };

/*
 * What one socket sends. Written only by the message program, under the lock of the socket; for a
 * watched socket without the lock, where two threads that send at once may miscount.
 */
struct flow {
	__u64 connection; /* key into `connections`: the cookie of the client */
	__u64 redirected; /* bytes */
	__u64 stacked;    /* bytes, from write_seq */
	__u32 write_seq;  /* as last seen */
	__u32 side;
	__u32 path;
	__u32 unpaired;   /* messages sent before the connection was in the map */
	__u32 messages;   /* redirected messages */
	__u32 mark;       /* `messages` at the mark; all are read once `mark_bytes` are */
	__u32 read;       /* messages known to be read */
	__u32 streak;     /* messages since the last read by this socket */
	__u64 mark_bytes;
	__u64 streak_bytes;
	__u64 own_read;   /* bytes that this socket had read when the streak began */
	__u64 container;  /* key into `readers` */
	__u64 watched;    /* key into `watched`, if the socket is not accelerated */
	__u32 reads;      /* the kinds of reads seen on this socket */
	__u32 pad;
};

/* How a container reads its sockets. In the map, a blocking read can wrongly end with EAGAIN. */
enum reads { READS_NON_BLOCKING = 1, READS_BLOCKING = 2 };

/*
 * Socket cookie -> the socket (user space reads the cookie). Two per connection; removed on close.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2 * CONNECTIONS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} sockets SEC(".maps");

/*
 * Cookie of the client -> struct connection, 80 bytes. Removed when either end is closed, or by the
 * loader's sweep.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct connection);
} connections SEC(".maps");

/*
 * Cookie of the client -> struct connection, 80 bytes, of a connection on the stack whose traffic
 * says whether its listener streams small messages. Removed when either end is closed; a full map
 * evicts the oldest entry, which is then no longer watched.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, WATCHED_MAX);
	__type(key, __u64);
	__type(value, struct connection);
} watched SEC(".maps");

/*
 * Id of the cgroup in which sockets were made -> enum reads, 4 bytes. If the reads were not
 * observed yet, or block, no socket of the cgroup is accelerated. A full map evicts the oldest
 * entry, which is learned again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONTAINERS_MAX);
	__type(key, __u64);
	__type(value, __u32);
} readers SEC(".maps");

/*
 * Socket -> struct flow, 112 bytes: accelerated sockets, and those that are watched for `readers`
 * or for their listener.
 */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow);
} flows SEC(".maps");

/* A listener by its own port, which after a REDIRECT is not the port that the client called. */
struct listener_key {
	__u64 netns; /* cookie */
	__u32 port;
	__u32 pad;
};

struct listener {
	__u64 container;  /* key into `readers` */
	__u64 messages;   /* recent messages of its connections, both directions */
	__u64 streamed;   /* those of them in streams of small messages */
	__u64 left_alone; /* since then, in ns of the monotonic clock; 0: not left alone */
	__u64 shown;      /* whether a connection has shown its traffic: an answer, or its end */
};

/*
 * Listener, 16 bytes -> struct listener, 40 bytes. Added when a socket listens or accepts a
 * connection. Clients of an unknown listener are not accelerated. A full map evicts the oldest
 * entry, which is learned again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LISTENERS_MAX);
	__type(key, struct listener_key);
	__type(value, struct listener);
} listeners SEC(".maps");

/* What a listener that received a SYN lets happen to the connection. */
enum prospect { NOTHING, TAKE_IN, WATCH };

/*
 * Client that sent a SYN to an accelerated listener, 20 bytes -> enum prospect. Removed when the
 * connection is accepted; a full map evicts the oldest entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__type(key, struct client_address);
	__type(value, __u32);
} expected SEC(".maps");

/* A client that its own program has taken in, or only watches. */
struct client {
	__u64 cookie;
	__u64 watched;
};

/*
 * Client that waits for its server, 28 bytes -> struct client, 16 bytes. Removed when paired; a full
 * map evicts the oldest entry.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__type(key, struct pair_key);
	__type(value, struct client);
} waiting SEC(".maps");

/*
 * Socket cookie -> the sequence number that follows what has arrived by the stack, 4 bytes. Two per
 * connection; removed on close, or by the loader's sweep.
 */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, 2 * CONNECTIONS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, __u32);
} arrived SEC(".maps");

/* Port -> 1: the ports that the policy names. Written by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTS_MAX);
	__type(key, __u16);
	__type(value, __u8);
} ports SEC(".maps");

/* 0 -> struct settings, 32 bytes: the switches and the limits. Written by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* enum counter -> the count of each CPU. */
struct {
	__uint(type, BPF_MAP_TYPE_PERCPU_ARRAY);
	__uint(max_entries, COUNTERS_MAX);
	__type(key, __u32);
	__type(value, __u64);
} counters SEC(".maps");

static __always_inline void count_many(__u32 counter, __u64 n)
{
	__u64 *value = bpf_map_lookup_elem(&counters, &counter);

	if (value)
		*value += n;
}

static __always_inline void count(__u32 counter)
{
	count_many(counter, 1);
}

/* The connection of an accelerated or a watched socket. */
static __always_inline struct connection *connection_of(const struct flow *flow)
{
	__u64 accelerated = flow->connection, stacked = flow->watched;

	return stacked ? bpf_map_lookup_elem(&watched, &stacked) :
			 bpf_map_lookup_elem(&connections, &accelerated);
}

static __always_inline struct settings *current_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

/* Reads one field as volatile: clang must not merge pointers into the context (verifier error). */
#define FIELD(ctx, field) (((volatile typeof(*(ctx)) *)(ctx))->field)

#endif
