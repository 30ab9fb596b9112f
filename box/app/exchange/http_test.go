package exchange

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"
)

func open(t *testing.T, url string, options Options) Exchanger {
	t.Helper()
	options.Timeout = 10 * time.Second
	options.KeepBody = 1 << 20
	exchanger, err := Open(url, options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(exchanger.Close)
	return exchanger
}

// serveOnce answers one request on each connection that comes, then does as told with it.
func serveOnce(t *testing.T, after func(net.Conn, *bufio.Reader)) (url string) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	go func() {
		for {
			connection, err := listener.Accept()
			if err != nil {
				return
			}
			reader := bufio.NewReader(connection)
			http.ReadRequest(reader)
			io.WriteString(connection, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
			after(connection, reader)
			connection.Close()
		}
	}()
	return "http://" + listener.Addr().String()
}

func TestARequestLostOnAKeptConnectionIsAFailureAndNotSentAgain(t *testing.T) {
	var lost atomic.Int32
	url := serveOnce(t, func(_ net.Conn, reader *bufio.Reader) {
		http.ReadRequest(reader)
		lost.Add(1)
	})
	exchanger := open(t, url, Options{})
	if first := exchanger.Exchange(context.Background()); first.Err != nil {
		t.Fatal(first.Err)
	}
	second := exchanger.Exchange(context.Background())
	if second.Err == nil || second.Answered || second.Reconnected {
		t.Errorf("the lost request: %+v", second)
	}
	if class := Class(second.Err); class != "closed" {
		t.Errorf("class %q of %v", class, second.Err)
	}
	if third := exchanger.Exchange(context.Background()); third.Err != nil || third.Reconnected {
		t.Errorf("after the loss: %+v", third)
	}
	if lost.Load() != 1 {
		t.Errorf("the server saw %d lost requests, want 1", lost.Load())
	}
}

func TestAConnectionClosedWhileIdleIsReplaced(t *testing.T) {
	closed := make(chan bool, 2)
	url := serveOnce(t, func(connection net.Conn, _ *bufio.Reader) {
		connection.Close()
		closed <- true
	})
	exchanger := open(t, url, Options{})
	first := exchanger.Exchange(context.Background())
	if first.Err != nil || first.Reconnected {
		t.Fatalf("%+v", first)
	}
	<-closed
	for kept := exchanger.(*httpExchanger).current; kept.Err() == nil; {
		time.Sleep(time.Millisecond) // Until the client has seen it too.
	}
	second := exchanger.Exchange(context.Background())
	if second.Err != nil || !second.Reconnected {
		t.Errorf("%+v", second)
	}
}

func TestAResponseThatEndsEarlyIsAFailure(t *testing.T) {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "10")
		io.WriteString(w, "half")
	}))
	defer server.Close()
	answer := open(t, server.URL, Options{}).Exchange(context.Background())
	if !answer.Answered || answer.Status != 200 || Class(answer.Err) != "closed" {
		t.Errorf("%+v", answer)
	}
}

func TestOneConnectionServesManyRequestsUnlessFreshOnesAreAskedFor(t *testing.T) {
	for fresh, want := range map[bool]int32{false: 1, true: 5} {
		for _, http2 := range []bool{false, true} {
			var connections atomic.Int32
			server := httptest.NewUnstartedServer(http.NotFoundHandler())
			server.Config.Protocols = new(http.Protocols)
			server.Config.Protocols.SetHTTP1(true)
			server.Config.Protocols.SetUnencryptedHTTP2(true)
			server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
				if state == http.StateNew {
					connections.Add(1)
				}
			}
			server.Start()
			exchanger := open(t, server.URL, Options{Fresh: fresh, HTTP2: http2})
			for range 5 {
				if answer := exchanger.Exchange(context.Background()); answer.Err != nil {
					t.Fatal(answer.Err)
				}
			}
			if got := connections.Load(); got != want {
				t.Errorf("fresh %v, HTTP/2 %v: %d connections, want %d", fresh, http2, got, want)
			}
			exchanger.Close()
			server.Close()
		}
	}
}

func TestConcurrentRequestsShareOneHTTP2Connection(t *testing.T) {
	const requests = 8
	var connections atomic.Int32
	var arrived sync.WaitGroup
	arrived.Add(requests)
	handler := func(http.ResponseWriter, *http.Request) {
		arrived.Done()
		arrived.Wait() // No request ends before all are in flight.
	}
	server := httptest.NewUnstartedServer(http.HandlerFunc(handler))
	server.Config.Protocols = new(http.Protocols)
	server.Config.Protocols.SetUnencryptedHTTP2(true)
	server.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			connections.Add(1)
		}
	}
	server.Start()
	defer server.Close()
	exchanger := open(t, server.URL, Options{HTTP2: true})
	answers := make(chan Answer, requests)
	for range requests {
		go func() { answers <- exchanger.Exchange(context.Background()) }()
	}
	for range requests {
		if answer := <-answers; answer.Err != nil {
			t.Error(answer.Err)
		}
	}
	if connections.Load() != 1 {
		t.Errorf("%d connections", connections.Load())
	}
}
