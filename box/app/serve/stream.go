package serve

import (
	"fmt"
	"io"
	"net/http"
	"strconv"
	"time"

	"lazyscope.io/test/mesh/app/pattern"
)

const (
	// maxResponseBody bounds /bytes: more than any test moves, less than fills a disk by mistake.
	maxResponseBody = 1 << 30
	// maxEvents bounds /sse; at the shortest useful interval it still lasts minutes.
	maxEvents = 10_000
)

// serveBytes streams that many bytes of the pattern.
func (s *server) serveBytes(w http.ResponseWriter, r *http.Request, text string) {
	count, err := strconv.ParseInt(text, 10, 64)
	if err != nil || count < 0 || count > maxResponseBody {
		refuse(w, "/bytes/%s: want a number from 0 to %d", text, maxResponseBody)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	body := startBody(w, r, http.StatusOK, count)
	if r.Method == http.MethodHead {
		return
	}
	// An error means that the client has gone: the missing end tells it, were it still there.
	if _, err := io.Copy(body, pattern.Reader(count)); err == nil {
		body.finish()
	}
}

// serveEvents sends server-sent events, flushing each, so that a proxy that buffers is seen.
func (s *server) serveEvents(w http.ResponseWriter, r *http.Request) {
	count, interval, err := eventPlan(r)
	if err != nil {
		refuse(w, "%v", err)
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	controller := http.NewResponseController(w)
	for i := range count {
		if i > 0 {
			select {
			case <-time.After(interval):
			case <-r.Context().Done():
				return
			}
		}
		fmt.Fprintf(w, "id: %d\ndata: {\"name\":%q,\"pod\":%q,\"event\":%d}\n\n",
			i, s.self.Name, s.self.Pod, i)
		if controller.Flush() != nil {
			return
		}
	}
}

func eventPlan(r *http.Request) (count int, interval time.Duration, err error) {
	count, interval = 5, 100*time.Millisecond
	query := r.URL.Query()
	if text := query.Get("events"); text != "" {
		if count, err = strconv.Atoi(text); err != nil || count < 0 || count > maxEvents {
			return 0, 0, fmt.Errorf("events=%s: want a number from 0 to %d", text, maxEvents)
		}
	}
	if text := query.Get("interval"); text != "" {
		interval, err = time.ParseDuration(text)
		if err != nil || interval < 0 || interval > maxDelay {
			return 0, 0, fmt.Errorf(
				"interval=%s: want a duration such as 100ms, at most %s", text, maxDelay)
		}
	}
	return count, interval, nil
}
