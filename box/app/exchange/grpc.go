package exchange

import (
	"bytes"
	"context"
	"errors"
	"io"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

// maxGrpcMessage is the server's bound too.
const maxGrpcMessage = 64 << 20

// grpcExchanger calls grpc.testing.TestService: UnaryCall, or FullDuplexCall with a number of
// messages of which each waits for its answer. The body is the payload received.
type grpcExchanger struct {
	address string
	options Options
	mutex   sync.Mutex
	client  *grpc.ClientConn
}

func newGrpc(address string, options Options) (Exchanger, error) {
	g := &grpcExchanger{address: address, options: options}
	// grpc.NewClient does not connect; it only checks.
	client, err := g.dial()
	g.client = client
	return g, err
}

func (g *grpcExchanger) dial() (*grpc.ClientConn, error) {
	dialOptions := []grpc.DialOption{
		grpc.WithTransportCredentials(insecure.NewCredentials()),
		grpc.WithStatsHandler(answeredHandler{}),
		grpc.WithDisableRetry(),
		grpc.WithDisableServiceConfig(),
		grpc.WithNoProxy(),
		grpc.WithDefaultCallOptions(
			grpc.MaxCallRecvMsgSize(maxGrpcMessage), grpc.MaxCallSendMsgSize(maxGrpcMessage)),
	}
	if g.options.Host != "" {
		dialOptions = append(dialOptions, grpc.WithAuthority(g.options.Host))
	}
	// passthrough: the host goes to the dialer as it is, as a DNS lookup of an application would.
	return grpc.NewClient("passthrough:///"+g.address, dialOptions...)
}

func (g *grpcExchanger) Exchange(ctx context.Context) (answer Answer) {
	ctx, cancel := context.WithTimeout(ctx, g.options.Timeout)
	defer cancel()
	answer.Protocol = "gRPC"
	answer.SentSha256 = g.options.bodySha256()
	client, err := g.connection()
	if err != nil {
		answer.Err = err
		return answer
	}
	var answered atomic.Bool
	ctx = context.WithValue(ctx, answeredKey{}, &answered)
	for name, values := range g.options.Header {
		for _, value := range values {
			ctx = metadata.AppendToOutgoingContext(ctx, strings.ToLower(name), value)
		}
	}
	body, err := g.call(ctx, testpb.NewTestServiceClient(client), &answer)
	answer.Answered = answered.Load()
	answer.Status = int(status.Code(err))
	answer.StatusText = status.Code(err).String()
	collectErr := answer.collect(bytes.NewReader(body), g.options.KeepBody)
	answer.Err = errors.Join(err, collectErr)
	if g.options.Fresh {
		g.Close()
	}
	return answer
}

func (g *grpcExchanger) call(
	ctx context.Context, client testpb.TestServiceClient, answer *Answer,
) ([]byte, error) {
	payload := &testpb.Payload{Body: g.options.bodyText()}
	switch {
	case g.options.GrpcSent > 0:
		return g.sendMany(ctx, client, payload, answer)
	case g.options.GrpcReceived > 0:
		return g.receiveMany(ctx, client, payload, answer)
	case g.options.GrpcStream == 0:
		var header, trailer metadata.MD
		response, err := client.UnaryCall(ctx, &testpb.SimpleRequest{Payload: payload},
			grpc.Header(&header), grpc.Trailer(&trailer))
		answer.Header, answer.Trailer = header, trailer
		return response.GetPayload().GetBody(), err
	}
	stream, err := client.FullDuplexCall(ctx)
	if err != nil {
		return nil, err
	}
	body, err := g.pingPong(stream, payload)
	answer.Header, _ = stream.Header() // The same error as the call's.
	answer.Trailer = stream.Trailer()
	return body, err
}

// pingPong returns the answers as one JSON list.
func (g *grpcExchanger) pingPong(
	stream testpb.TestService_FullDuplexCallClient, payload *testpb.Payload,
) ([]byte, error) {
	var bodies [][]byte
	list := func() []byte {
		return append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']')
	}
	for i := range g.options.GrpcStream {
		if i > 0 {
			time.Sleep(g.options.Idle)
		}
		request := &testpb.StreamingOutputCallRequest{Payload: payload}
		// io.EOF from Send means that the stream has ended; Recv knows why.
		if err := stream.Send(request); err != nil && err != io.EOF {
			return list(), err
		}
		response, err := stream.Recv()
		if err != nil {
			return list(), err
		}
		bodies = append(bodies, response.GetPayload().GetBody())
	}
	if err := stream.CloseSend(); err != nil {
		return list(), err
	}
	if _, err := stream.Recv(); err != io.EOF {
		return list(), errors.Join(errors.New("the stream did not end"), err)
	}
	return list(), nil
}

func (g *grpcExchanger) connection() (*grpc.ClientConn, error) {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.client != nil {
		return g.client, nil
	}
	client, err := g.dial()
	g.client = client
	return client, err
}

func (g *grpcExchanger) Close() {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if g.client != nil {
		g.client.Close()
		g.client = nil
	}
}

// answeredHandler notes that headers or trailers came from the other side: only so does an
// UNAVAILABLE of the server or a proxy differ from one that the client made up.
type answeredHandler struct{}

type answeredKey struct{}

func (answeredHandler) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context {
	return ctx
}

func (answeredHandler) HandleRPC(ctx context.Context, event stats.RPCStats) {
	switch event.(type) {
	case *stats.InHeader, *stats.InTrailer:
		if answered, ok := ctx.Value(answeredKey{}).(*atomic.Bool); ok {
			answered.Store(true)
		}
	}
}

func (answeredHandler) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context {
	return ctx
}

func (answeredHandler) HandleConn(context.Context, stats.ConnStats) {}
