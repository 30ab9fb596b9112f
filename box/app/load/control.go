package load

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"time"
)

// serveControl lets a test look at the run while it goes on, and end it.
func serveControl(address string, r *run) (close func(), err error) {
	listener, err := net.Listen("tcp", address)
	if err != nil {
		return nil, fmt.Errorf("--control %s: %w", address, err)
	}
	server := &http.Server{Handler: controlHandler(r), ReadHeaderTimeout: 10 * time.Second}
	go server.Serve(listener) // Ends with the close.
	return func() { server.Close() }, nil
}

func controlHandler(r *run) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /result", func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		json.NewEncoder(w).Encode(r.recorder.result()) // The client may have gone.
	})
	mux.HandleFunc("POST /stop", func(w http.ResponseWriter, _ *http.Request) {
		r.stop()
		w.WriteHeader(http.StatusAccepted)
	})
	return mux
}
