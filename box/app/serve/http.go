package serve

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

const (
	// maxRequestBody is what one echo hashes at most: the largest body of the test plan.
	maxRequestBody = 100 << 20
	// maxDelay keeps a mistyped /delay from holding a connection for ever.
	maxDelay = 5 * time.Minute
	// trailerSha256 carries the hash of the response body, so that a client can check what came
	// through.
	trailerSha256 = "X-Body-Sha256"
)

// httpHandler answers every path; only the first segment chooses, so that "/" and all else echo.
// net/http's ServeMux is not used because it redirects unclean paths instead of showing them.
func (s *server) httpHandler() http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		first, rest, _ := strings.Cut(strings.TrimPrefix(r.URL.Path, "/"), "/")
		header := w.Header()
		header.Set("X-Meshapp-Name", s.self.Name)
		header.Set("X-Meshapp-Pod", s.self.Pod)
		header.Set("X-Meshapp-Peer-Identity", peerOf(r))
		switch first {
		case "status":
			s.serveStatus(w, r, rest)
		case "delay":
			s.serveDelay(w, r, rest)
		case "bytes":
			s.serveBytes(w, r, rest)
		case "sse":
			s.serveEvents(w, r)
		case "ws":
			s.serveWebSocket(w, r)
		case "healthz":
			io.WriteString(w, "ok\n")
		default:
			s.serveEcho(w, r, http.StatusOK)
		}
	})
}

// serveStatus echoes with the status asked for. 1xx are refused: they do not end a response.
func (s *server) serveStatus(w http.ResponseWriter, r *http.Request, text string) {
	status, err := strconv.Atoi(text)
	if err != nil || status < 200 || status > 599 {
		refuse(w, "/status/%s: want a number from 200 to 599", text)
		return
	}
	s.serveEcho(w, r, status)
}

func (s *server) serveDelay(w http.ResponseWriter, r *http.Request, text string) {
	delay, err := time.ParseDuration(text)
	if err != nil || delay < 0 || delay > maxDelay {
		refuse(w, "/delay/%s: want a duration such as 250ms, at most %s", text, maxDelay)
		return
	}
	select {
	case <-time.After(delay):
		s.serveEcho(w, r, http.StatusOK)
	case <-r.Context().Done():
	}
}

// serveEcho reads the whole body, keeping only its hash, and answers what was seen as JSON.
func (s *server) serveEcho(w http.ResponseWriter, r *http.Request, status int) {
	hash := sha256.New()
	size, err := io.Copy(hash, http.MaxBytesReader(w, r.Body, maxRequestBody))
	if err != nil {
		refuseBody(w, err)
		return
	}
	seen := Seen{
		Self:          s.self,
		Method:        r.Method,
		Path:          r.URL.RequestURI(),
		Host:          r.Host,
		Protocol:      r.Proto,
		Headers:       r.Header,
		PeerIdentity:  peerOf(r),
		BodyBytes:     size,
		BodySha256:    hex.EncodeToString(hash.Sum(nil)),
		RemoteAddress: r.RemoteAddr,
		Trailers:      r.Trailer,
	}
	if seen.Trailers == nil {
		seen.Trailers = http.Header{}
	}
	if r.TLS != nil {
		seen.ServerName = r.TLS.ServerName
	}
	answer, err := json.Marshal(seen)
	if err != nil {
		panic(err) // Strings, numbers and maps of them always marshal.
	}
	w.Header().Set("Content-Type", "application/json")
	if status == http.StatusNoContent || status == http.StatusNotModified {
		w.WriteHeader(status)
		return
	}
	body := startBody(w, r, status, int64(len(answer))+1)
	body.Write(append(answer, '\n'))
	body.finish()
}

// body writes a response body and, for clients that take trailers, ends it with the hash of what
// was written.
type body struct {
	http.ResponseWriter
	hash hash.Hash // nil without trailers
}

// startBody sends the header. Trailers go to HTTP/2 clients and to those that say "TE: trailers";
// in HTTP/1.1 they need chunked encoding, so no length is announced then.
func startBody(w http.ResponseWriter, r *http.Request, status int, size int64) *body {
	b := &body{ResponseWriter: w}
	wanted := r.ProtoMajor >= 2 || strings.Contains(strings.ToLower(r.Header.Get("Te")), "trailers")
	if wanted && r.Method != http.MethodHead {
		b.hash = sha256.New()
		w.Header().Set("Trailer", trailerSha256)
	}
	if b.hash == nil || r.ProtoMajor >= 2 {
		w.Header().Set("Content-Length", strconv.FormatInt(size, 10))
	}
	w.WriteHeader(status)
	return b
}

func (b *body) Write(p []byte) (int, error) {
	n, err := b.ResponseWriter.Write(p)
	if b.hash != nil {
		b.hash.Write(p[:n])
	}
	return n, err
}

func (b *body) finish() {
	if b.hash != nil {
		b.Header().Set(trailerSha256, hex.EncodeToString(b.hash.Sum(nil)))
	}
}

func peerOf(r *http.Request) string {
	return peerIdentity(r.Header.Values("X-Forwarded-Client-Cert"))
}

func refuse(w http.ResponseWriter, format string, arguments ...any) {
	http.Error(w, fmt.Sprintf(format, arguments...), http.StatusBadRequest)
}

func refuseBody(w http.ResponseWriter, err error) {
	if tooLarge := (*http.MaxBytesError)(nil); errors.As(err, &tooLarge) {
		text := fmt.Sprintf("the body is larger than %d bytes; send less", tooLarge.Limit)
		http.Error(w, text, http.StatusRequestEntityTooLarge)
		return
	}
	refuse(w, "reading the body: %v", err)
}
