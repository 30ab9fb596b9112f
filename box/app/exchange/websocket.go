package exchange

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"time"

	"github.com/coder/websocket"
)

// webSocketExchanger sends one message and reads one.
type webSocketExchanger struct {
	target     *url.URL
	options    Options
	client     *http.Client
	connection *websocket.Conn
	upgrade    *http.Response
}

func newWebSocket(target *url.URL, options Options) Exchanger {
	transport := &http.Transport{TLSClientConfig: tlsConfig(target, options)}
	client := &http.Client{
		Transport: transport,
		CheckRedirect: func(*http.Request, []*http.Request) error {
			return http.ErrUseLastResponse
		},
	}
	return &webSocketExchanger{target: target, options: options, client: client}
}

func (w *webSocketExchanger) Exchange(ctx context.Context) (answer Answer) {
	ctx, cancel := context.WithTimeout(ctx, w.options.Timeout)
	defer cancel()
	answer.Protocol = "websocket"
	answer.SentSha256 = w.options.bodySha256()
	err := w.connect(ctx)
	if w.upgrade != nil {
		answer.Answered = true
		answer.Status = w.upgrade.StatusCode
		answer.StatusText = http.StatusText(w.upgrade.StatusCode)
		answer.Header = w.upgrade.Header
	}
	if err == nil {
		var message []byte
		message, err = w.echo(ctx)
		if err == nil && w.options.Idle > 0 {
			time.Sleep(w.options.Idle)
			message, err = w.echo(ctx)
		}
		err = errors.Join(err, answer.collect(bytes.NewReader(message), w.options.KeepBody))
	}
	answer.Err = err
	switch {
	case err != nil:
		w.Close()
	case w.options.Fresh:
		w.connection.Close(websocket.StatusNormalClosure, "")
		w.connection = nil
	}
	return answer
}

func (w *webSocketExchanger) connect(ctx context.Context) (err error) {
	if w.connection != nil {
		return nil
	}
	w.connection, w.upgrade, err = websocket.Dial(ctx, w.target.String(), &websocket.DialOptions{
		HTTPClient: w.client,
		HTTPHeader: w.options.Header.Clone(),
		Host:       w.options.Host,
	})
	if err != nil {
		w.connection = nil
		return err
	}
	w.connection.SetReadLimit(-1) // The server bounds its messages.
	return nil
}

func (w *webSocketExchanger) echo(ctx context.Context) ([]byte, error) {
	kind := websocket.MessageText
	if w.options.Data == "" {
		kind = websocket.MessageBinary
	}
	if err := w.connection.Write(ctx, kind, w.options.bodyText()); err != nil {
		return nil, err
	}
	_, message, err := w.connection.Read(ctx)
	return message, err
}

func (w *webSocketExchanger) Close() {
	if w.connection != nil {
		w.connection.CloseNow()
		w.connection = nil
	}
}
