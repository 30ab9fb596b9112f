package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"net"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"
)

// asMeshapp makes a copy of the test binary behave as meshapp, so that the tests see processes:
// flags, output, exit statuses and signals.
const asMeshapp = "TEST_AS_MESHAPP"

func TestMain(m *testing.M) {
	if os.Getenv(asMeshapp) != "" {
		main()
	}
	os.Exit(m.Run())
}

func meshapp(t *testing.T, arguments ...string) *exec.Cmd {
	t.Helper()
	command := exec.Command(os.Args[0], arguments...)
	command.Env = append(os.Environ(), asMeshapp+"=1",
		"POD_NAME=web-0", "POD_NAMESPACE=shop", "NODE_NAME=node-1")
	return command
}

// served is a running "meshapp serve" with one port of each protocol.
type served struct {
	command   *exec.Cmd
	addresses map[string]string // by protocol
	exited    chan error
}

func startServe(t *testing.T) *served {
	t.Helper()
	const free = "127.0.0.1:0"
	command := meshapp(t, "serve", "--name", "web", "--http", free, "--tls", free,
		"--tls-name", "web.test", "--grpc", free, "--tcp-server-first", free, "--tcp-echo", free)
	stderr, err := command.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	s := &served{command: command, addresses: map[string]string{}, exited: make(chan error, 1)}
	lines := bufio.NewScanner(stderr)
	for len(s.addresses) < 5 && lines.Scan() {
		var line struct{ Protocol, Address string }
		if err := json.Unmarshal(lines.Bytes(), &line); err != nil {
			t.Fatalf("not a log line: %s", lines.Text())
		}
		s.addresses[line.Protocol] = line.Address
	}
	go func() {
		for lines.Scan() {
		}
		s.exited <- command.Wait()
	}()
	t.Cleanup(func() { command.Process.Kill() })
	return s
}

func (s *served) url(scheme, protocol, path string) string {
	return scheme + "://" + s.addresses[protocol] + path
}

func (s *served) dial(t *testing.T, protocol string) net.Conn {
	t.Helper()
	connection, err := net.Dial("tcp", s.addresses[protocol])
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { connection.Close() })
	connection.SetDeadline(time.Now().Add(10 * time.Second))
	return connection
}

// terminate sends SIGTERM and waits; it fails the test unless the exit status is 0.
func (s *served) terminate(t *testing.T) {
	t.Helper()
	s.command.Process.Signal(syscall.SIGTERM)
	select {
	case err := <-s.exited:
		if err != nil {
			t.Fatal(err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("still runs long after SIGTERM")
	}
}

// output runs meshapp to its end and decodes what it printed into result.
func output(t *testing.T, result any, arguments ...string) (exit int) {
	t.Helper()
	command := meshapp(t, arguments...)
	var stderr bytes.Buffer
	command.Stderr = &stderr
	stdout, err := command.Output()
	if failed := (*exec.ExitError)(nil); errors.As(err, &failed) {
		exit = failed.ExitCode()
	} else if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(stdout, result); err != nil {
		t.Fatalf("meshapp %s: %v\n%s\n%s",
			strings.Join(arguments, " "), err, stdout, stderr.Bytes())
	}
	return exit
}

// closedAddress is one where nothing listens.
func closedAddress(t *testing.T) string {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	return listener.Addr().String()
}
