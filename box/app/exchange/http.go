package exchange

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"
)

// httpExchanger uses http.ClientConn, one connection without a pool: http.Transport would send a
// request again when a connection breaks, and a lost request would look like a slow one.
type httpExchanger struct {
	target    *url.URL
	options   Options
	transport *http.Transport
	sent      string // SHA-256 of the request body
	mutex     sync.Mutex
	current   *http.ClientConn
	retired   []*http.ClientConn // replaced while other requests were still on them
}

func newHTTP(target *url.URL, options Options) (Exchanger, error) {
	if options.Method == "" {
		options.Method = http.MethodGet
		if options.hasBody() {
			options.Method = http.MethodPost
		}
	}
	if options.Header == nil {
		options.Header = http.Header{}
	}
	protocols := new(http.Protocols)
	switch {
	case !options.HTTP2:
		protocols.SetHTTP1(true)
	case target.Scheme == "http":
		protocols.SetUnencryptedHTTP2(true)
	default:
		protocols.SetHTTP2(true)
	}
	h := &httpExchanger{target: target, options: options, sent: options.bodySha256()}
	h.transport = &http.Transport{
		Protocols:             protocols,
		DisableCompression:    true,
		ExpectContinueTimeout: options.Timeout, // "Expect: 100-continue" waits for the 100.
		TLSClientConfig:       tlsConfig(target, options),
	}
	if _, err := h.request(context.Background()); err != nil {
		return nil, err
	}
	return h, nil
}

func tlsConfig(target *url.URL, options Options) *tls.Config {
	config := &tls.Config{InsecureSkipVerify: options.Insecure, ServerName: target.Hostname()}
	if options.Host != "" {
		config.ServerName = strings.Split(options.Host, ":")[0]
	}
	return config
}

func (h *httpExchanger) Exchange(ctx context.Context) (answer Answer) {
	ctx, cancel := context.WithTimeout(ctx, h.options.Timeout)
	defer cancel()
	answer.SentSha256 = h.sent
	begin := time.Now()
	response, connection, err := h.roundTrip(ctx, &answer)
	if err != nil && neverSent(err) {
		answer.Reconnected = true
		response, connection, err = h.roundTrip(ctx, &answer)
	}
	if err != nil {
		answer.Err = err
		return answer
	}
	defer response.Body.Close()
	answer.Answered = true
	answer.Status = response.StatusCode
	answer.StatusText = http.StatusText(response.StatusCode)
	answer.Protocol = response.Proto
	answer.Header = response.Header
	if h.options.Events {
		answer.Events, answer.Err = readEvents(response.Body, begin)
	} else {
		answer.Err = answer.collect(response.Body, h.options.KeepBody)
	}
	answer.Trailer = response.Trailer
	if response.Close || h.options.Fresh {
		h.discard(connection)
	}
	return answer
}

// roundTrip uses the kept connection if it can take a request, or a new one. A connection that
// failed is not kept.
func (h *httpExchanger) roundTrip(
	ctx context.Context, answer *Answer,
) (*http.Response, *http.ClientConn, error) {
	connection, err := h.reserve(ctx, answer)
	if err != nil {
		return nil, nil, err
	}
	request, err := h.request(ctx)
	if err != nil {
		connection.Release()
		return nil, nil, err
	}
	response, err := connection.RoundTrip(request)
	if err != nil && connection.Available() == 0 {
		h.discard(connection)
	}
	return response, connection, err
}

func (h *httpExchanger) request(ctx context.Context) (*http.Request, error) {
	var body io.Reader
	if h.options.hasBody() {
		body = h.options.body()
	}
	target := h.target.String()
	request, err := http.NewRequestWithContext(ctx, h.options.Method, target, body)
	if err != nil {
		return nil, err
	}
	request.ContentLength = h.options.bodySize()
	request.Host = h.options.Host // "" means the URL's.
	request.Header = h.options.Header.Clone()
	if len(h.options.Trailer) > 0 {
		request.Trailer = h.options.Trailer.Clone()
		request.ContentLength = -1 // Trailers need chunks.
	}
	return request, nil
}

func (h *httpExchanger) reserve(ctx context.Context, answer *Answer) (*http.ClientConn, error) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.current != nil && !h.options.Fresh {
		if h.current.Reserve() == nil {
			return h.current, nil
		}
		answer.Reconnected = true
	}
	connection, err := h.transport.NewClientConn(ctx, h.target.Scheme, address(h.target))
	if err != nil {
		return nil, err
	}
	if err := connection.Reserve(); err != nil {
		connection.Close()
		return nil, err
	}
	h.retire()
	h.current = connection
	return connection, nil
}

// retire sets the current connection aside, closing those that no request uses any more.
func (h *httpExchanger) retire() {
	var busy []*http.ClientConn
	for _, connection := range append(h.retired, h.current) {
		if connection == nil {
			continue
		}
		if connection.InFlight() > 0 {
			busy = append(busy, connection)
			continue
		}
		connection.Close()
	}
	h.retired = busy
}

func (h *httpExchanger) discard(connection *http.ClientConn) {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	if h.current == connection {
		h.retire()
		h.current = nil
	}
}

func (h *httpExchanger) Close() {
	h.mutex.Lock()
	defer h.mutex.Unlock()
	for _, connection := range append(h.retired, h.current) {
		if connection != nil {
			connection.Close()
		}
	}
	h.current, h.retired = nil, nil
}

// neverSent is true for the errors of net/http that say that the server cannot have taken the
// request: the idle connection closed first, or HTTP/2 says so (RFC 9113 section 8.7). The errors
// have no exported types. Sending once more is then what every client does.
func neverSent(err error) bool {
	for _, text := range []string{
		"server closed idle connection",
		"readLoopPeekFailLocked", // The idle connection was reset.
		"client conn not usable",
		"graceful shutdown GOAWAY",
		"REFUSED_STREAM",
	} {
		if strings.Contains(err.Error(), text) {
			return true
		}
	}
	return false
}

// maxEvents bounds what one stream may hold in memory; the server sends no more.
const maxEvents = 10_000

func readEvents(body io.Reader, begin time.Time) ([]Event, error) {
	var events []Event
	lines := bufio.NewScanner(body)
	for lines.Scan() {
		data, found := strings.CutPrefix(lines.Text(), "data:")
		if !found {
			continue
		}
		if len(events) == maxEvents {
			return events, fmt.Errorf("more than %d events", maxEvents)
		}
		events = append(events, Event{milliseconds(time.Since(begin)), strings.TrimSpace(data)})
	}
	return events, lines.Err()
}
