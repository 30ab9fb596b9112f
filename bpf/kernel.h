/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * The few fields of kernel structs that the programs read. Only the names matter: libbpf takes the
 * offsets from the BTF of the running kernel, so one object fits every kernel without vmlinux.h.
 */
#ifndef LAZYSCOPE_BYPASS_KERNEL_H
#define LAZYSCOPE_BYPASS_KERNEL_H

#pragma clang attribute push(__attribute__((preserve_access_index)), apply_to = record)

struct in6_addr {
	union {
		__u32 u6_addr32[4];
	} in6_u;
};

struct sock_common {
	__u32 skc_daddr;
	__u32 skc_rcv_saddr;
	__u16 skc_dport; /* network order */
	__u16 skc_num;   /* host order */
	unsigned short skc_family;
	struct in6_addr skc_v6_daddr;
	struct in6_addr skc_v6_rcv_saddr;
	unsigned long skc_flags;
};

struct kernfs_node {
	__u64 id;
};

struct cgroup {
	struct kernfs_node *kn;
};

struct sock_cgroup_data {
	struct cgroup *cgroup;
};

struct sock {
	struct sock_common __sk_common;
	struct sock_cgroup_data sk_cgrp_data;
};

struct inet_sock {
	struct sock sk;
};

struct tcp_ulp_ops;

struct inet_connection_sock {
	struct inet_sock icsk_inet;
	const struct tcp_ulp_ops *icsk_ulp_ops;
};

struct tcp_sock {
	struct inet_connection_sock inet_conn;
	__u32 rcv_nxt;
	__u32 snd_nxt;
	__u32 write_seq;
	__u32 copied_seq;
	__u8 repair : 1;
	_Bool is_mptcp;
};

struct sk_buff {
	char cb[48];
};

/* What TCP keeps in `cb`: the sequence numbers of a segment. */
struct tcp_skb_cb {
	__u32 seq;
	__u32 end_seq;
};

enum sock_flags {
	SOCK_ZEROCOPY,
};

#pragma clang attribute pop

#endif
