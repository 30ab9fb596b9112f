/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* Detects connections with both ends in accelerated cgroups, and handles their end. */
#ifndef LAZYSCOPE_BYPASS_ESTABLISH_H
#define LAZYSCOPE_BYPASS_ESTABLISH_H

#include "address.h"
#include "listener.h"

static __always_inline int port_allowed(const struct settings *s, __u16 port)
{
	int named = bpf_map_lookup_elem(&ports, &port) != NULL;

	return s->flags & FLAG_ONLY_PORTS ? named : !named;
}

/* Returns 0, or the counter of the reason not to accelerate this socket. */
static __always_inline int unfit(struct tcp_sock *tp)
{
	unsigned long flags = tp->inet_conn.icsk_inet.sk.__sk_common.skc_flags;

	if (bpf_core_field_exists(tp->is_mptcp) && tp->is_mptcp)
		return COUNT_refused_mptcp;
	if (BPF_CORE_READ_BITFIELD(tp, repair))
		return COUNT_refused_repair;
	if (tp->write_seq != tp->snd_nxt || tp->copied_seq != tp->rcv_nxt)
		return COUNT_refused_early_data;
	if (flags & (1ul << bpf_core_enum_value(enum sock_flags, SOCK_ZEROCOPY)))
		return COUNT_refused_zerocopy;
	return 0;
}

/*
 * Returns 0, or the reason not to accelerate sockets of this container. If its reads are not known
 * yet, starts to watch this socket to learn them.
 */
static __always_inline int unfit_reader(struct bpf_sock_ops *ctx, struct tcp_sock *tp, __u64 *container)
{
	struct bpf_sock *sk = ctx->sk;
	struct flow *flow;
	__u32 *reads;

	*container = cgroup_of(tp);
	reads = bpf_map_lookup_elem(&readers, container);
	if (reads && *reads)
		return *reads & READS_BLOCKING ? COUNT_refused_blocking : 0;
	flow = sk ? bpf_sk_storage_get(&flows, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE) : NULL;
	if (!flow)
		return COUNT_no_storage;
	flow->container = *container;
	return COUNT_learning;
}

/* Adds the socket to the map, with the state for the other programs. Returns 0 or a reason. */
static __always_inline int take_in(struct bpf_sock_ops *ctx, struct tcp_sock *tp, enum side side,
				   __u64 self, __u64 connection, __u64 container)
{
	struct bpf_sock *sk = ctx->sk;
	struct flow *flow;
	int reason = unfit(tp);
	__u32 next;

	if (reason || !sk)
		return reason;
	flow = bpf_sk_storage_get(&flows, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE);
	if (!flow)
		return COUNT_no_storage;
	flow->connection = connection;
	flow->container = container;
	flow->side = side;
	flow->write_seq = tp->write_seq;
	next = tp->rcv_nxt;
	if (bpf_map_update_elem(&arrived, &self, &next, BPF_ANY) ||
	    bpf_sock_hash_update(ctx, &sockets, &self, BPF_ANY)) {
		bpf_map_delete_elem(&arrived, &self);
		bpf_sk_storage_delete(&flows, sk);
		return COUNT_no_room;
	}
	bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
	count(side == CLIENT ? COUNT_client_in : COUNT_server_in);
	return 0;
}

/* Watches the traffic of a connection that stays on the stack. Returns 0 or a reason. */
static __always_inline int watch(struct bpf_sock_ops *ctx, enum side side, __u64 connection, __u64 container)
{
	struct bpf_sock *sk = ctx->sk;
	struct flow *flow;

	flow = sk ? bpf_sk_storage_get(&flows, sk, NULL, BPF_SK_STORAGE_GET_F_CREATE) : NULL;
	if (!flow)
		return COUNT_no_storage;
	flow->watched = connection;
	flow->container = container;
	flow->side = side;
	bpf_sock_ops_cb_flags_set(ctx, BPF_SOCK_OPS_STATE_CB_FLAG);
	return 0;
}

/* On a SYN to a listener: records the client, whose own program looks it up once established. */
static __always_inline void expect_client(struct bpf_sock_ops *ctx, struct settings *s)
{
	struct client_address client = {};
	__u32 prospect;

	if (!port_allowed(s, FIELD(ctx, local_port)))
		return;
	prospect = prospect_of(ctx, s);
	if (prospect == NOTHING)
		return;
	client_of_request(ctx, &client);
	bpf_map_update_elem(&expected, &client, &prospect, BPF_ANY);
}

/* Returns 0 or a reason. Only clients that will be paired are added: see bypass.bpf.c. */
static __always_inline int client_established(struct bpf_sock_ops *ctx, struct settings *s,
					      struct tcp_sock *tp)
{
	struct client self = { .cookie = bpf_get_socket_cookie(ctx) };
	struct pair_key pair = {};
	__u32 *prospect;
	__u64 container;
	int reason;
	__u16 port;

	reason = unfit_reader(ctx, tp, &container);
	if (reason && reason != COUNT_learning)
		return reason;
	client_of_socket(tp, CLIENT, &pair.client);
	prospect = bpf_map_lookup_elem(&expected, &pair.client);
	if (!prospect)
		return reason ? reason : COUNT_not_local;
	port = bpf_ntohs(tp->inet_conn.icsk_inet.sk.__sk_common.skc_dport);
	/*
	 * REDIRECT gives the two ends different ports. Either of the two excludes the connection.
	 */
	if (!(s->flags & FLAG_ONLY_PORTS) && !port_allowed(s, port))
		return COUNT_refused_port;
	self.watched = reason || *prospect == WATCH;
	if (self.watched && !s->stream_seconds)
		return reason;
	if (self.watched)
		reason = watch(ctx, CLIENT, self.cookie, container);
	else
		reason = take_in(ctx, tp, CLIENT, self.cookie, self.cookie, container);
	if (reason)
		return reason;
	pair.client_next = tp->snd_nxt;
	pair.server_next = tp->rcv_nxt;
	bpf_map_update_elem(&waiting, &pair, &self, BPF_ANY);
	return 0;
}

static __always_inline __u32 hop_of(struct tcp_sock *tp)
{
	__u16 port = tp->inet_conn.icsk_inet.sk.__sk_common.skc_num;

	return port == PORT_OUTBOUND ? HOP_OUTBOUND : port == PORT_INBOUND ? HOP_INBOUND : HOP_OTHER;
}

/* Returns 0, or the reason not to accelerate the server. */
static __always_inline int server_established(struct bpf_sock_ops *ctx, struct tcp_sock *tp)
{
	struct connection connection = {};
	struct client *found, client;
	struct pair_key pair = {};
	__u64 container;
	int reason;

	client_of_socket(tp, SERVER, &pair.client);
	bpf_map_delete_elem(&expected, &pair.client);
	note_listener(ctx, tp);
	reason = unfit_reader(ctx, tp, &container);
	pair.client_next = tp->rcv_nxt;
	pair.server_next = tp->snd_nxt;
	found = bpf_map_lookup_elem(&waiting, &pair);
	if (!found)
		return reason ? reason : COUNT_unpaired;
	client = *found;
	bpf_map_delete_elem(&waiting, &pair);
	if (reason && (reason != COUNT_learning || !client.watched))
		return reason;
	connection.server = bpf_get_socket_cookie(ctx);
	connection.hop = hop_of(tp);
	connection.netns = bpf_get_netns_cookie(ctx);
	connection.port = tp->inet_conn.icsk_inet.sk.__sk_common.skc_num;
	if (client.watched) {
		if (watch(ctx, SERVER, client.cookie, container))
			return COUNT_no_storage;
		bpf_map_update_elem(&watched, &client.cookie, &connection, BPF_NOEXIST);
		return reason ? reason : COUNT_watched;
	}
	reason = take_in(ctx, tp, SERVER, connection.server, client.cookie, container);
	if (reason)
		return reason;
	return bpf_map_update_elem(&connections, &client.cookie, &connection, BPF_NOEXIST) ?
		       COUNT_no_connection : 0;
}

static __always_inline void socket_closed(struct bpf_sock_ops *ctx, const struct settings *s)
{
	struct bpf_sock *sk = ctx->sk;
	struct connection *connection;
	struct flow *flow;
	__u64 key;

	flow = sk ? bpf_sk_storage_get(&flows, sk, NULL, 0) : NULL;
	if (!flow)
		return;
	connection = connection_of(flow);
	if (connection && s && s->stream_seconds) {
		note_shape(connection, CLIENT);
		note_shape(connection, SERVER);
	}
	key = flow->watched;
	if (key) {
		bpf_map_delete_elem(&watched, &key);
		return;
	}
	key = flow->connection;
	bpf_map_delete_elem(&connections, &key);
	key = bpf_get_socket_cookie(ctx);
	bpf_map_delete_elem(&arrived, &key);
	count(COUNT_closed);
}

#endif
