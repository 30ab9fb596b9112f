// xds-clients plays sidecars to istiod: each holds one delta-xDS stream and asks for what Envoy would
// ask for (clusters, endpoints, listeners, routes), but does nothing with the answers. It counts them.
//
// Usage: xds-clients -istiod HOST:PORT -count N [-every D] [-reject]
//
// The proxies are the pods of box/api/population.ts. Each line of standard input makes the program
// print its counters since the start as one line of JSON. The end of standard input ends it.
//
// With -reject they refuse what they get.
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

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// connectEvery spaces out the connections. istiod takes at least 20 a second (istio.io/istio
// pilot/pkg/features, PILOT_MAX_REQUESTS_PER_SECOND), and a start of all proxies at once is not what
// is measured. istiod refuses streams above its rate, as when it is busy with the streams before;
// those connect again after connectAgain, as proxies do.
const (
	connectEvery = 60 * time.Millisecond
	connectAgain = time.Second
)

func main() {
	address := flag.String("istiod", "", "address of istiod's plain-text xDS port")
	count := flag.Int("count", 0, "number of proxies")
	every := flag.Duration("every", connectEvery, "time between two connections")
	rejects := flag.Bool("reject", false, "refuse every answer")
	flag.Parse()
	if *address == "" || *count < 1 || flag.NArg() > 0 {
		fmt.Fprintln(os.Stderr, "xds-clients: -istiod HOST:PORT and -count N (at least 1) are required")
		os.Exit(64)
	}
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	counters := &counters{}
	go connectAll(ctx, *address, *count, *every, *rejects, counters)
	out := json.NewEncoder(os.Stdout)
	for in := bufio.NewScanner(os.Stdin); in.Scan(); {
		if err := out.Encode(counters.read()); err != nil {
			log.Fatalf("xds-clients: counters could not be written: %v", err)
		}
	}
}

func connectAll(
	ctx context.Context, address string, count int, every time.Duration, rejects bool, counters *counters,
) {
	for i := range count {
		go func() {
			err := newProxy(i, rejects, counters).run(ctx, address)
			for ctx.Err() == nil && status.Code(err) == codes.ResourceExhausted {
				time.Sleep(connectAgain)
				err = newProxy(i, rejects, counters).run(ctx, address)
			}
			// Any other end of a stream is final: the benchmark sees it in `ended` and fails.
			if ctx.Err() == nil {
				counters.ended.Add(1)
				log.Printf("proxy %d: %v", i, err)
			}
		}()
		time.Sleep(every)
	}
}
