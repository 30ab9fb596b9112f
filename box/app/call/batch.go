package call

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os/signal"
	"sync"
	"syscall"
)

// maxCalls bounds one batch: what a test has, and some.
const maxCalls = 10_000

// Batch runs "meshapp batch": reads a JSON list of calls, each a list of arguments of "meshapp
// call", makes them a few at a time, and prints a JSON list of their results in the same order.
func Batch(arguments []string, stdin io.Reader, stdout, stderr io.Writer) int {
	concurrency := 1
	if len(arguments) == 1 {
		fmt.Sscan(arguments[0], &concurrency)
	}
	if len(arguments) > 1 || concurrency < 1 || concurrency > 100 {
		fmt.Fprintln(stderr, "meshapp batch: want at most one argument, the calls at a time, 1 to 100")
		return 2
	}
	var calls [][]string
	if err := json.NewDecoder(stdin).Decode(&calls); err != nil || len(calls) > maxCalls {
		fmt.Fprintf(stderr, "meshapp batch: want a list of at most %d lists of arguments on standard "+
			"input: %v\n", maxCalls, err)
		return 2
	}
	ctx, unregister := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer unregister()
	results := makeCalls(ctx, calls, concurrency, stderr)
	encoder := json.NewEncoder(stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(results); err != nil {
		fmt.Fprintln(stderr, "meshapp batch: printing the results:", err)
		return 1
	}
	return 0
}

func makeCalls(
	ctx context.Context, calls [][]string, concurrency int, stderr io.Writer,
) []result {
	results := make([]result, len(calls))
	next := make(chan int)
	var workers sync.WaitGroup
	for range concurrency {
		workers.Go(func() {
			for i := range next {
				printed, _, err := one(ctx, calls[i], stderr)
				if err != nil {
					printed = result{Error: err.Error(), ErrorClass: "usage"}
				}
				results[i] = printed
			}
		})
	}
	for i := range calls {
		next <- i
	}
	close(next)
	workers.Wait()
	return results
}
