package load

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"lazyscope.io/test/mesh/app/exchange"
)

// keyPart takes one word out of an answer; "" where it has none.
type keyPart struct {
	fromBody bool // needs the echo's JSON
	value    func(exchange.Answer, *echo) string
}

// echo is what keys can take from the JSON that "meshapp serve" answers.
type echo struct {
	Name         string              `json:"name"`
	Pod          string              `json:"pod"`
	Namespace    string              `json:"namespace"`
	Host         string              `json:"host"`
	Path         string              `json:"path"`
	PeerIdentity string              `json:"peerIdentity"`
	Headers      map[string][]string `json:"headers"`
}

// outcomeKey reduces an answer to the words by which outcomes are told apart.
type outcomeKey struct {
	parts    []keyPart
	fromBody bool
}

// parseKey reads "status,peerIdentity,header:X-Foo,seen-header:X-Foo,proto".
func parseKey(text string) (outcomeKey, error) {
	var key outcomeKey
	for _, word := range strings.Split(text, ",") {
		part, err := parseKeyPart(word)
		if err != nil {
			return outcomeKey{}, err
		}
		key.parts = append(key.parts, part)
		key.fromBody = key.fromBody || part.fromBody
	}
	return key, nil
}

func parseKeyPart(word string) (keyPart, error) {
	if name, found := strings.CutPrefix(word, "header:"); found {
		return keyPart{value: func(a exchange.Answer, _ *echo) string {
			return headerOf(a.Header, name)
		}}, nil
	}
	if name, found := strings.CutPrefix(word, "seen-header:"); found {
		return keyPart{true, func(_ exchange.Answer, e *echo) string {
			return headerOf(e.Headers, name)
		}}, nil
	}
	fields := map[string]func(*echo) string{
		"name":         func(e *echo) string { return e.Name },
		"pod":          func(e *echo) string { return e.Pod },
		"namespace":    func(e *echo) string { return e.Namespace },
		"host":         func(e *echo) string { return e.Host },
		"path":         func(e *echo) string { return e.Path },
		"peerIdentity": func(e *echo) string { return e.PeerIdentity },
	}
	if field, found := fields[word]; found {
		return keyPart{true, func(_ exchange.Answer, e *echo) string { return field(e) }}, nil
	}
	switch word {
	case "status":
		return keyPart{value: func(a exchange.Answer, _ *echo) string { return statusOf(a) }}, nil
	case "proto":
		return keyPart{value: func(a exchange.Answer, _ *echo) string { return a.Protocol }}, nil
	}
	return keyPart{}, fmt.Errorf("--key: no part %q; use status, proto, header:NAME, "+
		"seen-header:NAME, name, pod, namespace, host, path or peerIdentity", word)
}

// of joins the words by spaces, "-" standing for an empty one.
func (k outcomeKey) of(answer exchange.Answer) string {
	var seen echo
	if k.fromBody {
		// A body of another shape leaves the fields empty, which is what the key then says.
		_ = json.Unmarshal(answer.Body, &seen)
	}
	words := make([]string, len(k.parts))
	for i, part := range k.parts {
		if words[i] = part.value(answer, &seen); words[i] == "" {
			words[i] = "-"
		}
	}
	return strings.Join(words, " ")
}

// statusOf is the HTTP status, "grpc:CODE" or "ok", and for a broken exchange "error:CLASS", after
// the status if there was one.
func statusOf(a exchange.Answer) string {
	switch {
	case a.Protocol == "gRPC" && a.Answered:
		return "grpc:" + a.StatusText
	case a.Err != nil && a.Status != 0 && a.Protocol != "gRPC":
		return strconv.Itoa(a.Status) + "+error:" + exchange.Class(a.Err)
	case a.Err != nil:
		return "error:" + exchange.Class(a.Err)
	case a.Status == 0:
		return "ok"
	default:
		return strconv.Itoa(a.Status)
	}
}

func headerOf(headers map[string][]string, name string) string {
	values := headers[http.CanonicalHeaderKey(name)]
	if len(values) == 0 {
		values = headers[strings.ToLower(name)] // gRPC metadata
	}
	return strings.Join(values, ",")
}
