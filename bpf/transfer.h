/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Which path a message takes. */
#ifndef LAZYSCOPE_BYPASS_TRANSFER_H
#define LAZYSCOPE_BYPASS_TRANSFER_H

#include "listener.h"

/* Messages sent before the other end was known; one that has not come by then will not. */
#define UNPAIRED_MESSAGES 64
/* Redirected messages that are unread, at most: all before a mark are read once the bytes before it are. */
static __always_inline __u32 unread_messages(struct flow *flow, __u64 sent, __u64 read)
{
	if (read >= flow->mark_bytes) {
		flow->read = flow->mark;
		flow->mark = flow->messages;
		flow->mark_bytes = sent;
	}
	return flow->messages - flow->read;
}

/*
 * Many small messages one way, and nothing read in between: the stack joins them, redirection wakes the
 * reader for each. So it is until something comes back.
 */
static __always_inline int is_stream(const struct settings *s, struct flow *flow, __u64 own_read, __u32 size)
{
	if (flow->own_read != own_read) {
		flow->own_read = own_read;
		flow->streak = 0;
		flow->streak_bytes = 0;
	}
	flow->streak++;
	flow->streak_bytes += size;
	return flow->streak > s->stream_limit &&
	       flow->streak_bytes <= (__u64)flow->streak * s->stream_bytes;
}

/* What the message says of the listener: a stream counts from its first message on. */
static __always_inline void shape(const struct settings *s, const struct flow *flow,
				  struct connection *connection, __u32 side, int stream)
{
	int begins = stream && flow->streak == s->stream_limit + 1;

	connection->messages[side]++;
	if (stream)
		connection->streamed[side] += begins ? flow->streak : 1;
	if (s->stream_seconds && (begins || connection->messages[side] >= SHAPE_BATCH))
		note_shape(connection, side);
}

/* Which path a message takes; counts each change. */
static __always_inline __u32 choose(struct settings *s, struct flow *flow, __u64 unread, __u32 messages,
				    __u32 size, int stream)
{
	if (flow->path == PATH_STACK) {
		if (unread || stream || !(s->flags & FLAG_REDIRECT))
			return PATH_STACK;
		count(COUNT_to_redirect);
	}
	if (!(s->flags & FLAG_REDIRECT)) {
		count(COUNT_to_stack_off);
		return PATH_STACK;
	}
	if (unread + size > s->byte_limit) {
		count(COUNT_to_stack_bytes);
		return PATH_STACK;
	}
	if (messages >= s->message_limit) {
		count(COUNT_to_stack_messages);
		return PATH_STACK;
	}
	if (stream) {
		count(COUNT_to_stack_stream);
		return PATH_STACK;
	}
	return PATH_REDIRECT;
}

/* Bytes that the stack has really taken so far: some verdicts stay in force without asking us. */
static __always_inline int note_stacked(struct sk_msg_md *ctx, struct flow *flow)
{
	struct bpf_sock *sk = FIELD(ctx, sk);
	struct tcp_sock *tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	__u32 write_seq;

	if (!tp)
		return -1;
	if (tp->inet_conn.icsk_ulp_ops) {
		count(COUNT_to_stack_ulp);
		return -1;
	}
	write_seq = tp->write_seq;
	flow->stacked += (__u32)(write_seq - flow->write_seq);
	flow->write_seq = write_seq;
	return 0;
}

static __always_inline void count_hop(__u32 hop, __u32 messages, __u64 bytes)
{
	__u32 base = COUNT_HOPS + (hop < HOPS ? hop : 0) * HOP_COUNTERS + messages;

	count(base);
	count_many(base + 1, bytes);
}

static __always_inline void send(struct sk_msg_md *ctx, struct settings *s, struct flow *flow,
				 struct connection *connection)
{
	__u32 size = FIELD(ctx, size), side = flow->side & 1;
	__u64 sent, read, peer;
	__u32 messages;
	int stream;

	if (note_stacked(ctx, flow)) {
		flow->path = PATH_STACK_FOR_GOOD;
		return;
	}
	sent = flow->redirected + flow->stacked;
	read = connection->read[!side];
	messages = unread_messages(flow, sent, read);
	stream = is_stream(s, flow, connection->read[side], size);
	shape(s, flow, connection, side, stream);
	flow->path = choose(s, flow, sent - read, messages, size, stream);
	if (flow->path == PATH_REDIRECT) {
		peer = side == CLIENT ? connection->server : flow->connection;
		if (bpf_msg_redirect_hash(ctx, &sockets, &peer, BPF_F_INGRESS) == SK_PASS) {
			flow->redirected += size;
			flow->messages++;
			sent += size;
		} else {
			count(COUNT_to_stack_gone);
			flow->path = PATH_STACK_FOR_GOOD;
		}
	}
	connection->sent[side] = sent;
	count_hop(connection->hop, flow->path == PATH_REDIRECT ? REDIRECTED_MESSAGES : STACK_MESSAGES, size);
}

#endif
