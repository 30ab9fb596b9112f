package serve

import (
	"context"
	"net/http"

	"github.com/coder/websocket"
)

// maxMessage bounds one WebSocket message held in memory.
const maxMessage = 16 << 20

// serveWebSocket echoes each message with its type until the client closes or the server stops.
func (s *server) serveWebSocket(w http.ResponseWriter, r *http.Request) {
	// Any origin may connect: the clients are tests, not browsers.
	s.webSockets.Add(1)
	defer s.webSockets.Done()
	connection, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true})
	if err != nil {
		return // Accept has answered with the reason.
	}
	defer connection.CloseNow()
	connection.SetReadLimit(maxMessage)
	unwatch := context.AfterFunc(s.stopping, func() {
		connection.Close(websocket.StatusGoingAway, "the server stops")
	})
	defer unwatch()
	for {
		kind, message, err := connection.Read(context.Background())
		if err != nil {
			return
		}
		if err := connection.Write(context.Background(), kind, message); err != nil {
			return
		}
	}
}
