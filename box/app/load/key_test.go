package load

import (
	"io"
	"testing"

	"lazyscope.io/test/mesh/app/exchange"
)

func TestTheKeyTakesItsWordsFromAnswerAndEcho(t *testing.T) {
	key, err := parseKey("status,peerIdentity,header:x-foo,seen-header:x-bar,proto,pod")
	if err != nil {
		t.Fatal(err)
	}
	answer := exchange.Answer{
		Status:   200,
		Protocol: "HTTP/1.1",
		Answered: true,
		Header:   map[string][]string{"X-Foo": {"a", "b"}},
		Body:     []byte(`{"peerIdentity":"spiffe://p","headers":{"X-Bar":["c"]}}`),
	}
	if got, want := key.of(answer), "200 spiffe://p a,b c HTTP/1.1 -"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	answer.Body = []byte("not JSON")
	if got, want := key.of(answer), "200 - a,b - HTTP/1.1 -"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func TestTheStatusWordTellsEveryEndApart(t *testing.T) {
	for want, answer := range map[string]exchange.Answer{
		"503":              {Status: 503, Answered: true, Protocol: "HTTP/1.1"},
		"200+error:closed": {Status: 200, Answered: true, Err: io.ErrUnexpectedEOF},
		"error:closed":     {Err: io.EOF},
		"ok":               {Answered: true, Protocol: "tcp"},
		"grpc:NotFound":    {Status: 5, StatusText: "NotFound", Protocol: "gRPC", Answered: true},
		"error:other":      {Status: 14, Protocol: "gRPC", Err: io.ErrNoProgress},
	} {
		if got := statusOf(answer); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}
