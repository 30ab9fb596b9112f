/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The record of a listener, which decides at the SYN whether a client will be accelerated. The
 * decision cannot come later: a client in the map that finds no server stays there until it is
 * closed, and the stack is slower for sockets in the map.
 */
#ifndef LAZYSCOPE_BYPASS_LISTENER_H
#define LAZYSCOPE_BYPASS_LISTENER_H

#include "maps.h"

/* Messages of one side per update of the listener: fewer writes to a cache line shared by CPUs. */
#define SHAPE_BATCH 1024
/* Messages after which the listener's counts are halved, so that old messages weigh less. */
#define SHAPE_MEMORY 65536

static __always_inline __u64 cgroup_of(struct tcp_sock *tp)
{
	return tp->inet_conn.icsk_inet.sk.sk_cgrp_data.cgroup->kn->id;
}

/* Records the listener of a socket that listens or was accepted. */
static __always_inline void note_listener(struct bpf_sock_ops *ctx, struct tcp_sock *tp)
{
	struct listener_key key = { .netns = bpf_get_netns_cookie(ctx) };
	struct listener fresh = { .container = cgroup_of(tp) }, *known;

	key.port = tp->inet_conn.icsk_inet.sk.__sk_common.skc_num;
	known = bpf_map_lookup_elem(&listeners, &key);
	if (!known || known->container != fresh.container)
		bpf_map_update_elem(&listeners, &key, &fresh, BPF_ANY);
}

static __always_inline int is_left_alone(const struct settings *s, struct listener *listener)
{
	if (!listener->left_alone)
		return 0;
	if (bpf_ktime_get_ns() - listener->left_alone < s->stream_seconds * 1000000000ull)
		return 1;
	listener->messages = 0;
	listener->streamed = 0;
	listener->left_alone = 0;
	listener->shown = 0;
	return 0;
}

/*
 * Whether a first connection must show the listener's traffic. Not those to a sidecar: they carry
 * the calls to every port, so that the first of them says nothing about the next, and a pool of
 * HTTP/2 has no other.
 */
static __always_inline int is_unknown(const struct listener *listener, __u32 port)
{
	return !listener->shown && port != PORT_OUTBOUND && port != PORT_INBOUND;
}

/* What the listener that received a SYN lets happen to the connection. */
static __always_inline enum prospect prospect_of(struct bpf_sock_ops *ctx, const struct settings *s)
{
	struct listener_key key = { .netns = bpf_get_netns_cookie(ctx), .port = FIELD(ctx, local_port) };
	enum prospect otherwise = s->stream_seconds ? WATCH : NOTHING;
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);
	__u64 container;
	__u32 *reads;

	if (!listener)
		return otherwise;
	container = listener->container;
	reads = bpf_map_lookup_elem(&readers, &container);
	if (!reads || !*reads)
		return otherwise;
	if (*reads & READS_BLOCKING)
		return NOTHING;
	if (is_left_alone(s, listener)) {
		count(COUNT_refused_stream);
		return otherwise;
	}
	return s->stream_seconds && is_unknown(listener, key.port) ? WATCH : TAKE_IN;
}

/*
 * Adds the messages of one side to the listener's counts. If most of them belong to streams, later
 * clients of the listener are not accelerated for a while, and for as long as its connections go on
 * so.
 */
static __always_inline void note_shape(struct connection *connection, __u32 side)
{
	struct listener_key key = { .netns = connection->netns, .port = connection->port };
	struct listener *listener = bpf_map_lookup_elem(&listeners, &key);

	if (listener && connection->messages[side]) {
		listener->shown = 1;
		__sync_fetch_and_add(&listener->messages, connection->messages[side]);
		__sync_fetch_and_add(&listener->streamed, connection->streamed[side]);
		/* Two CPUs may halve at once. That is harmless, because only the share matters. */
		if (listener->messages > SHAPE_MEMORY) {
			listener->messages /= 2;
			listener->streamed /= 2;
		}
		if (connection->streamed[side] && 2 * listener->streamed > listener->messages) {
			if (!listener->left_alone)
				count(COUNT_left_alone);
			listener->left_alone = bpf_ktime_get_ns();
		}
	}
	connection->messages[side] = 0;
	connection->streamed[side] = 0;
}

#endif
