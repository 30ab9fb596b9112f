// node-clients plays node companions to controllers: each holds one stream to every controller and
// asks the first one that it reaches for the compact catalog (companion/node/uplink.ts and
// compact-replica.ts). It counts what it is sent and keeps nothing. It is not the companion itself,
// because a thousand of them would need more of the machine than the controllers.
//
// Usage: node-clients -nodes FILE
//
// FILE is JSON: {"ca": PEM, "controllers": ["HOST:PORT", ...], "layout": NUMBER, "nodes": [{"name",
// "token", "address"}, ...]}; `address` is the source of the node's connections. All nodes connect
// at once. Each line of standard input makes the program print its counters as one line of JSON. The
// end of standard input ends it.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"os"
	"time"
)

// mesh is the content of the file.
type mesh struct {
	CA          string   `json:"ca"`
	Controllers []string `json:"controllers"`
	Layout      uint64   `json:"layout"`
	Nodes       []struct {
		Name    string `json:"name"`
		Token   string `json:"token"`
		Address string `json:"address"`
	} `json:"nodes"`
}

func main() {
	file := flag.String("nodes", "", "file that describes the controllers and the nodes")
	flag.Parse()
	if *file == "" || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "node-clients: -nodes FILE is required")
		os.Exit(64)
	}
	mesh, err := read(*file)
	if err != nil {
		log.Fatalf("node-clients: %s: %v", *file, err)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	counters := &counters{started: time.Now()}
	for i := range mesh.Nodes {
		node, err := newNode(mesh, i, counters)
		if err != nil {
			log.Fatalf("node-clients: %v", err)
		}
		for which := range mesh.Controllers {
			go node.keepConnected(ctx, which)
		}
	}
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := out.Encode(counters.read()); err != nil {
			log.Fatalf("node-clients: counters could not be written: %v", err)
		}
	}
}

func read(path string) (*mesh, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var found mesh
	return &found, json.Unmarshal(text, &found)
}
