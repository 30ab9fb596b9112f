package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/connectivity"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

// The times of the companion (node/uplink.ts, node/compact-replica.ts, contract/rpc.ts).
const (
	connectTimeout    = 5 * time.Second
	connectTimeoutMax = 4 * connectTimeout
	pauseFrom         = 500 * time.Millisecond
	pauseTo           = 10 * time.Second
	followTimeout     = 5 * time.Second
	messageBytes      = 1 << 20
	late              = "not connected in time"
)

const (
	serverName = "lazyscope-controller"
	method     = "/lazyscope.v1.Controller/Connect"
)

// node is one node companion.
type node struct {
	name, token string
	controllers []string
	layout      uint64
	dial        []grpc.DialOption
	counters    *counters

	mutex sync.Mutex
	// streams has nil for a controller without a stream.
	streams []*stream
	// source is the index of the controller that the node follows, or -1.
	source  int
	follows uint64
	timer   *time.Timer
	bytes   int
	isReady bool
}

type stream struct {
	grpc.ClientStream
	sending sync.Mutex
}

// send writes one message; grpc allows one writer at a time. An error also ends the stream, where
// it is seen.
func (s *stream) send(message []byte) {
	s.sending.Lock()
	defer s.sending.Unlock()
	_ = s.SendMsg(&message)
}

func newNode(mesh *mesh, index int, counters *counters) (*node, error) {
	described := mesh.Nodes[index]
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(mesh.CA)) {
		return nil, errors.New("the CA has no certificate")
	}
	source := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(described.Address)}}
	dial := []grpc.DialOption{
		grpc.WithTransportCredentials(credentials.NewTLS(&tls.Config{RootCAs: roots, ServerName: serverName})),
		grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			return source.DialContext(ctx, "tcp", address)
		}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(raw{}), grpc.MaxCallRecvMsgSize(messageBytes)),
	}
	return &node{
		name: described.Name, token: described.Token, controllers: mesh.Controllers, layout: mesh.Layout,
		dial: dial, counters: counters, streams: make([]*stream, len(mesh.Controllers)), source: -1,
	}, nil
}

func (n *node) keepConnected(ctx context.Context, which int) {
	limit, within := pauseFrom, connectTimeout
	for ctx.Err() == nil {
		began := time.Now()
		wasOpen, reason := n.runStream(ctx, which, within)
		n.counters.ended(wasOpen, reason)
		if reason == late {
			within = min(2*within, connectTimeoutMax)
		} else {
			within = connectTimeout
		}
		if time.Since(began) > pauseTo {
			limit = pauseFrom
		}
		time.Sleep(limit/2 + rand.N(limit/2))
		limit = min(2*limit, pauseTo)
	}
}

// runStream connects and reads until the stream ends. It returns whether the stream opened, and why
// it ended.
func (n *node) runStream(ctx context.Context, which int, within time.Duration) (bool, string) {
	connection, err := grpc.NewClient("passthrough:///"+n.controllers[which], n.dial...)
	if err != nil {
		return false, err.Error()
	}
	defer connection.Close()
	if failure := connect(ctx, connection, within); failure != "" {
		return false, failure
	}
	ctx, cancel := context.WithCancel(metadata.AppendToOutgoingContext(ctx, "authorization", "Bearer "+n.token))
	defer cancel()
	opened, err := connection.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, method)
	if err != nil {
		return false, reasonOf(err)
	}
	stream := &stream{ClientStream: opened}
	stream.send(hello(n.name))
	n.opened(which, stream)
	defer n.ended(which)
	for {
		var message []byte
		if err := stream.RecvMsg(&message); err != nil {
			return true, reasonOf(err)
		}
		n.received(which, message)
	}
}

func reasonOf(err error) string {
	found := status.Convert(err)
	return found.Code().String() + ": " + found.Message()
}

// connect returns why the connection is not ready, or nothing.
func connect(ctx context.Context, connection *grpc.ClientConn, within time.Duration) string {
	ctx, cancel := context.WithTimeout(ctx, within)
	defer cancel()
	connection.Connect()
	for {
		switch state := connection.GetState(); state {
		case connectivity.Ready:
			return ""
		case connectivity.TransientFailure, connectivity.Shutdown:
			return "no connection"
		default:
			if !connection.WaitForStateChange(ctx, state) {
				return late
			}
		}
	}
}

func (n *node) opened(which int, stream *stream) {
	n.counters.opened()
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.streams[which] = stream
	if n.source < 0 {
		n.follow(which)
	}
}

func (n *node) ended(which int) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	n.streams[which] = nil
	if n.source == which {
		n.follow(n.next(which))
	}
}

// next returns another controller with a stream, or -1.
func (n *node) next(after int) int {
	for i := range n.streams {
		which := (after + 1 + i) % len(n.streams)
		if n.streams[which] != nil {
			return which
		}
	}
	return -1
}

// follow is called under the mutex.
func (n *node) follow(which int) {
	n.source = which
	n.bytes = 0
	n.follows++
	if n.timer != nil {
		n.timer.Stop()
	}
	if which < 0 {
		return
	}
	stream, id := n.streams[which], n.follows
	go stream.send(follow(n.layout, id))
	n.timer = time.AfterFunc(followTimeout, func() { n.isLate(id) })
}

func (n *node) isLate(id uint64) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.follows == id && n.source >= 0 {
		n.follow(n.next(n.source))
	}
}

func (n *node) received(which int, message []byte) {
	part, err := catalogOf(message)
	if err != nil || part == nil {
		return
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.source != which || part.followID != n.follows {
		return
	}
	n.bytes += part.bytes
	if !part.complete || part.refused != "" {
		return
	}
	n.timer.Stop()
	if !n.isReady {
		n.isReady = true
		n.counters.ready(n.bytes)
	}
}
