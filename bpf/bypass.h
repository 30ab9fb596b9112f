/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/* What the programs and the loader share: the settings, the counters and the record of a connection. */
#ifndef LAZYSCOPE_BYPASS_H
#define LAZYSCOPE_BYPASS_H

#include <linux/types.h>

/* Ports of an Istio sidecar (istio: tools/istio-iptables/pkg/constants): they name the hops. */
#define PORT_OUTBOUND 15001
#define PORT_INBOUND 15006

/* Connections at most; `connections` of the command `start` replaces it. 64 Ki, as conntrack on a small node. */
#define CONNECTIONS_MAX 65536
/* Ports that a policy can name. */
#define PORTS_MAX 256

/* Containers that are told apart: far more than a node runs. */
#define CONTAINERS_MAX 4096
/* Listening ports of all network namespaces that are remembered: dozens for each pod. */
#define LISTENERS_MAX 16384

#define FLAG_INSERT (1u << 0)     /* new connections are taken in */
#define FLAG_REDIRECT (1u << 1)   /* data goes from socket to socket */
#define FLAG_ONLY_PORTS (1u << 2) /* the named ports only; otherwise all but the named ones */

struct settings {
	__u32 flags;
	__u32 message_limit; /* unread redirected messages of one direction, at most */
	__u64 byte_limit;    /* unread bytes of one direction, above which data takes the stack */
	__u32 stream_limit;  /* messages one way, nothing coming back; then the stack does better, */
	__u32 stream_bytes;  /* where their mean size is at most this */
	__u32 stream_seconds; /* for which listeners of such streams are left alone; 0: they are not */
	__u32 pad;
};

enum side { CLIENT, SERVER, SIDES };

enum hop {
	HOP_OTHER,    /* sidecar to application, or two applications */
	HOP_OUTBOUND, /* application to its sidecar */
	HOP_INBOUND,  /* sidecar to sidecar */
	HOPS,
};

/* One connection; the index is the side that wrote or read. Bytes since the connection began. */
struct connection {
	__u64 server;        /* socket cookie */
	__u64 sent[SIDES];   /* given to the other side, by either path */
	__u64 read[SIDES];   /* taken by recvmsg */
	__u32 hop;
	__u32 port;          /* of the listener, */
	__u64 netns;         /* and its network namespace, by cookie */
	__u32 messages[SIDES]; /* not yet told to `listeners`, */
	__u32 streamed[SIDES]; /* and those of them in streams of small ones */
};

/* Why something was not taken in or not redirected; each is a counter. */
#define COUNTERS(X) \
	X(client_seen)          /* connections that a process of the cgroup opened */ \
	X(server_seen)          /* connections that one accepted */ \
	X(client_in)            /* clients in the socket map */ \
	X(server_in)            /* servers in it, each paired with its client */ \
	X(closed)               /* sockets of it that were closed */ \
	X(not_local)            /* clients whose server is not in an accelerated cgroup */ \
	X(unpaired)             /* servers whose client is not in the map */ \
	X(learning)             /* sockets of containers whose way to read is not known yet */ \
	X(refused_blocking)     /* of containers with blocking reads */ \
	X(refused_port)         /* by the policy */ \
	X(refused_stream)       /* clients of listeners that are left alone because of their streams */ \
	X(refused_mptcp) \
	X(refused_repair)       /* sockets under TCP_REPAIR: their numbers prove nothing */ \
	X(refused_early_data)   /* TCP Fast Open: data before the connection was there */ \
	X(refused_zerocopy)     /* SO_ZEROCOPY, before or after: nothing would tell when pages are free */ \
	X(refused_ulp)          /* setsockopt(TCP_ULP) on a socket in the map, for kTLS */ \
	X(woken)                /* blocking reads on a socket in the map that ended with EAGAIN */ \
	X(no_storage)           /* no memory for the state of a socket */ \
	X(no_room)              /* socket map full, or the socket is in another one */ \
	X(no_connection)        /* table of connections full */ \
	X(to_stack_off)         /* flows that went to the stack because of the switch, */ \
	X(to_stack_bytes)       /* of the limit of bytes, */ \
	X(to_stack_messages)    /* of the limit of messages, */ \
	X(to_stack_stream)      /* of a stream of small messages, */ \
	X(to_stack_gone)        /* because the other side has gone, */ \
	X(to_stack_ulp)         /* or because of kTLS */ \
	X(to_redirect)          /* flows that came back to redirection */ \
	X(left_alone)           /* listeners that were found to stream small messages */

enum counter {
#define X(name) COUNT_##name,
	COUNTERS(X)
#undef X
	COUNT_HOPS, /* from here HOPS times enum hop_counter */
};

enum hop_counter { REDIRECTED_MESSAGES, REDIRECTED_BYTES, STACK_MESSAGES, STACK_BYTES, HOP_COUNTERS };

#define COUNTERS_MAX (COUNT_HOPS + HOPS * HOP_COUNTERS)

#endif
