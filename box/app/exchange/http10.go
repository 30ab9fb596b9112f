package exchange

import (
	"bufio"
	"context"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"time"
)

// http10Exchanger sends a GET of HTTP/1.0, which net/http reads but does not write.
type http10Exchanger struct {
	target  *url.URL
	options Options
}

func (h *http10Exchanger) Exchange(ctx context.Context) (answer Answer) {
	dialer := net.Dialer{Timeout: h.options.Timeout}
	connection, err := dialer.DialContext(ctx, "tcp", address(h.target))
	if err != nil {
		answer.Err = err
		return answer
	}
	defer connection.Close()
	if answer.Err = connection.SetDeadline(time.Now().Add(h.options.Timeout)); answer.Err != nil {
		return answer
	}
	host := h.options.Host
	if host == "" {
		host = h.target.Host
	}
	fmt.Fprintf(connection, "GET %s HTTP/1.0\r\nHost: %s\r\n", h.target.RequestURI(), host)
	h.options.Header.Write(connection)
	fmt.Fprint(connection, "\r\n") // A failed write shows as a failed read.
	response, err := http.ReadResponse(bufio.NewReader(connection), nil)
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
	answer.Err = answer.collect(response.Body, h.options.KeepBody)
	return answer
}

func (h *http10Exchanger) Close() {}
