package load

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"sync/atomic"
	"testing"
	"time"
)

func planFor(t *testing.T, arguments ...string) plan {
	t.Helper()
	var stderr bytes.Buffer
	plan, err := parsePlan(arguments, &stderr)
	if err != nil {
		t.Fatal(err)
	}
	return plan
}

func start(t *testing.T, arguments ...string) *run {
	t.Helper()
	r, err := newRun(context.Background(), planFor(t, arguments...))
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// serveTurn answers the n-th request (from 0) by the function.
func serveTurn(t *testing.T, answer func(n int64, w http.ResponseWriter)) (url string) {
	t.Helper()
	var count atomic.Int64
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		answer(count.Add(1)-1, w)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

func TestEveryRequestOfTheRateIsSentAndCounted(t *testing.T) {
	var served atomic.Int64
	url := serveTurn(t, func(int64, http.ResponseWriter) { served.Add(1) })
	result := start(t, "--rps", "500", "--duration", "400ms", url).wait()
	if result.Sent != 200 || result.OK != 200 ||
		served.Load() != 200 || result.Unsent != 0 || result.Running {
		t.Errorf("%d served, %+v", served.Load(), result)
	}
}

func TestFailuresAndTheirTimesAreReported(t *testing.T) {
	url := serveTurn(t, func(n int64, w http.ResponseWriter) {
		switch n {
		case 10:
			w.WriteHeader(http.StatusServiceUnavailable)
		case 20:
			panic(http.ErrAbortHandler) // Breaks the connection without an answer.
		case 30:
			w.WriteHeader(http.StatusNotFound)
		}
	})
	r := start(t, "--rps", "500", "--duration", "200ms", "--connections", "1", url)
	result := r.wait()
	if result.Failed != 3 || result.OK != result.Sent-3 {
		t.Fatalf("%+v", result)
	}
	if result.Failures[0].Key != "503" || result.Failures[1].Key != "error:closed" ||
		result.Failures[2].Key != "404" {
		t.Errorf("failures %+v", result.Failures)
	}
	keys := ""
	for _, transition := range result.Transitions {
		keys += transition.From + ">" + transition.To + " "
	}
	if want := "200>503 503>200 200>error:closed error:closed>200 200>404 404>200 "; keys != want {
		t.Errorf("transitions %s", keys)
	}
}

func TestOKStatusDecidesWhatFailsAndIs200(t *testing.T) {
	for status, fails := range map[int]bool{200: false, 204: true, 403: true, 404: true, 429: true} {
		url := serveTurn(t, func(_ int64, w http.ResponseWriter) { w.WriteHeader(status) })
		arguments := []string{"--rps", "100", "--duration", "50ms", url}
		result := start(t, arguments...).wait()
		if result.Sent == 0 || (result.Failed == result.Sent) != fails || (result.OK == 0) != fails {
			t.Errorf("%d: %+v", status, result)
		}
		result = start(t, append([]string{"--ok-status", "200-499"}, arguments...)...).wait()
		if result.Sent == 0 || result.OK != result.Sent {
			t.Errorf("%d of 200-499: %+v", status, result)
		}
	}
}

func TestEachURLIsCalledOnceAndTheRunEnds(t *testing.T) {
	var served atomic.Int64
	url := serveTurn(t, func(int64, http.ResponseWriter) { served.Add(1) })
	result := start(t, "--rps", "500", "--each-once", url+"/a", url+"/b", url+"/c").wait()
	if result.Sent != 3 || result.OK != 3 || served.Load() != 3 || result.Unsent != 0 {
		t.Errorf("%d served, %+v", served.Load(), result)
	}
}

func TestAStalledServerMakesRequestsLateAndLosesNone(t *testing.T) {
	url := serveTurn(t, func(n int64, _ http.ResponseWriter) {
		if n == 5 {
			time.Sleep(200 * time.Millisecond)
		}
	})
	r := start(t, "--rps", "200", "--duration", "400ms", "--connections", "1", url)
	result := r.wait()
	if result.Sent < 80 || result.OK != result.Sent || result.Unsent != 0 {
		t.Errorf("%+v", result)
	}
	// While one request took 200 ms, 40 fell due behind it.
	if result.Late < 30 || result.Latency.P90 < 50 {
		t.Errorf("late %d, p90 %v ms", result.Late, result.Latency.P90)
	}
}

func TestWhatCouldNotBeSentIsReportedAsUnsent(t *testing.T) {
	release := make(chan bool)
	url := serveTurn(t, func(int64, http.ResponseWriter) { <-release })
	t.Cleanup(func() { close(release) })
	r := start(t, "--rps", "100", "--duration", "100ms", "--timeout", "150ms",
		"--connections", "1", url)
	result := r.wait()
	if result.Sent+result.Unsent < 10 || result.Unsent == 0 || result.Failed != result.Sent {
		t.Errorf("%+v", result)
	}
	if result.Failures[0].Key != "error:timeout" {
		t.Errorf("%+v", result.Failures[0])
	}
}

func TestURLsTakeTurns(t *testing.T) {
	var a, b atomic.Int64
	first := serveTurn(t, func(int64, http.ResponseWriter) { a.Add(1) })
	second := serveTurn(t, func(int64, http.ResponseWriter) { b.Add(1) })
	start(t, "--rps", "500", "--duration", "100ms", first, second).wait()
	if difference := a.Load() - b.Load(); difference < 0 || difference > 1 {
		t.Errorf("%d and %d requests", a.Load(), b.Load())
	}
}

func TestControlShowsTheRunningResultAndStopsIt(t *testing.T) {
	url := serveTurn(t, func(int64, http.ResponseWriter) {})
	r := start(t, "--rps", "500", url)
	control := httptest.NewServer(controlHandler(r))
	defer control.Close()
	ended := make(chan Result, 1)
	go func() { ended <- r.wait() }()
	var running Result
	for running.OK == 0 {
		response, err := http.Get(control.URL + "/result")
		if err != nil {
			t.Fatal(err)
		}
		if err := json.NewDecoder(response.Body).Decode(&running); err != nil {
			t.Fatal(err)
		}
		response.Body.Close()
	}
	if !running.Running || running.RPS <= 0 || len(running.Outcomes) != 1 {
		t.Errorf("%+v", running)
	}
	response, err := http.Post(control.URL+"/stop", "", nil)
	if err != nil || response.StatusCode != http.StatusAccepted {
		t.Fatal(response, err)
	}
	response.Body.Close()
	if result := <-ended; result.Running || result.OK != result.Sent || result.OK < running.OK {
		t.Errorf("%+v", result)
	}
}
