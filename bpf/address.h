/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* The address of a client, as each of the two ends and the SYN give it. */
#ifndef LAZYSCOPE_BYPASS_ADDRESS_H
#define LAZYSCOPE_BYPASS_ADDRESS_H

#include "maps.h"

#define AF_INET 2

/* The client of a SYN. The connection has no socket yet, so the address comes from the context. */
static __always_inline void client_of_request(struct bpf_sock_ops *ctx, struct client_address *key)
{
	/*
	 * Read before the branch: clang would merge the reads of both branches through one pointer.
	 */
	__u32 ip4 = FIELD(ctx, remote_ip4), family = FIELD(ctx, family);

	key->port = bpf_ntohl(FIELD(ctx, remote_port));
	key->ip[0] = FIELD(ctx, remote_ip6[0]);
	key->ip[1] = FIELD(ctx, remote_ip6[1]);
	key->ip[2] = FIELD(ctx, remote_ip6[2]);
	key->ip[3] = FIELD(ctx, remote_ip6[3]);
	if (family == AF_INET) {
		key->ip[0] = 0;
		key->ip[1] = 0;
		key->ip[2] = bpf_htonl(0xffff);
		key->ip[3] = ip4;
	}
}

static __always_inline void copy_ip(__u32 *to, const struct in6_addr *from)
{
	to[0] = from->in6_u.u6_addr32[0];
	to[1] = from->in6_u.u6_addr32[1];
	to[2] = from->in6_u.u6_addr32[2];
	to[3] = from->in6_u.u6_addr32[3];
}

static __always_inline void client_of_socket(struct tcp_sock *tp, enum side side,
					     struct client_address *key)
{
	struct sock_common *sk = &tp->inet_conn.icsk_inet.sk.__sk_common;

	key->port = side == CLIENT ? sk->skc_num : bpf_ntohs(sk->skc_dport);
	if (sk->skc_family == AF_INET) {
		key->ip[2] = bpf_htonl(0xffff);
		key->ip[3] = side == CLIENT ? sk->skc_rcv_saddr : sk->skc_daddr;
	} else if (side == CLIENT) {
		copy_ip(key->ip, &sk->skc_v6_rcv_saddr);
	} else {
		copy_ip(key->ip, &sk->skc_v6_daddr);
	}
}

#endif
