/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Every map: what its key and value are, how large it is, and when an entry goes. */
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

/* What one socket sends. Only written under the lock of the socket, by the message program. */
struct flow {
	__u64 connection; /* key into `connections`: the cookie of the client */
	__u64 redirected; /* bytes */
	__u64 stacked;    /* bytes, from write_seq */
	__u32 write_seq;  /* as last seen */
	__u32 side;
	__u32 path;
	__u32 unpaired;   /* messages sent while there was no connection */
	__u32 messages;   /* redirected */
	__u32 mark;       /* `messages` at the mark: all up to it are read once `mark_bytes` are */
	__u32 read;       /* messages known to be read */
	__u32 streak;     /* messages since the socket itself has read something */
	__u64 mark_bytes;
	__u64 streak_bytes;
	__u64 own_read;   /* bytes that the socket itself had read at the begin of the streak */
	__u64 container;  /* key into `readers` */
	__u32 reads;      /* the kinds of reads seen on this socket */
	__u32 pad;
};

/* How the sockets of a container are read. A blocked reader is woken with EAGAIN by more than data. */
enum reads { READS_NON_BLOCKING = 1, READS_BLOCKING = 2 };

/* Socket cookie -> the socket (user space reads its cookie). Two for each connection; gone when closed. */
struct {
	__uint(type, BPF_MAP_TYPE_SOCKHASH);
	__uint(max_entries, 2 * CONNECTIONS_MAX);
	__type(key, __u64);
	__type(value, __u64);
} sockets SEC(".maps");

/* Cookie of the client -> struct connection, 72 bytes. Gone when either end is closed, or by the sweep of the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, __u64);
	__type(value, struct connection);
} connections SEC(".maps");

/*
 * Cgroup in which sockets were made, its id -> enum reads, 4 bytes. Where reads have not been seen, or
 * block, no socket is taken in. The oldest yields, and is learned again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONTAINERS_MAX);
	__type(key, __u64);
	__type(value, __u32);
} readers SEC(".maps");

/* Socket -> struct flow, 96 bytes: of those taken in, and of those that are watched to learn of `readers`. */
struct {
	__uint(type, BPF_MAP_TYPE_SK_STORAGE);
	__uint(map_flags, BPF_F_NO_PREALLOC);
	__type(key, int);
	__type(value, struct flow);
} flows SEC(".maps");

/* A listener as its clients find it, behind any REDIRECT. */
struct listener_key {
	__u64 netns; /* cookie */
	__u32 port;
	__u32 pad;
};

struct listener {
	__u64 container;  /* key into `readers` */
	__u64 messages;   /* of its connections lately, either way, */
	__u64 streamed;   /* and those of them in streams of small ones */
	__u64 left_alone; /* since when, in nanoseconds of the monotonic clock; 0: it is not */
};

/*
 * Listener, 16 bytes -> struct listener, 32 bytes: known once it listens or a connection was accepted. To one that
 * is not known no client is taken in. The oldest yields, and is learned again.
 */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, LISTENERS_MAX);
	__type(key, struct listener_key);
	__type(value, struct listener);
} listeners SEC(".maps");

/* Client that sent a SYN to an accelerated listener, 20 bytes -> 1. Gone when accepted; the oldest yields. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__type(key, struct client_address);
	__type(value, __u8);
} expected SEC(".maps");

/* Client that waits for its server, 28 bytes -> cookie of the client. Gone when paired; the oldest yields. */
struct {
	__uint(type, BPF_MAP_TYPE_LRU_HASH);
	__uint(max_entries, CONNECTIONS_MAX);
	__type(key, struct pair_key);
	__type(value, __u64);
} waiting SEC(".maps");

/* Port -> 1: those that the policy names. Written by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_HASH);
	__uint(max_entries, PORTS_MAX);
	__type(key, __u16);
	__type(value, __u8);
} ports SEC(".maps");

/* 0 -> struct settings, 32 bytes: the switch and the limits. Written by the loader. */
struct {
	__uint(type, BPF_MAP_TYPE_ARRAY);
	__uint(max_entries, 1);
	__type(key, __u32);
	__type(value, struct settings);
} settings SEC(".maps");

/* enum counter -> how often, on each CPU. */
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

static __always_inline struct settings *current_settings(void)
{
	__u32 zero = 0;

	return bpf_map_lookup_elem(&settings, &zero);
}

/* Context fields one by one: the verifier takes no pointer into the context that clang has merged. */
#define FIELD(ctx, field) (((volatile typeof(*(ctx)) *)(ctx))->field)

#endif
