package serve

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net"
	"sync"
	"time"
)

const (
	// maxLine is the longest line that the echo treats as one; a longer one is echoed in pieces.
	maxLine = 64 << 10
	// tcpIdle closes connections whose peer vanished without a FIN.
	tcpIdle = time.Hour
)

// tcpServer tracks its connections, so that a stop can end each in the ordinary way.
type tcpServer struct {
	listener net.Listener
	converse func(net.Conn, *bufio.Reader) error
	stopping context.Context
	open     sync.WaitGroup
}

func (s *tcpServer) serve() error {
	for {
		connection, err := s.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return nil
		}
		if err != nil {
			return err
		}
		s.open.Go(func() { s.handle(connection) })
	}
}

// handle converses until the client half-closes (or the server stops), says "bye", and closes.
func (s *tcpServer) handle(connection net.Conn) {
	defer connection.Close()
	connection.SetReadDeadline(time.Now().Add(tcpIdle))
	unwatch := context.AfterFunc(s.stopping, func() { connection.SetReadDeadline(time.Now()) })
	defer unwatch()
	if err := s.converse(connection, bufio.NewReaderSize(connection, maxLine)); err != nil {
		return
	}
	io.WriteString(connection, "bye\n")
}

// serverFirst sends its banner before the client has said anything, then echoes what comes.
func (s *server) serverFirst(connection net.Conn, reader *bufio.Reader) error {
	banner, err := json.Marshal(struct {
		Name string `json:"name"`
		Pod  string `json:"pod"`
	}{s.self.Name, s.self.Pod})
	if err != nil {
		panic(err) // Two strings always marshal.
	}
	if _, err := connection.Write(append(banner, '\n')); err != nil {
		return err
	}
	_, err = io.Copy(connection, reader)
	return s.unlessStopping(err)
}

// clientFirst says nothing until a line comes; it echoes each line behind the server's name.
func (s *server) clientFirst(connection net.Conn, reader *bufio.Reader) error {
	prefix := s.self.Name + " "
	for {
		line, err := reader.ReadSlice('\n')
		if len(line) > 0 {
			if _, err := io.WriteString(connection, prefix+string(line)); err != nil {
				return err
			}
		}
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
			return s.unlessStopping(err)
		}
	}
}

// unlessStopping turns the read deadline that a stop sets into an ordinary end.
func (s *server) unlessStopping(err error) error {
	if s.stopping.Err() != nil {
		return nil
	}
	return err
}
