package main

import (
	"bufio"
	"encoding/json"
	"syscall"
	"testing"

	"lazyscope.io/test/mesh/app/load"
)

func TestLoadOverEachProtocolFailsNothing(t *testing.T) {
	server := startServe(t)
	for name, arguments := range map[string][]string{
		"HTTP/1.1":        {server.url("http", "http", "/")},
		"new connections": {"--new-connections-per-request", server.url("http", "http", "/")},
		"HTTP/2":          {"--http2", "--streams", "4", server.url("http", "http", "/")},
		"TLS":             {"--insecure", "--http2", server.url("https", "tls", "/")},
		"gRPC":            {"--streams", "4", server.url("grpc", "grpc", "")},
		"gRPC streams":    {"--grpc-stream", "3", server.url("grpc", "grpc", "")},
		"WebSocket":       {"--data", "x", server.url("ws", "http", "/ws")},
		"server first":    {server.url("tcp", "tcp-server-first", "")},
		"kept, banner":    {"--banner", "--send", "x", server.url("tcp", "tcp-server-first", "")},
		"client first":    {"--send", "x", server.url("tcp", "tcp-echo", "")},
	} {
		var result load.Result
		arguments = append([]string{"load", "--rps", "200", "--duration", "200ms",
			"--connections", "2"}, arguments...)
		expect(t, name+" exit status", output(t, &result, arguments...), 0)
		if result.Sent < 40 || result.OK != result.Sent || result.Unsent != 0 {
			t.Errorf("%s: %+v", name, result)
		}
	}
}

func TestLoadAgainstAClosedPortFailsEveryRequest(t *testing.T) {
	var result load.Result
	arguments := []string{"load", "--rps", "100", "--duration", "100ms"}
	output(t, &result, append(arguments, "http://"+closedAddress(t))...)
	if result.Sent < 10 || result.Failed != result.Sent ||
		result.Outcomes[0].Key != "error:refused" {
		t.Errorf("%+v", result)
	}
}

func TestSIGTERMEndsALoadAndPrintsItsResult(t *testing.T) {
	server := startServe(t)
	command := meshapp(t, "load", "--rps", "200", "--progress", "50ms",
		"--key", "status,name,proto", server.url("http", "http", "/"))
	stdout, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	for range 2 {
		var line struct{ Sent, OK int64 }
		if !lines.Scan() || json.Unmarshal(lines.Bytes(), &line) != nil || line.Sent == 0 {
			t.Fatalf("progress %q", lines.Text())
		}
	}
	command.Process.Signal(syscall.SIGTERM)
	var result load.Result
	if err := json.NewDecoder(stdout).Decode(&result); err != nil {
		t.Fatal(err)
	}
	if err := command.Wait(); err != nil {
		t.Fatal(err)
	}
	if result.OK == 0 || result.OK != result.Sent {
		t.Errorf("%+v", result)
	}
	expect(t, "outcome", result.Outcomes[0].Key, "200 web HTTP/1.1")
}
