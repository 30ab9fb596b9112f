package load

import (
	"testing"
	"time"
)

func TestABucketHoldsItsValuesWithinTheStatedPrecision(t *testing.T) {
	previous := -1
	for _, value := range []uint64{0, 1, 63, 64, 127, 128, 129, 1000, 1e6, 1<<36 - 1, 1 << 40} {
		bucket := bucketOf(value)
		if bucket < previous || bucket >= len((&histogram{}).buckets) {
			t.Errorf("%d is in bucket %d after %d", value, bucket, previous)
		}
		previous = bucket
		if value >= 1<<maxOctave {
			continue
		}
		edge := upperEdge(bucket)
		if edge < value || float64(edge-value) > float64(value)/64 {
			t.Errorf("%d: upper edge %d of bucket %d", value, edge, bucket)
		}
	}
}

func TestPercentilesOfAKnownSet(t *testing.T) {
	var h histogram
	if got := h.percentile(0.5); got != 0 {
		t.Errorf("without values: %v", got)
	}
	for i := 1; i <= 100; i++ {
		h.record(time.Duration(i) * time.Millisecond)
	}
	for share, want := range map[float64]time.Duration{
		0: time.Millisecond, 0.5: 50 * time.Millisecond, 0.9: 90 * time.Millisecond,
		0.99: 99 * time.Millisecond, 1: 100 * time.Millisecond,
	} {
		if got := h.percentile(share); got < want || got > want+want/60 {
			t.Errorf("percentile %v: %v, want %v", share, got, want)
		}
	}
	h.record(-time.Second)
	if got := h.percentile(0); got != 0 {
		t.Errorf("a negative duration counts as %v, want 0", got)
	}
}
