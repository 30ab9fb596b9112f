package exchange

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"time"
)

// tcpExchanger sends one line and reads one line. Without a line to send it reads the banner of a
// server that speaks first.
type tcpExchanger struct {
	address    string
	options    Options
	connection *net.TCPConn
	reader     *bufio.Reader
}

func newTCP(address string, options Options) (Exchanger, error) {
	if _, _, err := net.SplitHostPort(address); err != nil {
		return nil, fmt.Errorf("tcp://%s: %w; write tcp://HOST:PORT", address, err)
	}
	if options.Send == "" {
		// Only the first line of a connection is the server's own.
		options.Banner, options.Fresh = true, true
	}
	return &tcpExchanger{address: address, options: options}, nil
}

func (t *tcpExchanger) Exchange(ctx context.Context) (answer Answer) {
	answer.Protocol = "tcp"
	deadline := time.Now().Add(t.options.Timeout)
	read, err := t.converse(ctx, deadline)
	answer.Answered = len(read) > 0
	answer.Err = errors.Join(err, answer.collect(strings.NewReader(read), t.options.KeepBody))
	if err != nil || t.options.Fresh {
		t.Close()
	}
	return answer
}

func (t *tcpExchanger) converse(ctx context.Context, deadline time.Time) (read string, err error) {
	if t.connection == nil {
		if read, err = t.connect(ctx, deadline); err != nil {
			return read, err
		}
	}
	if err := t.connection.SetDeadline(deadline); err != nil {
		return read, err
	}
	// The load generator's stop must not wait for a silent server.
	connection := t.connection
	unwatch := context.AfterFunc(ctx, func() { connection.SetDeadline(time.Now()) })
	defer unwatch()
	if t.options.Send != "" {
		line, err := t.say()
		read += line
		if err == nil && t.options.Idle > 0 {
			time.Sleep(t.options.Idle)
			line, err = t.say()
			read += line
		}
		if err != nil {
			return read, err
		}
	}
	if !t.options.Fresh {
		return read, nil
	}
	if err := t.connection.CloseWrite(); err != nil {
		return read, err
	}
	rest, err := io.ReadAll(io.LimitReader(t.reader, t.options.KeepBody))
	return read + string(rest), err
}

// say sends the line and reads one.
func (t *tcpExchanger) say() (string, error) {
	if _, err := io.WriteString(t.connection, t.options.Send+"\n"); err != nil {
		return "", err
	}
	line, err := t.reader.ReadString('\n')
	if err != nil {
		return line, fmt.Errorf("reading the answer: %w", err)
	}
	return line, nil
}

func (t *tcpExchanger) connect(ctx context.Context, deadline time.Time) (string, error) {
	dialer := net.Dialer{Deadline: deadline}
	connection, err := dialer.DialContext(ctx, "tcp", t.address)
	if err != nil {
		return "", err
	}
	t.connection = connection.(*net.TCPConn)
	t.reader = bufio.NewReader(connection)
	if !t.options.Banner {
		return "", nil
	}
	if err := connection.SetDeadline(deadline); err != nil {
		return "", err
	}
	line, err := t.reader.ReadString('\n')
	if err != nil {
		return line, fmt.Errorf("reading the banner: %w", err)
	}
	return line, nil
}

func (t *tcpExchanger) Close() {
	if t.connection != nil {
		t.connection.Close()
		t.connection = nil
	}
}
