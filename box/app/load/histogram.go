package load

import (
	"math/bits"
	"time"
)

// subBits sets the precision: each power of two is cut into 2^6 buckets, so a percentile is at most
// 1.6 % too high. 2^36 us is 19 hours, beyond any run.
const (
	subBits   = 6
	maxOctave = 36
)

// histogram counts durations in microseconds in logarithmic buckets.
type histogram struct {
	buckets [(maxOctave - subBits + 1) << subBits]uint32
	count   uint64
	max     time.Duration
}

func (h *histogram) record(d time.Duration) {
	d = max(d, 0)
	h.buckets[bucketOf(uint64(d.Microseconds()))]++
	h.count++
	h.max = max(h.max, d)
}

// percentile returns the upper edge of the bucket that holds that share of the values (0 to 1),
// and never more than the largest value; 0 without values.
func (h *histogram) percentile(share float64) time.Duration {
	if h.count == 0 {
		return 0
	}
	rank := max(uint64(share*float64(h.count)+0.999999), 1)
	seen := uint64(0)
	for i, count := range h.buckets {
		if seen += uint64(count); seen >= rank {
			return min(time.Duration(upperEdge(i))*time.Microsecond, h.max)
		}
	}
	return h.max
}

// bucketOf keeps the leading subBits+1 bits of the value.
func bucketOf(value uint64) int {
	value = min(value, 1<<maxOctave-1)
	shift := max(bits.Len64(value)-subBits-1, 0)
	return shift<<subBits + int(value>>shift)
}

func upperEdge(bucket int) uint64 {
	shift := max(bucket>>subBits-1, 0)
	value := uint64(bucket - shift<<subBits)
	return (value+1)<<shift - 1
}

// Latency is a summary in milliseconds.
type Latency struct {
	P50 float64 `json:"p50"`
	P90 float64 `json:"p90"`
	P99 float64 `json:"p99"`
	Max float64 `json:"max"`
}

func (h *histogram) summary() Latency {
	return Latency{
		P50: milliseconds(h.percentile(0.50)),
		P90: milliseconds(h.percentile(0.90)),
		P99: milliseconds(h.percentile(0.99)),
		Max: milliseconds(h.max),
	}
}

func milliseconds(d time.Duration) float64 {
	return float64(d.Microseconds()) / 1000
}
