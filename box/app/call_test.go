package main

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"net"
	"strings"
	"testing"

	"lazyscope.io/test/mesh/app/pattern"
	"lazyscope.io/test/mesh/app/serve"
)

// printed is what "meshapp call" prints.
type printed struct {
	Status       int
	StatusText   string
	Protocol     string
	Headers      map[string][]string
	Trailers     map[string][]string
	Body         json.RawMessage
	BodyBytes    int64
	BodySha256   string
	SentSha256   string
	Events       []struct{ Data string }
	Milliseconds float64
	Error        string
	ErrorClass   string
}

func answerTo(t *testing.T, arguments ...string) printed {
	t.Helper()
	var result printed
	if exit := output(t, &result, append([]string{"call"}, arguments...)...); exit != 0 {
		t.Fatalf("call %q: exit status %d, error %q", arguments, exit, result.Error)
	}
	return result
}

func seenBy(t *testing.T, result printed) serve.Seen {
	t.Helper()
	var seen serve.Seen
	if err := json.Unmarshal(result.Body, &seen); err != nil {
		t.Fatalf("body %s: %v", result.Body, err)
	}
	return seen
}

func text(t *testing.T, result printed) string {
	t.Helper()
	var body string
	if err := json.Unmarshal(result.Body, &body); err != nil {
		t.Fatalf("body %s: %v", result.Body, err)
	}
	return body
}

func sha256Of(content []byte) string {
	hash := sha256.Sum256(content)
	return hex.EncodeToString(hash[:])
}

func expect[T comparable](t *testing.T, what string, got, want T) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %v, want %v", what, got, want)
	}
}

func TestEchoSaysWhoAnsweredAndWhatWasSeen(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, server.url("http", "http", "/a%20b?c=d"), "--host", "shop.test",
		"--method", "PUT", "--data", "hello", "--header", "X-Test: 1", "--header", "X-Test: 2",
		"--header", "X-Forwarded-Client-Cert: By=a;URI=spiffe://first,By=b;URI=spiffe://last")
	expect(t, "status", result.Status, 200)
	expect(t, "protocol", result.Protocol, "HTTP/1.1")
	expect(t, "name header", result.Headers["X-Meshapp-Name"][0], "web")
	expect(t, "peer header", result.Headers["X-Meshapp-Peer-Identity"][0], "spiffe://last")
	seen := seenBy(t, result)
	expect(t, "self", seen.Self,
		serve.Self{Name: "web", Pod: "web-0", Namespace: "shop", Node: "node-1"})
	expect(t, "method", seen.Method, "PUT")
	expect(t, "path", seen.Path, "/a%20b?c=d")
	expect(t, "host", seen.Host, "shop.test")
	expect(t, "headers", strings.Join(seen.Headers["X-Test"], " "), "1 2")
	expect(t, "peer", seen.PeerIdentity, "spiffe://last")
	expect(t, "body bytes", seen.BodyBytes, 5)
	expect(t, "body hash", seen.BodySha256, sha256Of([]byte("hello")))
	expect(t, "sent hash", result.SentSha256, seen.BodySha256)
	if _, _, err := net.SplitHostPort(seen.RemoteAddress); err != nil {
		t.Errorf("remote address: %v", err)
	}
}

func TestHTTP2WithPriorKnowledgeEndsWithATrailerOverTheResponseBody(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, "--http2", server.url("http", "http", "/"))
	expect(t, "protocol", seenBy(t, result).Protocol, "HTTP/2.0")
	expect(t, "trailer", result.Trailers["X-Body-Sha256"][0], result.BodySha256)
}

func TestHTTP1SendsTrailersOnlyToThoseWhoAskForThem(t *testing.T) {
	server := startServe(t)
	url := server.url("http", "http", "/")
	asked := answerTo(t, url, "--header", "TE: trailers")
	expect(t, "trailer", asked.Trailers["X-Body-Sha256"][0], asked.BodySha256)
	expect(t, "trailers without asking", len(answerTo(t, url).Trailers), 0)
}

func TestTLSPortEchoesTheServerName(t *testing.T) {
	server := startServe(t)
	url := server.url("https", "tls", "/")
	for flag, protocol := range map[string]string{
		"--http2=false": "HTTP/1.1", "--http2": "HTTP/2.0",
	} {
		seen := seenBy(t, answerTo(t, url, "--insecure", "--host", "web.test", flag))
		expect(t, "server name", seen.ServerName, "web.test")
		expect(t, "protocol", seen.Protocol, protocol)
	}
}

func TestCallRefusesAnUnknownCertificateUnlessToldOtherwise(t *testing.T) {
	server := startServe(t)
	var result printed
	exit := output(t, &result, "call", server.url("https", "tls", "/"))
	expect(t, "exit status", exit, 1)
	expect(t, "error class", result.ErrorClass, "tls")
}

func TestEveryStatusIsAnAnswer(t *testing.T) {
	server := startServe(t)
	for path, status := range map[string]int{
		"/status/503": 503, "/status/404": 404, "/status/204": 204,
		"/status/100": 400, "/status/x": 400, "/delay/1h": 400, "/bytes/-1": 400,
		"/sse?events=x": 400, "/healthz": 200, "/ws": 426,
	} {
		expect(t, path, answerTo(t, server.url("http", "http", path)).Status, status)
	}
}

func TestARedirectIsShownAndNotFollowed(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, server.url("http", "http", "/status/307"))
	expect(t, "status", result.Status, 307)
}

func TestDelayAnswersNoEarlierThanAsked(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, server.url("http", "http", "/delay/250ms"))
	if result.Status != 200 || result.Milliseconds < 250 {
		t.Errorf("status %d after %v ms", result.Status, result.Milliseconds)
	}
}

func TestLargeBodiesComeThroughUnchangedBothWays(t *testing.T) {
	server := startServe(t)
	const size = 52_428_800
	want := sha256Of(pattern.Bytes(size))
	for _, protocol := range []string{"--http2=false", "--http2"} {
		down := answerTo(t, protocol, server.url("http", "http", "/bytes/52428800"))
		expect(t, "bytes down", down.BodyBytes, size)
		expect(t, "hash down", down.BodySha256, want)
		up := answerTo(t, protocol, "--data-bytes", "52428800", server.url("http", "http", "/"))
		expect(t, "bytes up", seenBy(t, up).BodyBytes, size)
		expect(t, "hash up", seenBy(t, up).BodySha256, want)
	}
}

func TestABodyOverTheBoundIsRefused(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, "--http2", "--data-bytes", "104857601", server.url("http", "http", "/"))
	expect(t, "status", result.Status, 413)
}

func TestExpectContinueSendsTheBodyAfterThe100(t *testing.T) {
	server := startServe(t)
	connection := server.dial(t, "http")
	connection.Write([]byte("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n" +
		"Expect: 100-continue\r\nConnection: close\r\n\r\n"))
	buffer := make([]byte, 1024)
	n, err := connection.Read(buffer)
	if err != nil || !strings.HasPrefix(string(buffer[:n]), "HTTP/1.1 100 Continue\r\n") {
		t.Fatalf("before the body: %q, %v", buffer[:n], err)
	}
	connection.Write([]byte("hi"))
	n, err = connection.Read(buffer)
	if err != nil || !strings.HasPrefix(string(buffer[:n]), "HTTP/1.1 200 OK\r\n") {
		t.Fatalf("after the body: %q, %v", buffer[:n], err)
	}
	seen := seenBy(t, answerTo(t, server.url("http", "http", "/"),
		"--data", "hi", "--header", "Expect: 100-continue"))
	expect(t, "body bytes", seen.BodyBytes, 2)
}

func TestRequestTrailersAreEchoed(t *testing.T) {
	server := startServe(t)
	connection := server.dial(t, "http")
	connection.Write([]byte("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n" +
		"Trailer: X-End\r\nConnection: close\r\n\r\n2\r\nhi\r\n0\r\nX-End: yes\r\n\r\n"))
	if answer := readAll(t, connection); !strings.Contains(answer, `"trailers":{"X-End":["yes"]}`) {
		t.Error(answer)
	}
}
