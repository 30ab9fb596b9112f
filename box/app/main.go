// Command meshapp is the application that runs in the pods of the test mesh: it serves every kind
// of protocol that a sidecar treats differently, makes single calls from inside a pod, and
// generates load that hides nothing.
package main

import (
	"fmt"
	"io"
	"os"

	"lazyscope.io/test/mesh/app/call"
	"lazyscope.io/test/mesh/app/load"
	"lazyscope.io/test/mesh/app/serve"
)

const usage = `meshapp: the test application of the mesh

  meshapp serve [flags]              serve HTTP, WebSocket, gRPC, TCP and TLS; say what was seen
  meshapp call [flags] URL           make one call, print one JSON object
  meshapp batch [N]                  make calls read as JSON, N at a time; print a JSON list
  meshapp load [flags] URL [URL...]  send at a fixed rate, print one JSON object at the end
  meshapp help                       print this

"meshapp SUB-COMMAND --help" lists the flags.
`

func main() {
	os.Exit(run(os.Args[1:], os.Stdout, os.Stderr))
}

// run returns the exit status: 0 for success, 1 for a failed call or server, 2 for wrong usage.
func run(arguments []string, stdout, stderr io.Writer) int {
	if len(arguments) == 0 {
		fmt.Fprint(stderr, usage)
		return 2
	}
	switch name, rest := arguments[0], arguments[1:]; name {
	case "serve":
		return serve.Command(rest, stderr)
	case "call":
		return call.Command(rest, stdout, stderr)
	case "batch":
		return call.Batch(rest, os.Stdin, stdout, stderr)
	case "load":
		return load.Command(rest, stdout, stderr)
	case "help", "--help", "-h":
		fmt.Fprint(stdout, usage)
		return 0
	default:
		fmt.Fprintf(stderr, "meshapp: no sub-command %q; see meshapp help\n", name)
		return 2
	}
}
