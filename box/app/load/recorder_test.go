package load

import (
	"errors"
	"strconv"
	"testing"
	"time"
)

func finished(url int, atMs int, key string, ok bool) sample {
	at := time.Duration(atMs) * time.Millisecond
	return sample{url: url, due: at - 2*time.Millisecond, begun: at - time.Millisecond, done: at,
		key: key, ok: ok}
}

func TestAChangeOfOutcomeIsATransitionOfItsOwnURLOnly(t *testing.T) {
	r := newRecorder(time.Now(), []string{"a", "b"})
	r.record(finished(0, 10, "200 v1", true))
	r.record(finished(1, 20, "200 v2", true))
	r.record(finished(0, 30, "200 v1", true))
	r.record(finished(0, 40, "503 -", false))
	r.record(finished(0, 50, "200 v2", true))
	r.finish(0)
	result := r.result()
	want := []Transition{{40, "a", "200 v1", "503 -"}, {50, "a", "503 -", "200 v2"}}
	if len(result.Transitions) != 2 ||
		result.Transitions[0] != want[0] || result.Transitions[1] != want[1] {
		t.Errorf("transitions %+v, want %+v", result.Transitions, want)
	}
	if result.OK != 4 || result.Failed != 1 {
		t.Errorf("ok %d, failed %d", result.OK, result.Failed)
	}
	first := result.Outcomes[0]
	if first != (Outcome{"200 v1", 2, 10, 30, 2, 2}) {
		t.Errorf("first outcome %+v", first)
	}
}

func TestLatencyCountsFromWhenTheRequestWasDue(t *testing.T) {
	r := newRecorder(time.Now(), []string{"a"})
	r.record(sample{due: 0, begun: 50 * time.Millisecond, done: 60 * time.Millisecond, key: "200"})
	result := r.result()
	if result.Latency.Max != 60 || result.Service.Max != 10 || result.Late != 1 {
		t.Errorf("latency %v, service %v, late %d",
			result.Latency.Max, result.Service.Max, result.Late)
	}
}

func TestListsAreBoundedAndCountsAreNot(t *testing.T) {
	r := newRecorder(time.Now(), []string{"a"})
	const requests = 2 * maxTransitions
	for i := range requests {
		s := finished(0, i, "key "+strconv.Itoa(i), false)
		s.answer.Err = errors.New("broken")
		r.record(s)
	}
	result := r.result()
	if result.Failed != requests || len(result.Failures) != maxFailures {
		t.Errorf("failed %d, listed %d", result.Failed, len(result.Failures))
	}
	listed := int64(len(result.Transitions))
	if listed != maxTransitions || listed+result.TransitionsUnlisted != requests-1 {
		t.Errorf("transitions: %d listed, %d not", listed, result.TransitionsUnlisted)
	}
	total := uint64(0)
	for _, o := range result.Outcomes {
		total += o.Count
	}
	if len(result.Outcomes) != maxOutcomes+1 || total != requests {
		t.Errorf("%d outcomes with %d requests", len(result.Outcomes), total)
	}
}
