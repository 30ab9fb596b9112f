package serve

import (
	"strings"
	"testing"
)

func TestThePeerIsTheURIOfTheLastElement(t *testing.T) {
	for _, test := range []struct {
		lines []string
		want  string
	}{
		{nil, ""},
		{[]string{""}, ""},
		{[]string{"By=spiffe://b;Hash=1;URI=spiffe://a"}, "spiffe://a"},
		{[]string{"URI=spiffe://a,URI=spiffe://b"}, "spiffe://b"},
		{[]string{"URI=spiffe://a", "URI=spiffe://b"}, "spiffe://b"},
		{[]string{"URI=spiffe://a, By=x ; URI=spiffe://b"}, "spiffe://b"},
		{[]string{`Subject="CN=a,O=b;URI=spiffe://no";URI=spiffe://a`}, "spiffe://a"},
		{[]string{`Subject="CN=\"a,b\"";URI="spiffe://a"`}, "spiffe://a"},
		{[]string{"URI=spiffe://a,Hash=1"}, ""},
		{[]string{"URI=spiffe://first;URI=spiffe://second"}, "spiffe://first"},
	} {
		if got := peerIdentity(test.lines); got != test.want {
			t.Errorf("%q: got %q, want %q", test.lines, got, test.want)
		}
	}
}

func FuzzSplittingLosesNothing(f *testing.F) {
	f.Add(`a="b,\"c",d`)
	f.Add(`"\`)
	f.Fuzz(func(t *testing.T, text string) {
		if joined := strings.Join(splitOutsideQuotes(text, ','), ","); joined != text {
			t.Errorf("%q became %q", text, joined)
		}
	})
}
