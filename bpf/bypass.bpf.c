// SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause)
/*
 * Moves data between two TCP sockets of one node without the stack.
 *
 * The programs accelerate a connection if both of its ends are sockets of accelerated cgroups. They
 * match the two ends by the sequence numbers and the client's address, which stay the same across
 * REDIRECT, DNAT and network namespaces. A flow (one direction) uses either the stack or
 * redirection. A flow may change to redirection only while it has no unread bytes, so that bytes
 * never overtake each other. Unread bytes = redirected bytes + growth of write_seq - bytes read.
 * This sum does not depend on the verdicts, some of which the kernel reuses without running the
 * program.
 *
 * A socket stays in the map until it is closed: removing it earlier would lose its unread data, and
 * a blocked reader would miss later data. So the programs add only sockets whose other end will
 * follow.
 */
#include <linux/errno.h>
#include "arrival.h"
#include "establish.h"
#include "transfer.h"

#define SOL_SOCKET 1
#define SO_ZEROCOPY 60
#define SOL_TCP 6
#define TCP_ULP 31
#define MSG_OOB 0x1
#define MSG_PEEK 0x2
#define MSG_DONTWAIT 0x40
#define MSG_ERRQUEUE 0x2000

SEC("sockops")
int bypass_sockops(struct bpf_sock_ops *ctx)
{
	struct settings *s = current_settings();
	__u32 op = FIELD(ctx, op);
	struct bpf_sock *sk = ctx->sk;
	struct tcp_sock *tp;
	int reason = 0;

	if (op == BPF_SOCK_OPS_STATE_CB) {
		if (FIELD(ctx, args[1]) == BPF_TCP_CLOSE)
			socket_closed(ctx, s);
		return 1;
	}
	if (op == BPF_SOCK_OPS_TCP_LISTEN_CB) {
		tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
		if (tp)
			note_listener(ctx, tp);
		return 1;
	}
	if (!s || !(s->flags & FLAG_INSERT))
		return 1;
	if (op == BPF_SOCK_OPS_TIMEOUT_INIT && !FIELD(ctx, is_fullsock))
		expect_client(ctx, s);
	if (op != BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB && op != BPF_SOCK_OPS_PASSIVE_ESTABLISHED_CB)
		return 1;
	tp = sk ? bpf_skc_to_tcp_sock(sk) : NULL;
	if (!tp)
		return 1;
	if (op == BPF_SOCK_OPS_ACTIVE_ESTABLISHED_CB) {
		count(COUNT_client_seen);
		reason = client_established(ctx, s, tp);
	} else {
		count(COUNT_server_seen);
		reason = server_established(ctx, tp);
	}
	if (reason)
		count(reason);
	return 1;
}

/* Always returns SK_PASS: the redirection is set on the message, and no message is ever dropped. */
SEC("sk_msg")
int bypass_message(struct sk_msg_md *ctx)
{
	struct bpf_sock *sk = FIELD(ctx, sk);
	struct settings *s = current_settings();
	struct connection *connection;
	struct flow *flow;
	__u64 key;

	flow = sk ? bpf_sk_storage_get(&flows, sk, NULL, 0) : NULL;
	if (!flow || !s || flow->path == PATH_STACK_FOR_GOOD)
		return SK_PASS;
	key = flow->connection;
	connection = bpf_map_lookup_elem(&connections, &key);
	if (connection) {
		send(ctx, s, flow, connection);
	} else if (flow->messages || ++flow->unpaired > UNPAIRED_MESSAGES) {
		flow->path = PATH_STACK_FOR_GOOD;
		count(COUNT_to_stack_gone);
	}
	return SK_PASS;
}

/* Records whether reads of this container block. Each watched socket reports each kind once. */
static __always_inline void note_reader(struct flow *flow, int ret, int flags)
{
	__u32 kind = flags & MSG_DONTWAIT ? READS_NON_BLOCKING : READS_BLOCKING, *known, none = 0;
	__u64 container = flow->container;

	if (ret == -EAGAIN && kind == READS_BLOCKING && flow->connection)
		count(COUNT_woken);
	if (flow->reads & kind)
		return;
	flow->reads |= kind;
	bpf_map_update_elem(&readers, &container, &none, BPF_NOEXIST);
	known = bpf_map_lookup_elem(&readers, &container);
	if (known)
		__sync_fetch_and_or(known, kind);
}

/*
 * Runs after every recvmsg on the node and counts the bytes that an accelerated socket has read.
 * Reads that leave the data in the socket are not counted.
 */
SEC("tp_btf/sock_recv_length")
int BPF_PROG(bypass_read, struct sock *sk, int ret, int flags)
{
	struct connection *connection;
	struct flow *flow;

	flow = bpf_sk_storage_get(&flows, sk, NULL, 0);
	if (!flow)
		return 0;
	note_reader(flow, ret, flags);
	if (ret <= 0 || flags & (MSG_PEEK | MSG_ERRQUEUE | MSG_OOB))
		return 0;
	connection = connection_of(flow);
	if (connection)
		__sync_fetch_and_add(&connection->read[flow->side & 1], ret);
	return 0;
}

/*
 * Runs after every sendmsg on the node, and sees what the message program cannot: the messages of
 * sockets that are not in the map.
 */
SEC("tp_btf/sock_send_length")
int BPF_PROG(bypass_sent, struct sock *sk, int ret, int flags)
{
	struct settings *s = current_settings();
	struct connection *connection;
	struct flow *flow;

	flow = bpf_sk_storage_get(&flows, sk, NULL, 0);
	if (!flow || !flow->watched || !s || !s->stream_seconds || ret <= 0)
		return 0;
	connection = connection_of(flow);
	if (connection)
		observe(s, flow, connection, ret);
	return 0;
}

/* Without this program, FIONREAD on a socket in the map returns 0 for data from the stack. */
SEC("sk_skb/stream_verdict")
int bypass_arrival(struct __sk_buff *ctx)
{
	take_arrival(ctx);
	return SK_PASS;
}

/*
 * Refuses two options for a socket in the map, with the errors of a kernel that lacks them: kTLS,
 * because redirected data would not be encrypted into records, and SO_ZEROCOPY, because the sender
 * would not be notified when redirected pages are free.
 */
SEC("cgroup/setsockopt")
int bypass_setsockopt(struct bpf_sockopt *ctx)
{
	int level = FIELD(ctx, level), name = FIELD(ctx, optname);
	int ulp = level == SOL_TCP && name == TCP_ULP;
	struct bpf_sock *sk = ctx->sk;
	struct flow *flow;

	if (!ulp && (level != SOL_SOCKET || name != SO_ZEROCOPY))
		return 1;
	flow = sk ? bpf_sk_storage_get(&flows, sk, NULL, 0) : NULL;
	if (!flow || !flow->connection)
		return 1;
	count(ulp ? COUNT_refused_ulp : COUNT_refused_zerocopy);
	bpf_set_retval(ulp ? -ENOENT : -EOPNOTSUPP);
	return 0;
}

/* The kernel lets only programs with a GPL-compatible licence read its structs. */
char programs_license[] SEC("license") = "Dual BSD/GPL";
