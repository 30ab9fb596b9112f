// Package load sends requests at a fixed rate and accounts for each of them: what is late, lost or
// different from the one before is in the result.
package load

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"
)

// Command runs "meshapp load": 0 after a run, whatever its outcome; 1 if it could not run; 2 on
// wrong usage.
func Command(arguments []string, stdout, stderr io.Writer) int {
	plan, err := parsePlan(arguments, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "meshapp load:", err)
		return 2
	}
	ctx, unregister := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer unregister()
	r, err := newRun(ctx, plan)
	if err != nil {
		fmt.Fprintln(stderr, "meshapp load:", err)
		return 2
	}
	if plan.control != "" {
		closeControl, err := serveControl(plan.control, r)
		if err != nil {
			fmt.Fprintln(stderr, "meshapp load:", err)
			return 1
		}
		defer closeControl()
	}
	done := make(chan struct{})
	defer close(done)
	if plan.progress > 0 {
		go reportProgress(stderr, r.recorder, plan.progress, done)
	}
	if err := json.NewEncoder(stdout).Encode(r.wait()); err != nil {
		fmt.Fprintln(stderr, "meshapp load: printing the result:", err)
		return 1
	}
	return 0
}
