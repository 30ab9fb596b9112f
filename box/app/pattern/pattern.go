// Package pattern makes the test content that client and server agree on: the byte at offset i is i
// modulo 251. 251 is a prime, so blocks of any power of two that are lost, doubled or swapped
// change the content.
package pattern

import "io"

const period = 251

// Bytes returns the first n bytes of the pattern.
func Bytes(n int) []byte {
	content := make([]byte, n)
	fill(content, 0)
	return content
}

// Reader returns a reader of the first n bytes of the pattern; it holds none of them.
func Reader(n int64) io.Reader {
	return &reader{end: n}
}

type reader struct {
	offset, end int64
}

func (r *reader) Read(p []byte) (int, error) {
	left := r.end - r.offset
	if left <= 0 {
		return 0, io.EOF
	}
	if int64(len(p)) > left {
		p = p[:left]
	}
	fill(p, r.offset)
	r.offset += int64(len(p))
	return len(p), nil
}

func fill(p []byte, offset int64) {
	value := byte(offset % period)
	for i := range p {
		p[i] = value
		if value++; value == period {
			value = 0
		}
	}
}
