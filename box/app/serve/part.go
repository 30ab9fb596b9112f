package serve

import (
	"bufio"
	"context"
	"crypto/tls"
	"errors"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"
)

// maxStreams is above what Envoy opens on one upstream connection in any test (Go's default is
// 250).
const maxStreams = 1_000

// part is one listener with its server.
type part struct {
	protocol string
	listener net.Listener
	serve    func() error
	// stop finishes what is in flight until the context ends, then cuts the rest.
	stop func(context.Context)
}

func (s *server) httpPart(tlsConfig *tls.Config) func(net.Listener) part {
	return func(listener net.Listener) part {
		web := s.httpServer(tlsConfig)
		return part{
			serve: func() error {
				if tlsConfig != nil {
					return ignoreClosed(web.ServeTLS(listener, "", ""))
				}
				return ignoreClosed(web.Serve(listener))
			},
			stop: func(ctx context.Context) {
				if web.Shutdown(ctx) != nil {
					web.Close()
				}
				waitUntil(ctx, &s.webSockets)
			},
		}
	}
}

func (s *server) httpServer(tlsConfig *tls.Config) *http.Server {
	protocols := new(http.Protocols)
	protocols.SetHTTP1(true)
	protocols.SetHTTP2(true)
	protocols.SetUnencryptedHTTP2(true)
	// No idle and read timeouts: an application that closes connections under its sidecar causes
	// 503s of its own.
	return &http.Server{
		Handler:           s.httpHandler(),
		Protocols:         protocols,
		TLSConfig:         tlsConfig,
		ReadHeaderTimeout: 10 * time.Second,
		HTTP2:             &http.HTTP2Config{MaxConcurrentStreams: maxStreams},
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
}

func (s *server) grpcPart(listener net.Listener) part {
	server := newGrpcServer(s.self)
	return part{
		serve: func() error { return server.Serve(listener) },
		stop: func(ctx context.Context) {
			unwatch := context.AfterFunc(ctx, server.Stop)
			defer unwatch()
			server.GracefulStop()
		},
	}
}

func (s *server) tcpPart(
	converse func(net.Conn, *bufio.Reader) error,
) func(net.Listener) part {
	return func(listener net.Listener) part {
		server := &tcpServer{listener: listener, converse: converse, stopping: s.stopping}
		return part{
			serve: server.serve,
			stop: func(ctx context.Context) {
				listener.Close()
				waitUntil(ctx, &server.open)
			},
		}
	}
}

// waitUntil waits for the group or for the end of the context; the end of the process cuts what is
// left.
func waitUntil(ctx context.Context, group *sync.WaitGroup) {
	done := make(chan struct{})
	go func() {
		group.Wait()
		close(done)
	}()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

func ignoreClosed(err error) error {
	if errors.Is(err, http.ErrServerClosed) {
		return nil
	}
	return err
}
