package main

import (
	"encoding/json"
	"strings"
	"testing"
)

func TestABatchAnswersEveryCallInItsOrder(t *testing.T) {
	server := startServe(t)
	command := meshapp(t, "batch", "2")
	calls, err := json.Marshal([][]string{
		{server.url("http", "http", "/status/201")},
		{"--no-such-flag", "http://127.0.0.1/"},
		{"http://127.0.0.1:1/"},
		{server.url("grpc", "grpc", "")},
	})
	if err != nil {
		t.Fatal(err)
	}
	command.Stdin = strings.NewReader(string(calls))
	output, err := command.Output()
	if err != nil {
		t.Fatal(err)
	}
	var results []struct {
		Status     int
		ErrorClass string
	}
	if err := json.Unmarshal(output, &results); err != nil {
		t.Fatal(err)
	}
	expect(t, "results", len(results), 4)
	expect(t, "first", results[0].Status, 201)
	expect(t, "second", results[1].ErrorClass, "usage")
	expect(t, "third", results[2].ErrorClass, "refused")
	expect(t, "fourth", results[3].ErrorClass, "")
}
