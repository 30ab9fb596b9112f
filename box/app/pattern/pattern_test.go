package pattern

import (
	"bytes"
	"io"
	"testing"
	"testing/iotest"
)

func TestTheReaderGivesTheSameBytesInPiecesOfAnySize(t *testing.T) {
	const size = 10_000
	want := make([]byte, size)
	for i := range want {
		want[i] = byte(i % 251)
	}
	if !bytes.Equal(Bytes(size), want) {
		t.Error("Bytes differs from i modulo 251")
	}
	for name, reader := range map[string]io.Reader{
		"whole":         Reader(size),
		"halves":        iotest.HalfReader(Reader(size)),
		"byte for byte": iotest.OneByteReader(Reader(size)),
	} {
		got, err := io.ReadAll(reader)
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v", name, len(got), err)
		}
	}
}
