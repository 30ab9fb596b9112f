// Package call makes one call from inside a pod and prints what came back.
package call

import (
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os/signal"
	"syscall"
	"time"

	"lazyscope.io/test/mesh/app/exchange"
)

const (
	// maxJSON is the largest body printed as JSON: an echo with the largest headers fits twice.
	maxJSON = 1 << 20
	// maxText is how much of any other body is printed.
	maxText = 4 << 10
)

// result is what one call prints.
type result struct {
	URL          string              `json:"url"`
	Status       int                 `json:"status"`
	StatusText   string              `json:"statusText,omitempty"`
	Protocol     string              `json:"protocol"`
	Headers      map[string][]string `json:"headers"`
	Trailers     map[string][]string `json:"trailers,omitempty"`
	Body         any                 `json:"body"`
	BodyBytes    int64               `json:"bodyBytes"`
	BodySha256   string              `json:"bodySha256"`
	SentSha256   string              `json:"sentSha256,omitempty"`
	Events       []exchange.Event    `json:"events,omitempty"`
	Milliseconds float64             `json:"milliseconds"`
	Error        string              `json:"error"`
	ErrorClass   string              `json:"errorClass"`
}

// Command runs "meshapp call": 0 if anything was received, whatever its status; 1 on a transport
// error; 2 on wrong usage.
func Command(arguments []string, stdout, stderr io.Writer) int {
	ctx, unregister := signal.NotifyContext(context.Background(), syscall.SIGINT, syscall.SIGTERM)
	defer unregister()
	printed, answered, err := one(ctx, arguments, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		fmt.Fprintln(stderr, "meshapp call:", err)
		return 2
	}
	encoder := json.NewEncoder(stdout)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(printed); err != nil {
		fmt.Fprintln(stderr, "meshapp call: printing the result:", err)
		return 1
	}
	if !answered {
		return 1
	}
	return 0
}

// one makes the call that the arguments describe; an error means that they describe none.
func one(
	ctx context.Context, arguments []string, stderr io.Writer,
) (printed result, answered bool, err error) {
	options := exchange.Options{Fresh: true, KeepBody: maxJSON}
	flags := flag.NewFlagSet("meshapp call", flag.ContinueOnError)
	flags.SetOutput(stderr)
	options.Register(flags)
	target, err := parse(flags, arguments)
	if err != nil {
		return result{}, false, err
	}
	exchanger, err := exchange.Open(target, options)
	if err != nil {
		return result{}, false, err
	}
	defer exchanger.Close()
	begin := time.Now()
	answer := exchanger.Exchange(ctx)
	return newResult(target, answer, time.Since(begin)), answer.Answered, nil
}

// parse takes the URL before, between or after the flags.
func parse(flags *flag.FlagSet, arguments []string) (string, error) {
	var targets []string
	for {
		if err := flags.Parse(arguments); err != nil {
			return "", err
		}
		if flags.NArg() == 0 {
			break
		}
		targets = append(targets, flags.Arg(0))
		arguments = flags.Args()[1:]
	}
	if len(targets) != 1 {
		return "", fmt.Errorf("want one URL, got %q", targets)
	}
	return targets[0], nil
}

func newResult(target string, answer exchange.Answer, took time.Duration) result {
	printed := result{
		URL:          target,
		Status:       answer.Status,
		StatusText:   answer.StatusText,
		Protocol:     answer.Protocol,
		Headers:      answer.Header,
		Trailers:     answer.Trailer,
		Body:         printable(answer),
		BodyBytes:    answer.BodyBytes,
		BodySha256:   answer.BodySha256,
		SentSha256:   answer.SentSha256,
		Events:       answer.Events,
		Milliseconds: float64(took.Microseconds()) / 1000,
	}
	if answer.Err != nil {
		printed.Error = answer.Err.Error()
		printed.ErrorClass = exchange.Class(answer.Err)
	}
	return printed
}

// printable is the body as JSON if all of it was kept and parses, else its beginning as text.
func printable(answer exchange.Answer) any {
	if answer.BodyBytes == int64(len(answer.Body)) && json.Valid(answer.Body) {
		return json.RawMessage(answer.Body)
	}
	return string(answer.Body[:min(len(answer.Body), maxText)])
}
