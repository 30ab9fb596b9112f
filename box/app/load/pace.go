package load

import (
	"context"
	"math"
	"syscall"
	"time"
)

// ticket is one request that is due; sequence numbers have no gaps.
type ticket struct {
	sequence int64
	due      time.Duration // since the start of the run
}

// pacer hands out tickets at a fixed rate, whatever becomes of the requests (open loop). When all
// workers are busy it falls behind and then catches up, so no ticket is lost; they only get late.
type pacer struct {
	start    time.Time
	interval float64 // nanoseconds between two requests
	// grace bounds the catching up after the end of the run.
	grace   time.Duration
	limit   int64 // requests at most; 0 = no limit
	tickets chan ticket
}

func newPacer(start time.Time, rps float64, grace time.Duration) *pacer {
	return &pacer{
		start:    start,
		interval: float64(time.Second) / rps,
		grace:    grace,
		tickets:  make(chan ticket),
	}
}

// run hands out tickets until the limit, or until the context ends; then those that were due by then, and closes the
// channel. It returns how many of them found no worker within the grace.
func (p *pacer) run(running context.Context) (unsent int64) {
	defer close(p.tickets)
	var end time.Duration
	var graceOver <-chan time.Time
	over := running.Done() // nil once seen
	for sequence := int64(0); ; sequence++ {
		if p.limit > 0 && sequence == p.limit {
			return 0
		}
		due := time.Duration(float64(sequence) * p.interval)
		if over != nil {
			p.sleepUntil(running, due)
		}
		for handed := false; !handed; {
			if over != nil && p.ended(running, &end) {
				graceOver, over = time.After(p.grace), nil
			}
			if over == nil && due >= end {
				return 0
			}
			select {
			case p.tickets <- ticket{sequence, due}:
				handed = true
			case <-over:
			case <-graceOver:
				return int64(math.Ceil(float64(end)/p.interval)) - sequence
			}
		}
	}
}

// ended sets the end of the run once it is over: its deadline, however late that is noticed, or
// now.
func (p *pacer) ended(running context.Context, end *time.Duration) bool {
	if deadline, ok := running.Deadline(); ok && !time.Now().Before(deadline) {
		*end = deadline.Sub(p.start)
		return true
	}
	*end = time.Since(p.start)
	return running.Err() != nil
}

// sleepUntil returns when the ticket is due, or at the end of the run. The Go scheduler rounds
// short timers up to a millisecond, which would be the largest part of a short latency, so the last
// stretch is slept in the kernel.
func (p *pacer) sleepUntil(running context.Context, due time.Duration) {
	const lastStretch = 2 * time.Millisecond
	if left := due - time.Since(p.start) - lastStretch; left > 0 {
		timer := time.NewTimer(left)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-running.Done():
			return
		}
	}
	// Signals of the Go runtime interrupt the sleep, hence the loop.
	for left := due - time.Since(p.start); left > 0; left = due - time.Since(p.start) {
		pause := syscall.NsecToTimespec(int64(left))
		_ = syscall.Nanosleep(&pause, nil)
	}
}
