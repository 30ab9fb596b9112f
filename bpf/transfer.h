/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Decides for each message whether it is redirected or takes the stack. */
#ifndef LAZYSCOPE_BYPASS_TRANSFER_H
#define LAZYSCOPE_BYPASS_TRANSFER_H

#include "listener.h"

/* After this many messages without a known other end, the flow stays on the stack for good. */
#define UNPAIRED_MESSAGES 64
/*
 * Upper bound of the unread redirected messages: the messages before a mark are read once the bytes
 * before the mark are read.
 */
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
 * Many small messages one way, without a read in between. The stack merges such messages;
 * redirection wakes the reader for each. The stream ends when this socket reads something.
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

/* Counts the message for its listener. A stream is counted from its first message on. */
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

/* Counts a message of a watched connection. Its first answer shows that not all are streams. */
static __always_inline void observe(const struct settings *s, struct flow *flow,
				    struct connection *connection, __u32 size)
{
	__u32 side = flow->side & 1;
	__u64 own_read = connection->read[side];
	int answers = own_read != flow->own_read && !connection->answered;

	shape(s, flow, connection, side, is_stream(s, flow, own_read, size));
	if (!answers)
		return;
	connection->answered = 1;
	note_shape(connection, side);
}

/* Chooses the path of a message, and counts each change. */
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

/*
 * Updates the number of bytes that the stack has taken. It comes from write_seq, because the kernel
 * reuses some verdicts without running this program. Returns -1 if the flow must stay on the stack.
 */
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
