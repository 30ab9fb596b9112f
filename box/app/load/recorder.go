package load

import (
	"sort"
	"sync"
	"time"

	"lazyscope.io/test/mesh/app/exchange"
)

const (
	// lateAfter is when a request counts as late. Below it lies what timers and a busy machine
	// cost; above it the generator no longer keeps its rate.
	lateAfter = 10 * time.Millisecond
	// The lists are bounded so that a broken run of an hour still prints; counts go on.
	maxTransitions = 1_000
	maxFailures    = 100
	// maxOutcomes bounds keys that differ on each request, such as a path with an identifier.
	maxOutcomes   = 200
	otherOutcomes = "(other)"
)

// Result is what a run prints. Times are milliseconds since StartedAt.
type Result struct {
	StartedAt time.Time `json:"startedAt"`
	Running   bool      `json:"running"`
	Seconds   float64   `json:"seconds"`
	// Sent = OK + Failed + those in flight. Due requests that were not begun before the run had to
	// end are Unsent: they are never just left out.
	Sent   int64 `json:"sent"`
	OK     int64 `json:"ok"`
	Failed int64 `json:"failed"`
	// Late were begun more than 10 ms after they were due, because every connection was busy or
	// the generator had no CPU.
	Late   int64 `json:"late"`
	Unsent int64 `json:"unsent"`
	// Reconnected found their idle connection closed by the other side and took a fresh one.
	Reconnected int64   `json:"reconnected"`
	RPS         float64 `json:"rps"` // completed
	// Latency counts from when a request was due, so that waiting for a free connection is in it;
	// Service counts from when it was begun.
	Latency Latency `json:"latency"`
	Service Latency `json:"service"`

	Outcomes            []Outcome    `json:"outcomes"`
	Transitions         []Transition `json:"transitions"`
	TransitionsUnlisted int64        `json:"transitionsUnlisted"`
	Failures            []Failure    `json:"failures"`
}

// Outcome sums up the requests that ended alike.
type Outcome struct {
	Key     string  `json:"key"`
	Count   uint64  `json:"count"`
	FirstMs float64 `json:"firstMs"`
	LastMs  float64 `json:"lastMs"`
	P50Ms   float64 `json:"p50Ms"`
	MaxMs   float64 `json:"maxMs"`
}

// Transition is a change of outcome of one URL, in order of completion.
type Transition struct {
	AtMs float64 `json:"atMs"`
	URL  string  `json:"url"`
	From string  `json:"from"`
	To   string  `json:"to"`
}

// Failure is one failed request; AtMs is when it ended.
type Failure struct {
	AtMs  float64 `json:"atMs"`
	URL   string  `json:"url"`
	Key   string  `json:"key"`
	Error string  `json:"error,omitempty"`
}

// sample is one finished request; its times count from the start of the run.
type sample struct {
	url              int
	due, begun, done time.Duration
	answer           exchange.Answer
	key              string
	ok               bool
}

// recorder adds samples up. One mutex is enough: an addition takes well under a microsecond.
type recorder struct {
	mutex    sync.Mutex
	start    time.Time
	urls     []string
	previous []string // per URL, the key of the last sample
	outcomes map[string]*outcome
	latency  histogram
	service  histogram
	total    Result
	ended    time.Duration // 0 while running
}

type outcome struct {
	first, last time.Duration
	latency     histogram
}

func newRecorder(start time.Time, urls []string) *recorder {
	return &recorder{
		start:    start,
		urls:     urls,
		previous: make([]string, len(urls)),
		outcomes: map[string]*outcome{},
		total: Result{
			StartedAt:   start,
			Transitions: []Transition{},
			Failures:    []Failure{},
		},
	}
}

func (r *recorder) begin() {
	r.mutex.Lock()
	r.total.Sent++
	r.mutex.Unlock()
}

func (r *recorder) record(s sample) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.latency.record(s.done - s.due)
	r.service.record(s.done - s.begun)
	if s.begun-s.due > lateAfter {
		r.total.Late++
	}
	if s.answer.Reconnected {
		r.total.Reconnected++
	}
	r.count(s)
	r.follow(s)
	o := r.outcomeOf(s)
	o.last = s.done
	o.latency.record(s.done - s.due)
}

func (r *recorder) count(s sample) {
	if s.ok {
		r.total.OK++
		return
	}
	r.total.Failed++
	if len(r.total.Failures) == maxFailures {
		return
	}
	failure := Failure{AtMs: milliseconds(s.done), URL: r.urls[s.url], Key: s.key}
	if s.answer.Err != nil {
		failure.Error = s.answer.Err.Error()
	}
	r.total.Failures = append(r.total.Failures, failure)
}

func (r *recorder) follow(s sample) {
	from := r.previous[s.url]
	r.previous[s.url] = s.key
	if from == "" || from == s.key {
		return
	}
	if len(r.total.Transitions) == maxTransitions {
		r.total.TransitionsUnlisted++
		return
	}
	r.total.Transitions = append(r.total.Transitions,
		Transition{AtMs: milliseconds(s.done), URL: r.urls[s.url], From: from, To: s.key})
}

func (r *recorder) outcomeOf(s sample) *outcome {
	key := s.key
	if r.outcomes[key] == nil && len(r.outcomes) >= maxOutcomes {
		key = otherOutcomes
	}
	if r.outcomes[key] == nil {
		r.outcomes[key] = &outcome{first: s.done}
	}
	return r.outcomes[key]
}

// finish fixes the end of the run; unsent is what was due and not begun.
func (r *recorder) finish(unsent int64) {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	r.total.Unsent = unsent
	r.ended = time.Since(r.start)
}

// result may be taken at any time; outcomes come in order of their first appearance.
func (r *recorder) result() Result {
	r.mutex.Lock()
	defer r.mutex.Unlock()
	taken := r.total
	taken.Running = r.ended == 0
	elapsed := r.ended
	if taken.Running {
		elapsed = time.Since(r.start)
	}
	taken.Seconds = elapsed.Seconds()
	taken.RPS = float64(taken.OK+taken.Failed) / max(taken.Seconds, 1e-9)
	taken.Latency = r.latency.summary()
	taken.Service = r.service.summary()
	taken.Transitions = append([]Transition{}, taken.Transitions...)
	taken.Failures = append([]Failure{}, taken.Failures...)
	taken.Outcomes = make([]Outcome, 0, len(r.outcomes))
	for key, o := range r.outcomes {
		taken.Outcomes = append(taken.Outcomes, Outcome{
			Key:     key,
			Count:   o.latency.count,
			FirstMs: milliseconds(o.first),
			LastMs:  milliseconds(o.last),
			P50Ms:   milliseconds(o.latency.percentile(0.5)),
			MaxMs:   milliseconds(o.latency.max),
		})
	}
	sort.Slice(taken.Outcomes, func(i, j int) bool {
		a, b := taken.Outcomes[i], taken.Outcomes[j]
		return a.FirstMs < b.FirstMs || a.FirstMs == b.FirstMs && a.Key < b.Key
	})
	return taken
}
