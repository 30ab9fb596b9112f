package exchange

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"syscall"

	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

// Class names the kind of a transport error in one word, for counting: timeout, stopped, refused,
// reset, unreachable, closed, dns, tls or other.
func Class(err error) string {
	var name *net.DNSError
	var record tls.RecordHeaderError
	var verify *tls.CertificateVerificationError
	var alert tls.AlertError
	code := status.Code(err) // Unknown for what is not of gRPC.
	switch {
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, os.ErrDeadlineExceeded),
		code == codes.DeadlineExceeded:
		return "timeout"
	case errors.Is(err, context.Canceled), code == codes.Canceled:
		return "stopped"
	case errors.As(err, &name):
		return "dns"
	case errors.Is(err, syscall.ECONNREFUSED), unavailable(err, syscall.ECONNREFUSED):
		return "refused"
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE),
		unavailable(err, syscall.ECONNRESET):
		return "reset"
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return "unreachable"
	case errors.As(err, &record), errors.As(err, &verify), errors.As(err, &alert):
		return "tls"
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF),
		strings.Contains(err.Error(), "connection broken"), // net/http has no type for it.
		unavailable(err, io.EOF):
		return "closed"
	default:
		return "other"
	}
}

// unavailable looks for the cause in the text of a gRPC error, which wraps none.
func unavailable(err, cause error) bool {
	return status.Code(err) == codes.Unavailable && strings.Contains(err.Error(), cause.Error())
}
