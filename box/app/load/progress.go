package load

import (
	"encoding/json"
	"io"
	"time"
)

// progress is one line while the run goes on; RPS is that of the interval.
type progress struct {
	AtMs   float64 `json:"atMs"`
	Sent   int64   `json:"sent"`
	OK     int64   `json:"ok"`
	Failed int64   `json:"failed"`
	Late   int64   `json:"late"`
	RPS    float64 `json:"rps"`
}

// reportProgress prints a line at each interval until done is closed.
func reportProgress(w io.Writer, r *recorder, interval time.Duration, done <-chan struct{}) {
	ticker := time.NewTicker(interval)
	defer ticker.Stop()
	encoder := json.NewEncoder(w)
	var before Result
	for {
		select {
		case <-ticker.C:
		case <-done:
			return
		}
		now := r.result()
		completed := now.OK + now.Failed - before.OK - before.Failed
		encoder.Encode(progress{
			AtMs:   milliseconds(time.Since(r.start)),
			Sent:   now.Sent,
			OK:     now.OK,
			Failed: now.Failed,
			Late:   now.Late,
			RPS:    float64(completed) / (now.Seconds - before.Seconds),
		})
		before = now
	}
}
