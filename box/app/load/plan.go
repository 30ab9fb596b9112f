package load

import (
	"flag"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"

	"lazyscope.io/test/mesh/app/exchange"
)

const (
	// maxConnections bounds lanes; each costs two goroutines and some 50 KB.
	maxConnections = 10_000
	// maxStreams is what HTTP/2 servers allow at the least on one connection (RFC 9113, 6.5.2).
	maxStreams = 100
	// keepForKey is enough of a body for the echo's JSON with the largest headers.
	keepForKey = 256 << 10
)

// plan is what the flags of load ask for.
type plan struct {
	urls        []string
	options     exchange.Options
	rps         float64
	duration    time.Duration // 0 = until a signal
	connections int
	streams     int
	key         outcomeKey
	okFrom      int
	okTo        int
	eachOnce    bool          // ends when each URL was called once
	progress    time.Duration // 0 = none
	control     string        // "" = none
}

func parsePlan(arguments []string, stderr io.Writer) (plan, error) {
	var p plan
	flags := flag.NewFlagSet("meshapp load", flag.ContinueOnError)
	flags.SetOutput(stderr)
	p.options.Register(flags)
	flags.Float64Var(&p.rps, "rps", 100, "requests per second, over all URLs in turn")
	flags.DurationVar(&p.duration, "duration", 0, "length of the run (default: until a signal)")
	flags.IntVar(&p.connections, "connections", 16, "connections to each URL")
	flags.IntVar(&p.streams, "streams", 1, "requests in flight on one HTTP/2 or gRPC connection")
	flags.BoolVar(&p.options.Fresh, "new-connections-per-request", false,
		"open and close a connection for each request")
	key := flags.String("key", "status", "what tells outcomes apart, comma-separated: status, "+
		"proto, header:NAME, seen-header:NAME, name, pod, namespace, host, path, peerIdentity")
	okStatus := flags.String("ok-status", "200", "HTTP statuses that count as ok: one, or FROM-TO")
	flags.BoolVar(&p.eachOnce, "each-once", false, "end when each URL has been called once")
	flags.DurationVar(&p.progress, "progress", 0, "print a line of JSON to stderr at this interval")
	flags.StringVar(&p.control, "control", "", "address for GET /result and POST /stop")
	if err := flags.Parse(arguments); err != nil {
		return plan{}, err
	}
	p.urls = flags.Args()
	var err error
	if p.key, err = parseKey(*key); err != nil {
		return plan{}, err
	}
	if p.okFrom, p.okTo, err = parseRange(*okStatus); err != nil {
		return plan{}, err
	}
	if p.key.fromBody {
		p.options.KeepBody = keepForKey
	}
	return p, p.check()
}

func (p *plan) check() error {
	multiplexed := true
	for _, url := range p.urls {
		overHTTP2 := p.options.HTTP2 && strings.HasPrefix(url, "http") && !p.options.WebSocket
		multiplexed = multiplexed && (overHTTP2 || strings.HasPrefix(url, "grpc://"))
	}
	switch {
	case len(p.urls) == 0:
		return fmt.Errorf("no URL given")
	case !(p.rps > 0 && p.rps <= 1e6):
		return fmt.Errorf("--rps %v: want more than 0, at most a million", p.rps)
	case p.duration < 0 || p.progress < 0:
		return fmt.Errorf("--duration and --progress: want no negative duration")
	case p.connections < 1 || p.connections > maxConnections:
		return fmt.Errorf("--connections %d: want 1 to %d", p.connections, maxConnections)
	case p.streams < 1 || p.streams > maxStreams:
		return fmt.Errorf("--streams %d: want 1 to %d", p.streams, maxStreams)
	case p.streams > 1 && !multiplexed:
		return fmt.Errorf("--streams %d: HTTP/1.1, TCP and WebSocket carry one request at a time; "+
			"add --http2 or raise --connections", p.streams)
	}
	return nil
}

// ok says whether the answer counts as a success: complete, and for HTTP of an accepted status.
func (p *plan) ok(answer exchange.Answer) bool {
	if answer.Err != nil {
		return false
	}
	if answer.Status == 0 || answer.Protocol == "websocket" {
		return true // TCP and gRPC OK; an upgrade that succeeded
	}
	return p.okFrom <= answer.Status && answer.Status <= p.okTo
}

func parseRange(text string) (from, to int, err error) {
	first, last, found := strings.Cut(text, "-")
	if !found {
		last = first
	}
	from, errFrom := strconv.Atoi(first)
	to, errTo := strconv.Atoi(last)
	if errFrom != nil || errTo != nil || from > to {
		return 0, 0, fmt.Errorf("--ok-status %q: want a status or FROM-TO, such as 200 or 200-299", text)
	}
	return from, to, nil
}
