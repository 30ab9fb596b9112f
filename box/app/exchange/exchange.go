// Package exchange is the client side of meshapp: one request and its answer, over each protocol
// that the server speaks. It never retries a request that may have been sent, and follows no
// redirect, so that what the mesh did is what the caller sees.
package exchange

import (
	"context"
	"fmt"
	"net"
	"net/url"
	"time"
)

// An Exchanger holds at most one connection to its target and may be used by several goroutines
// where the protocol multiplexes (HTTP/2, gRPC), otherwise by one.
type Exchanger interface {
	// Exchange sends one request and reads its whole answer. A broken connection is replaced by
	// the next call.
	Exchange(ctx context.Context) Answer
	Close()
}

// Answer is what came back. Err is nil if the exchange is complete.
type Answer struct {
	// Status is the HTTP status or the gRPC code; 0 for TCP.
	Status     int
	StatusText string
	Protocol   string
	Header     map[string][]string
	Trailer    map[string][]string
	Body       []byte // at most Options.KeepBody bytes of it
	BodyBytes  int64
	BodySha256 string
	SentSha256 string // of the request body, "" without one
	Events     []Event
	// Answered is true once anything came back: a refused call is an answer, a refused
	// connection is not.
	Answered bool
	// Reconnected is true if the kept connection turned out to be closed before a byte of the
	// request was written, so that a fresh one was opened.
	Reconnected bool
	Err         error
}

// Event is one server-sent event.
type Event struct {
	Milliseconds float64 `json:"milliseconds"` // since the request was sent
	Data         string  `json:"data"`
}

// Open checks the URL and the options; it does not connect yet.
func Open(target string, options Options) (Exchanger, error) {
	parsed, err := url.Parse(target)
	if err != nil {
		return nil, err
	}
	if parsed.Host == "" {
		return nil, fmt.Errorf("%q names no host; write SCHEME://HOST[:PORT][/PATH]", target)
	}
	switch parsed.Scheme {
	case "http", "https":
		if options.WebSocket {
			return newWebSocket(parsed, options), nil
		}
		if options.grpc() {
			return newGrpc(parsed.Host, options)
		}
		if options.HTTP10 {
			return &http10Exchanger{target: parsed, options: options}, nil
		}
		return newHTTP(parsed, options)
	case "ws", "wss":
		return newWebSocket(parsed, options), nil
	case "grpc":
		return newGrpc(parsed.Host, options)
	case "tcp":
		return newTCP(parsed.Host, options)
	default:
		return nil, fmt.Errorf("%q: no scheme %q; use http, https, ws, wss, grpc or tcp",
			target, parsed.Scheme)
	}
}

// address adds the scheme's port where the URL has none.
func address(target *url.URL) string {
	port := target.Port()
	if port == "" {
		port = map[string]string{"http": "80", "https": "443"}[target.Scheme]
	}
	return net.JoinHostPort(target.Hostname(), port)
}

// milliseconds keeps microseconds: loopback calls take fractions of a millisecond.
func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
