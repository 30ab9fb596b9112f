package main

import (
	"encoding/json"
	"strings"
	"testing"

	"lazyscope.io/test/mesh/app/serve"
)

func TestServerSentEventsComeOneByOne(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, "--sse", server.url("http", "http", "/sse?events=3&interval=50ms"))
	expect(t, "events", len(result.Events), 3)
	expect(t, "last", result.Events[2].Data, `{"name":"web","pod":"web-0","event":2}`)
	if result.Milliseconds < 100 {
		t.Errorf("three events 50 ms apart took %v ms", result.Milliseconds)
	}
}

func TestWebSocketEchoesAndShowsWhoAnswered(t *testing.T) {
	server := startServe(t)
	for _, arguments := range [][]string{
		{server.url("ws", "http", "/ws")},
		{server.url("http", "http", "/ws"), "--websocket"},
		{server.url("wss", "tls", "/ws"), "--insecure"},
	} {
		result := answerTo(t, append(arguments, "--data", "over the socket")...)
		expect(t, "status", result.Status, 101)
		expect(t, "body", text(t, result), "over the socket")
		expect(t, "name", result.Headers["X-Meshapp-Name"][0], "web")
	}
}

func TestARefusedWebSocketUpgradeIsAnAnswer(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, server.url("ws", "http", "/status/503"), "--data", "x")
	expect(t, "status", result.Status, 503)
	if result.Error == "" {
		t.Error("the failed upgrade is not in the error")
	}
}

func TestGrpcUnaryCarriesTheEcho(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, server.url("grpc", "grpc", ""), "--host", "shop.test", "--data", "hello",
		"--header", "X-Forwarded-Client-Cert: By=b;URI=spiffe://caller")
	expect(t, "status", result.StatusText, "OK")
	seen := seenBy(t, result)
	expect(t, "path", seen.Path, "/grpc.testing.TestService/UnaryCall")
	expect(t, "host", seen.Host, "shop.test")
	expect(t, "peer", seen.PeerIdentity, "spiffe://caller")
	expect(t, "body", seen.BodySha256, sha256Of([]byte("hello")))
}

func TestGrpcStreamAnswersEachMessage(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, "--grpc-stream", "3", server.url("grpc", "grpc", ""))
	var answers []serve.Seen
	if err := json.Unmarshal(result.Body, &answers); err != nil {
		t.Fatal(err)
	}
	expect(t, "answers", len(answers), 3)
	expect(t, "pod", answers[2].Pod, "web-0")
}

func TestAnUnansweredCallExitsWith1AndSaysWhy(t *testing.T) {
	address := closedAddress(t)
	for _, scheme := range []string{"http", "grpc", "tcp", "ws"} {
		var result printed
		exit := output(t, &result, "call", scheme+"://"+address)
		expect(t, scheme+" exit status", exit, 1)
		expect(t, scheme+" error class", result.ErrorClass, "refused")
	}
}

func TestACallThatTakesTooLongExitsWith1(t *testing.T) {
	server := startServe(t)
	for _, arguments := range [][]string{
		{server.url("http", "http", "/delay/1m")},
		{server.url("http", "http", "/delay/1m"), "--http2"},
		{server.url("tcp", "tcp-echo", "")}, // A client-first server sends no banner.
	} {
		var result printed
		exit := output(t, &result, append([]string{"call", "--timeout", "100ms"}, arguments...)...)
		expect(t, "exit status", exit, 1)
		expect(t, "error class", result.ErrorClass, "timeout")
	}
}

func TestServerFirstSendsItsBannerUnasked(t *testing.T) {
	server := startServe(t)
	url := server.url("tcp", "tcp-server-first", "")
	banner := `{"name":"web","pod":"web-0"}` + "\n"
	expect(t, "banner", text(t, answerTo(t, url)), banner+"bye\n")
	expect(t, "echo", text(t, answerTo(t, url, "--banner", "--send", "hello")),
		banner+"hello\nbye\n")
}

func TestClientFirstEchoesLinesBehindTheName(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, server.url("tcp", "tcp-echo", ""), "--send", "hello")
	expect(t, "echo", text(t, result), "web hello\nbye\n")
}

func TestWrongUsageExitsWith2(t *testing.T) {
	for _, arguments := range [][]string{
		{}, {"nonsense"}, {"serve", "--http"}, {"serve", "--nonsense"}, {"serve", "extra"},
		{"call"}, {"call", "http://a", "http://b"}, {"call", "ftp://a"}, {"call", "http:///x"},
		{"call", "tcp://a"}, {"call", "--header", "x", "http://a"}, {"load"},
		{"load", "--rps", "0", "http://a"}, {"load", "--key", "x", "http://a"},
		{"load", "--streams", "2", "http://a"}, {"load", "--ok-status", "x", "http://a"},
	} {
		command := meshapp(t, arguments...)
		stderr, _ := command.CombinedOutput()
		expect(t, strings.Join(arguments, " "), command.ProcessState.ExitCode(), 2)
		if len(stderr) == 0 {
			t.Errorf("%q: no reason given", arguments)
		}
	}
}

func TestHTTP10IsSpokenAsSuch(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, "--http1.0", server.url("http", "http", "/old"))
	expect(t, "status", result.Status, 200)
	expect(t, "protocol", result.Protocol, "HTTP/1.0")
	expect(t, "seen", seenBy(t, result).Protocol, "HTTP/1.0")
}

func TestTrailersOfARequestArrive(t *testing.T) {
	server := startServe(t)
	result := answerTo(t, "--http2", "--data", "x", "--trailer", "X-Sum: 1",
		server.url("http", "http", "/"))
	expect(t, "trailer", seenBy(t, result).Trailers["X-Sum"][0], "1")
}

func TestGrpcStreamsInOneDirection(t *testing.T) {
	server := startServe(t)
	sent := answerTo(t, "--grpc-sent", "3", "--data", "four", server.url("grpc", "grpc", ""))
	expect(t, "sent", string(sent.Body), `{"size":12}`)
	received := answerTo(t, "--grpc-received", "3", server.url("grpc", "grpc", ""))
	var answers []serve.Seen
	if err := json.Unmarshal(received.Body, &answers); err != nil {
		t.Fatal(err)
	}
	expect(t, "received", len(answers), 3)
}

func TestWhatIsIdleInBetweenIsTheSameConnection(t *testing.T) {
	server := startServe(t)
	for _, arguments := range [][]string{
		{"--send", "hello", server.url("tcp", "tcp-echo", "")},
		{"--data", "hello", server.url("ws", "http", "/ws")},
		{"--grpc-stream", "2", server.url("grpc", "grpc", "")},
	} {
		result := answerTo(t, append(arguments, "--idle", "100ms")...)
		expect(t, "error", result.Error, "")
		if result.Milliseconds < 100 {
			t.Errorf("%v took %v ms", arguments, result.Milliseconds)
		}
	}
}
