package main

import "sync/atomic"

// counters are sums over all proxies since the start.
type counters struct {
	// ready counts proxies that have received each of the four types once.
	ready atomic.Int64
	// ended counts streams that ended before the program did.
	ended     atomic.Int64
	bytes     atomic.Int64
	responses atomic.Int64
	resources atomic.Int64
}

// reading is one line of output.
type reading struct {
	Ready     int64 `json:"ready"`
	Ended     int64 `json:"ended"`
	Bytes     int64 `json:"bytes"`
	Responses int64 `json:"responses"`
	Resources int64 `json:"resources"`
}

func (c *counters) read() reading {
	return reading{c.ready.Load(), c.ended.Load(), c.bytes.Load(), c.responses.Load(), c.resources.Load()}
}
