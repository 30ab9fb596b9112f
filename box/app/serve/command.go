// Package serve is the server side of meshapp: every protocol that a sidecar treats in its own way,
// each answering with what it saw.
package serve

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os/signal"
	"strings"
	"syscall"
)

// Command runs "meshapp serve" until SIGTERM or SIGINT and returns the exit status.
func Command(arguments []string, stderr io.Writer) int {
	config, err := parse(arguments, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return 0
	}
	if err != nil {
		return 2 // flag has printed the reason.
	}
	log := slog.New(slog.NewJSONHandler(stderr, nil))
	ctx := context.Background()
	signals, unregister := signal.NotifyContext(ctx, syscall.SIGTERM, syscall.SIGINT)
	defer unregister()
	server, err := start(config, log)
	if err != nil {
		log.Error("cannot start", "error", err.Error())
		return 1
	}
	select {
	case <-signals.Done():
		log.Info("stopping", "bound", stopBound.String())
		server.stop()
		return 0
	case err := <-server.failed:
		log.Error("a listener failed", "error", fmt.Sprint(err))
		server.stop()
		return 1
	}
}

func parse(arguments []string, stderr io.Writer) (Config, error) {
	var config Config
	flags := flag.NewFlagSet("meshapp serve", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.StringVar(&config.Name, "name", "", "name in every answer (default: the pod's)")
	flags.StringVar(&config.TLSName, "tls-name", "",
		"DNS name in the self-signed certificate (default: --name)")
	ports := func(target *[]string, name, usage string) {
		usage += "; ports or host:port, separated by commas"
		flags.Func(name, usage, func(text string) error {
			for _, address := range strings.Split(text, ",") {
				if !strings.Contains(address, ":") {
					address = ":" + address
				}
				*target = append(*target, address)
			}
			return nil
		})
	}
	ports(&config.HTTP, "http", "HTTP/1.1, HTTP/2 with prior knowledge, WebSocket at /ws")
	ports(&config.GRPC, "grpc", "grpc.testing.TestService, health, reflection")
	ports(&config.ServerFirst, "tcp-server-first", "TCP: sends a banner at once, then echoes")
	ports(&config.ClientFirst, "tcp-echo", "TCP: echoes each line behind the name")
	ports(&config.TLS, "tls", "the same as --http, over TLS")
	if err := flags.Parse(arguments); err != nil {
		return Config{}, err
	}
	if flags.NArg() > 0 {
		err := fmt.Errorf("unexpected argument %q; serve takes flags only", flags.Arg(0))
		fmt.Fprintln(stderr, err)
		return Config{}, err
	}
	return config, nil
}
