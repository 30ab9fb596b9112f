/* SPDX-License-Identifier: (GPL-2.0-only OR BSD-2-Clause) */
/*
 * Shared by the programs and the loader: the settings, the counters and the record of a connection.
 */
#ifndef LAZYSCOPE_BYPASS_H
#define LAZYSCOPE_BYPASS_H

#include <linux/types.h>

/* Ports of an Istio sidecar (istio: tools/istio-iptables/pkg/constants). They identify the hop. */
#define PORT_OUTBOUND 15001
#define PORT_INBOUND 15006

/*
 * Maximum number of connections; option `connections` of the command `start` overrides it. 64 Ki is
 * the limit of conntrack on a small node.
 */
#define CONNECTIONS_MAX 65536
/* Maximum number of ports in a policy. */
#define PORTS_MAX 256

/* Maximum number of containers in `readers`: far more than a node runs. */
#define CONTAINERS_MAX 4096
/* Maximum number of listeners, over all network namespaces: dozens for each pod. */
#define LISTENERS_MAX 16384
/*
 * Maximum number of connections on the stack whose traffic is watched: mostly the first of each
 * listener. The oldest are no longer watched.
 */
#define WATCHED_MAX 4096

#define FLAG_INSERT (1u << 0)     /* accelerate new connections */
#define FLAG_REDIRECT (1u << 1)   /* redirect data from socket to socket */
#define FLAG_ONLY_PORTS (1u << 2) /* only the named ports; otherwise all others */

struct settings {
	__u32 flags;
	__u32 message_limit; /* maximum of unread redirected messages in one direction */
	__u64 byte_limit;    /* with more unread bytes in one direction, data takes the stack */
	__u32 stream_limit;  /* more messages one way without a reply are a stream, */
	__u32 stream_bytes;  /* if their mean size is at most this: the stack is faster */
	__u32 stream_seconds; /* how long listeners of streams are left alone; 0: never */
	__u32 pad;
};

enum side { CLIENT, SERVER, SIDES };

enum hop {
	HOP_OTHER,    /* sidecar to application, or two applications */
	HOP_OUTBOUND, /* application to its sidecar */
	HOP_INBOUND,  /* sidecar to sidecar */
	HOPS,
};

/*
 * One accelerated or watched connection; arrays are indexed by the side that wrote or read. Bytes
 * since it began.
 */
struct connection {
	__u64 server;        /* socket cookie */
	__u64 sent[SIDES];   /* bytes sent to the other side, by either path */
	__u64 read[SIDES];   /* bytes taken by recvmsg */
	__u32 hop;
	__u32 port;          /* the port of the listener */
	__u64 netns;         /* the listener's network namespace, by cookie */
	__u32 messages[SIDES]; /* messages not yet added to `listeners` */
	__u32 streamed[SIDES]; /* those of them in streams of small messages */
	__u32 answered;      /* a watched connection: a side has sent after it has read */
	__u32 pad;
};

/* The counters: most give the reason why a socket was not accelerated or a flow not redirected. */
#define COUNTERS(X) \
	X(client_seen)          /* connections that a process of the cgroup opened */ \
	X(server_seen)          /* connections that a process of the cgroup accepted */ \
	X(client_in)            /* clients in the socket map */ \
	X(server_in)            /* servers in the socket map, each paired with its client */ \
	X(closed)               /* sockets of the map that were closed */ \
	X(not_local)            /* clients whose server is not in an accelerated cgroup */ \
	X(unpaired)             /* servers whose client is not in the map */ \
	X(learning)             /* sockets of containers whose reads were not observed yet */ \
	X(watched)              /* connections watched from the stack, because of their listener */ \
	X(refused_blocking)     /* sockets of containers with blocking reads */ \
	X(refused_port)         /* clients whose port the policy excludes */ \
	X(refused_stream)       /* clients of listeners that are left alone because of streams */ \
	X(refused_mptcp) \
	X(refused_repair)       /* sockets under TCP_REPAIR: arbitrary sequence numbers */ \
	X(refused_early_data)   /* TCP Fast Open: data was sent before the handshake ended */ \
	X(refused_zerocopy)     /* SO_ZEROCOPY, set earlier or later: no one reports free pages */ \
	X(refused_ulp)          /* setsockopt(TCP_ULP) on a socket in the map, for kTLS */ \
	X(woken)                /* blocking reads on a socket in the map that ended with EAGAIN */ \
	X(no_storage)           /* no memory for the state of a socket */ \
	X(no_room)              /* socket map full, or the socket is in another one */ \
	X(no_connection)        /* table of connections full */ \
	X(to_stack_off)         /* flows that moved to the stack: redirection was switched off */ \
	X(to_stack_bytes)       /* the same: limit of unread bytes */ \
	X(to_stack_messages)    /* the same: limit of unread messages */ \
	X(to_stack_stream)      /* the same: a stream of small messages */ \
	X(to_stack_gone)        /* the same: the other side has gone */ \
	X(to_stack_ulp)         /* the same: kTLS */ \
	X(to_redirect)          /* flows that returned to redirection */ \
	X(left_alone)           /* listeners left alone: mostly streams of small messages */ \
	X(repeated)             /* segments that began with data that had arrived before */ \
	X(repeated_kept)        /* those of them that the application got as they were: no memory */

enum counter {
#define X(name) COUNT_##name,
	COUNTERS(X)
#undef X
	COUNT_HOPS, /* enum hop_counter for each hop follows */
};

enum hop_counter { REDIRECTED_MESSAGES, REDIRECTED_BYTES, STACK_MESSAGES, STACK_BYTES, HOP_COUNTERS };

#define COUNTERS_MAX (COUNT_HOPS + HOPS * HOP_COUNTERS)

#endif
