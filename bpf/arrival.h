/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Removes from arriving data what the socket already has. A sender that repeats data may merge
 * segments, so that a segment begins with bytes that arrived before (net/ipv4/tcp_output.c,
 * tcp_retrans_try_collapse). TCP's own reads skip these bytes; the reads of sockets in a map do
 * not (net/ipv4/tcp.c, tcp_read_skb), and the application would get them twice.
 */
#ifndef LAZYSCOPE_BYPASS_ARRIVAL_H
#define LAZYSCOPE_BYPASS_ARRIVAL_H

#include "maps.h"

/* The most that one call of bpf_skb_adjust_room removes (net/core/filter.c, sk_skb_adjust_room). */
#define PIECE_MAX 0xfff
/* Enough pieces for the largest segment, 512 KiB with BIG TCP (include/linux/netdevice.h). */
#define PIECES_MAX 129

extern void *bpf_cast_to_kern_ctx(void *ctx) __ksym;
extern void *bpf_rdonly_cast(const void *object, __u32 type) __ksym;

static __always_inline const struct tcp_skb_cb *segment_of(struct __sk_buff *ctx)
{
	const struct sk_buff *skb = bpf_cast_to_kern_ctx(ctx);

	return bpf_rdonly_cast(skb->cb, bpf_core_type_id_kernel(struct tcp_skb_cb));
}

struct repetition {
	struct __sk_buff *ctx;
	__u32 left; /* bytes */
};

/* One turn of the loop; returns whether the loop ends. */
static long remove_piece(__u32 index, struct repetition *repeated)
{
	__u32 piece = repeated->left < PIECE_MAX ? repeated->left : PIECE_MAX;

	if (!piece || bpf_skb_adjust_room(repeated->ctx, -(__s32)piece, 0, 0))
		return 1;
	repeated->left -= piece;
	return 0;
}

static __always_inline void remove_repeated(struct __sk_buff *ctx, __u32 size)
{
	struct repetition repeated = { .ctx = ctx, .left = size };

	count(COUNT_repeated);
	bpf_loop(PIECES_MAX, remove_piece, &repeated, 0);
	if (repeated.left)
		count(COUNT_repeated_kept);
}

static __always_inline void take_arrival(struct __sk_buff *ctx)
{
	__u64 cookie = bpf_get_socket_cookie(ctx);
	__u32 *next = bpf_map_lookup_elem(&arrived, &cookie);
	const struct tcp_skb_cb *segment;
	__s32 repeated;

	if (!next)
		return;
	segment = segment_of(ctx);
	repeated = (__s32)(*next - segment->seq);
	*next = segment->end_seq;
	if (repeated > 0)
		remove_repeated(ctx, (__u32)repeated);
}

#endif
