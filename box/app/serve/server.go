package serve

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"sync"
	"time"
)

// stopBound is how long in-flight requests may take after SIGTERM; Kubernetes kills after 30 s.
const stopBound = 5 * time.Second

// Config lists the addresses to listen on, by protocol, as "host:port" or ":port".
type Config struct {
	Name        string
	HTTP        []string
	GRPC        []string
	ServerFirst []string
	ClientFirst []string
	TLS         []string
	TLSName     string
}

type server struct {
	self     Self
	log      *slog.Logger
	stopping context.Context
	beginEnd context.CancelFunc
	parts    []part
	failed   chan error
	// webSockets counts the open ones: net/http forgets a connection once it is upgraded.
	webSockets sync.WaitGroup
}

// start binds every listener before it serves any, so that a taken port fails the whole start.
func start(config Config, log *slog.Logger) (*server, error) {
	s := &server{self: newSelf(config.Name), log: log}
	s.stopping, s.beginEnd = context.WithCancel(context.Background())
	tlsConfig, err := s.tlsConfig(config)
	if err != nil {
		return nil, err
	}
	groups := []struct {
		protocol  string
		addresses []string
		build     func(net.Listener) part
	}{
		{"http", config.HTTP, s.httpPart(nil)},
		{"tls", config.TLS, s.httpPart(tlsConfig)},
		{"grpc", config.GRPC, s.grpcPart},
		{"tcp-server-first", config.ServerFirst, s.tcpPart(s.serverFirst)},
		{"tcp-echo", config.ClientFirst, s.tcpPart(s.clientFirst)},
	}
	for _, group := range groups {
		for _, address := range group.addresses {
			listener, err := net.Listen("tcp", address)
			if err != nil {
				s.closeListeners()
				return nil, fmt.Errorf("--%s %s: %w; give a free port",
					group.protocol, address, err)
			}
			built := group.build(listener)
			built.protocol, built.listener = group.protocol, listener
			s.parts = append(s.parts, built)
		}
	}
	if len(s.parts) == 0 {
		return nil, errors.New("nothing to serve; give at least one port, such as --http 8080")
	}
	s.failed = make(chan error, len(s.parts))
	for _, part := range s.parts {
		go func() { s.failed <- part.serve() }()
		log.Info("serving", "protocol", part.protocol, "address", part.listener.Addr().String())
	}
	return s, nil
}

// stop refuses new connections, lets what is in flight finish within the bound, and closes the
// rest.
func (s *server) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), stopBound)
	defer cancel()
	s.beginEnd()
	done := make(chan struct{}, len(s.parts))
	for _, part := range s.parts {
		go func() {
			part.stop(ctx)
			done <- struct{}{}
		}()
	}
	for range s.parts {
		<-done
	}
}

func (s *server) closeListeners() {
	for _, part := range s.parts {
		part.listener.Close()
	}
}
