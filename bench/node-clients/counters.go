package main

import (
	"maps"
	"sync"
	"time"
)

// counters are of all nodes since the start.
type counters struct {
	started time.Time
	mutex   sync.Mutex
	reading
}

// reading is one line of output.
type reading struct {
	// Ready has the milliseconds until each node had its first whole catalog.
	Ready []float64 `json:"ready"`
	// Bytes has what each of these was sent for it: texts of records, and packs.
	Bytes []int `json:"bytes"`
	// Streams counts streams that are open now.
	Streams int `json:"streams"`
	// Ended counts attempts to connect that failed, and streams that ended, by their reason.
	Ended map[string]int `json:"ended"`
}

func (c *counters) ready(bytes int) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.Ready = append(c.Ready, float64(time.Since(c.started).Microseconds())/1000)
	c.Bytes = append(c.Bytes, bytes)
}

func (c *counters) opened() {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.Streams++
}

func (c *counters) ended(wasOpen bool, reason string) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.Ended == nil {
		c.Ended = map[string]int{}
	}
	c.Ended[reason]++
	if wasOpen {
		c.Streams--
	}
}

func (c *counters) read() reading {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	copied := c.reading
	copied.Ready = append([]float64{}, c.Ready...)
	copied.Bytes = append([]int{}, c.Bytes...)
	copied.Ended = maps.Clone(c.Ended)
	return copied
}
