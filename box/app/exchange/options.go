package exchange

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"flag"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"

	"lazyscope.io/test/mesh/app/pattern"
)

// Options say how to send; the flags of call and load fill them.
type Options struct {
	Method    string
	Header    http.Header
	Trailer   http.Header
	Data      string
	DataBytes int64
	HTTP2     bool
	Host      string // replaces the Host header, and the server name in TLS
	Timeout   time.Duration
	Insecure  bool
	WebSocket bool
	Events    bool
	GrpcUnary bool
	// GrpcStream is the number of messages sent, each awaiting its answer, on one FullDuplexCall.
	GrpcStream int
	// GrpcSent and GrpcReceived are the messages of one StreamingInputCall and StreamingOutputCall.
	GrpcSent     int
	GrpcReceived int
	HTTP10       bool
	// Idle is how long a WebSocket, TCP connection or gRPC stream stays open without a word, before
	// it says the same once more.
	Idle   time.Duration
	Send   string // line to send on TCP
	Banner bool   // on TCP, the server speaks first
	// Fresh opens a connection for each exchange and closes it in the ordinary way after it.
	Fresh    bool
	KeepBody int64 // bytes of each body that are kept
}

// Register adds the flags that all clients share.
func (o *Options) Register(flags *flag.FlagSet) {
	o.Header, o.Trailer = http.Header{}, http.Header{}
	flags.StringVar(&o.Method, "method", "", "HTTP method (default GET, with a body POST)")
	flags.Func("header", `HTTP header or gRPC metadata "Name: value"; repeatable`,
		func(text string) error { return add(o.Header, text) })
	flags.Func("trailer", `HTTP request trailer "Name: value"; repeatable`,
		func(text string) error { return add(o.Trailer, text) })
	flags.StringVar(&o.Data, "data", "", "request body, or WebSocket message")
	flags.Int64Var(&o.DataBytes, "data-bytes", 0, "request body of that many bytes of the pattern")
	flags.BoolVar(&o.HTTP2, "http2", false, "HTTP/2: with prior knowledge, or by ALPN over TLS")
	flags.StringVar(&o.Host, "host", "", "host in the request, where it is not the URL's")
	flags.DurationVar(&o.Timeout, "timeout", 10*time.Second, "bound of one request, body included")
	flags.BoolVar(&o.Insecure, "insecure", false, "accept any server certificate")
	flags.BoolVar(&o.WebSocket, "websocket", false, "send one WebSocket message, read one")
	flags.BoolVar(&o.Events, "sse", false, "read server-sent events until the stream ends")
	flags.BoolVar(&o.GrpcUnary, "grpc-unary", false, "gRPC UnaryCall (default for grpc://)")
	flags.IntVar(&o.GrpcStream, "grpc-stream", 0, "gRPC FullDuplexCall with that many messages")
	flags.IntVar(&o.GrpcSent, "grpc-sent", 0, "gRPC StreamingInputCall with that many messages")
	flags.IntVar(&o.GrpcReceived, "grpc-received", 0,
		"gRPC StreamingOutputCall with that many answers")
	flags.BoolVar(&o.HTTP10, "http1.0", false, "HTTP/1.0, a GET")
	flags.DurationVar(&o.Idle, "idle", 0, "with WebSocket, --send and --grpc-stream: "+
		"after the first answer stay silent that long, then say the same again")
	flags.StringVar(&o.Send, "send", "", "line to send on tcp://")
	flags.BoolVar(&o.Banner, "banner", false,
		"on tcp://, read a line before sending (default without --send)")
}

func add(to http.Header, text string) error {
	name, value, found := strings.Cut(text, ":")
	if !found || strings.TrimSpace(name) == "" {
		return fmt.Errorf("want \"Name: value\"")
	}
	to.Add(strings.TrimSpace(name), strings.TrimSpace(value))
	return nil
}

func (o *Options) grpc() bool {
	return o.GrpcUnary || o.GrpcStream > 0 || o.GrpcSent > 0 || o.GrpcReceived > 0
}

func (o *Options) hasBody() bool {
	return o.Data != "" || o.DataBytes > 0
}

func (o *Options) bodySize() int64 {
	if o.Data != "" {
		return int64(len(o.Data))
	}
	return o.DataBytes
}

// body returns a fresh reader of the request body; --data wins over --data-bytes.
func (o *Options) body() io.Reader {
	if o.Data != "" {
		return strings.NewReader(o.Data)
	}
	return pattern.Reader(o.DataBytes)
}

func (o *Options) bodyText() []byte {
	if o.Data != "" {
		return []byte(o.Data)
	}
	return pattern.Bytes(int(o.DataBytes))
}

func (o *Options) bodySha256() string {
	if !o.hasBody() {
		return ""
	}
	hash := sha256.New()
	io.Copy(hash, o.body()) // Neither side can fail.
	return hex.EncodeToString(hash.Sum(nil))
}

// collect reads to the end, hashing all and keeping the first bytes.
func (a *Answer) collect(body io.Reader, keep int64) error {
	hash := sha256.New()
	kept := &prefix{left: keep}
	size, err := io.Copy(io.MultiWriter(hash, kept), body)
	a.Body = kept.Bytes()
	a.BodyBytes = size
	a.BodySha256 = hex.EncodeToString(hash.Sum(nil))
	return err
}

// prefix keeps the first bytes written to it and counts the rest as written.
type prefix struct {
	bytes.Buffer
	left int64
}

func (p *prefix) Write(content []byte) (int, error) {
	n := min(int64(len(content)), p.left)
	p.left -= n
	p.Buffer.Write(content[:n])
	return len(content), nil
}
