package load

import (
	"context"
	"testing"
	"time"
)

func until(p *pacer, end time.Duration) (context.Context, context.CancelFunc) {
	return context.WithDeadline(context.Background(), p.start.Add(end))
}

func TestTicketsHaveNoGapsAndAreDueAtFixedTimes(t *testing.T) {
	pacer := newPacer(time.Now(), 1000, time.Minute)
	ctx, cancel := until(pacer, 100*time.Millisecond)
	defer cancel()
	unsent := make(chan int64, 1)
	go func() { unsent <- pacer.run(ctx) }()
	next := int64(0)
	for ticket := range pacer.tickets {
		if ticket.sequence != next || ticket.due != time.Duration(next)*time.Millisecond {
			t.Fatalf("ticket %+v, want sequence %d", ticket, next)
		}
		if now := time.Since(pacer.start); now < ticket.due {
			t.Fatalf("ticket %d at %v, before it is due", ticket.sequence, now)
		}
		next++
	}
	if got := <-unsent; got != 0 || next != 100 {
		t.Errorf("%d tickets, %d unsent", next, got)
	}
}

func TestTicketsWithoutAWorkerAreCountedAfterTheGrace(t *testing.T) {
	pacer := newPacer(time.Now(), 1000, 20*time.Millisecond)
	ctx, cancel := context.WithCancel(context.Background())
	unsent := make(chan int64, 1)
	go func() { unsent <- pacer.run(ctx) }()
	for range 10 {
		<-pacer.tickets
	}
	time.Sleep(50 * time.Millisecond)
	before := time.Since(pacer.start)
	cancel()
	got := <-unsent
	// Ten were taken; all others that were due before the cancellation are missing.
	if least := int64(before/time.Millisecond) - 10; got < least {
		t.Errorf("%d unsent, want at least %d", got, least)
	}
}

func TestWhatWasDueBeforeTheEndIsStillHandedOut(t *testing.T) {
	pacer := newPacer(time.Now(), 1000, time.Minute)
	ctx, cancel := until(pacer, 50*time.Millisecond)
	defer cancel()
	unsent := make(chan int64, 1)
	go func() { unsent <- pacer.run(ctx) }()
	<-ctx.Done()
	taken := 0
	for range pacer.tickets {
		taken++
	}
	if got := <-unsent; got != 0 || taken != 50 {
		t.Errorf("%d taken, %d unsent", taken, got)
	}
}
