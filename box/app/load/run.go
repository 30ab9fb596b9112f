package load

import (
	"context"
	"sync"
	"time"

	"lazyscope.io/test/mesh/app/exchange"
)

// run is one load: a pacer, its workers, and what they record.
type run struct {
	plan     plan
	recorder *recorder
	pacer    *pacer
	lanes    []lane
	cancel   context.CancelFunc
	running  context.Context
}

// lane holds one connection to each URL, used by plan.streams workers.
type lane []exchange.Exchanger

// newRun opens the lanes (no connection is made yet). The run lasts until the context ends, the
// duration is over, or stop is called.
func newRun(ctx context.Context, plan plan) (*run, error) {
	r := &run{plan: plan}
	for range plan.connections {
		var opened lane
		for _, url := range plan.urls {
			exchanger, err := exchange.Open(url, plan.options)
			if err != nil {
				return nil, err
			}
			opened = append(opened, exchanger)
		}
		r.lanes = append(r.lanes, opened)
	}
	start := time.Now()
	r.recorder = newRecorder(start, plan.urls)
	r.pacer = newPacer(start, plan.rps, plan.options.Timeout)
	if plan.eachOnce {
		r.pacer.limit = int64(len(plan.urls))
	}
	if plan.duration > 0 {
		r.running, r.cancel = context.WithDeadline(ctx, start.Add(plan.duration))
	} else {
		r.running, r.cancel = context.WithCancel(ctx)
	}
	return r, nil
}

// stop ends the run early; requests in flight still finish.
func (r *run) stop() {
	r.cancel()
}

// wait runs to the end and returns the result.
func (r *run) wait() Result {
	defer r.cancel()
	var workers sync.WaitGroup
	for _, lane := range r.lanes {
		for range r.plan.streams {
			workers.Go(func() { r.work(lane) })
		}
	}
	unsent := r.pacer.run(r.running)
	workers.Wait()
	for _, lane := range r.lanes {
		for _, exchanger := range lane {
			exchanger.Close()
		}
	}
	r.recorder.finish(unsent)
	return r.recorder.result()
}

func (r *run) work(lane lane) {
	for ticket := range r.pacer.tickets {
		url := int(ticket.sequence % int64(len(lane)))
		r.recorder.begin()
		s := sample{url: url, due: ticket.due, begun: time.Since(r.pacer.start)}
		// Not the run's context: its end must not fail what is in flight.
		s.answer = lane[url].Exchange(context.Background())
		s.done = time.Since(r.pacer.start)
		s.key = r.plan.key.of(s.answer)
		s.ok = r.plan.ok(s.answer)
		r.recorder.record(s)
	}
}
