package serve

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/health"
	"google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/peer"
	"google.golang.org/grpc/reflection"
	"google.golang.org/grpc/status"

	"lazyscope.io/test/mesh/app/pattern"
)

// maxGrpcMessage bounds one message in either direction; each is held in memory.
const maxGrpcMessage = 64 << 20

// testService is grpc.testing.TestService. Where a request asks for no size, the payload is the
// JSON of what was seen; otherwise it is that many bytes of the pattern.
type testService struct {
	testpb.UnimplementedTestServiceServer
	self Self
}

func newGrpcServer(self Self) *grpc.Server {
	server := grpc.NewServer(
		grpc.MaxRecvMsgSize(maxGrpcMessage), grpc.MaxSendMsgSize(maxGrpcMessage))
	testpb.RegisterTestServiceServer(server, &testService{self: self})
	grpc_health_v1.RegisterHealthServer(server, health.NewServer())
	reflection.Register(server)
	return server
}

func (t *testService) EmptyCall(context.Context, *testpb.Empty) (*testpb.Empty, error) {
	return &testpb.Empty{}, nil
}

func (t *testService) UnaryCall(
	ctx context.Context, request *testpb.SimpleRequest,
) (*testpb.SimpleResponse, error) {
	if err := wantedStatus(request.GetResponseStatus()); err != nil {
		return nil, err
	}
	seen := t.seen(ctx, request.GetPayload().GetBody())
	payload, err := payloadOf(request.GetResponseSize(), seen)
	if err != nil {
		return nil, err
	}
	return &testpb.SimpleResponse{
		Payload:  payload,
		Username: seen.PeerIdentity,
		ServerId: t.self.Name,
		Hostname: t.self.Pod,
	}, nil
}

func (t *testService) StreamingOutputCall(
	request *testpb.StreamingOutputCallRequest,
	stream testpb.TestService_StreamingOutputCallServer,
) error {
	return t.sendAll(stream.Context(), request, stream.Send)
}

func (t *testService) StreamingInputCall(
	stream testpb.TestService_StreamingInputCallServer,
) error {
	size := 0
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			return stream.SendAndClose(
				&testpb.StreamingInputCallResponse{AggregatedPayloadSize: int32(size)})
		}
		if err != nil {
			return err
		}
		size += len(request.GetPayload().GetBody())
	}
}

// FullDuplexCall answers each message at once; one without parameters gets one answer.
func (t *testService) FullDuplexCall(
	stream testpb.TestService_FullDuplexCallServer,
) error {
	for {
		request, err := stream.Recv()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return err
		}
		if len(request.GetResponseParameters()) == 0 {
			request.ResponseParameters = []*testpb.ResponseParameters{{}}
		}
		if err := t.sendAll(stream.Context(), request, stream.Send); err != nil {
			return err
		}
	}
}

func (t *testService) sendAll(
	ctx context.Context, request *testpb.StreamingOutputCallRequest,
	send func(*testpb.StreamingOutputCallResponse) error,
) error {
	if err := wantedStatus(request.GetResponseStatus()); err != nil {
		return err
	}
	seen := t.seen(ctx, request.GetPayload().GetBody())
	for _, parameters := range request.GetResponseParameters() {
		select {
		case <-time.After(time.Duration(parameters.GetIntervalUs()) * time.Microsecond):
		case <-ctx.Done():
			return ctx.Err()
		}
		payload, err := payloadOf(parameters.GetSize(), seen)
		if err != nil {
			return err
		}
		if err := send(&testpb.StreamingOutputCallResponse{Payload: payload}); err != nil {
			return err
		}
	}
	return nil
}

func (t *testService) seen(ctx context.Context, body []byte) Seen {
	headers, _ := metadata.FromIncomingContext(ctx)
	method, _ := grpc.Method(ctx)
	hash := sha256.Sum256(body)
	seen := Seen{
		Self:         t.self,
		Method:       "POST", // gRPC over HTTP/2 knows no other.
		Path:         method,
		Protocol:     "gRPC",
		Headers:      headers,
		PeerIdentity: peerIdentity(headers.Get("x-forwarded-client-cert")),
		BodyBytes:    int64(len(body)),
		BodySha256:   hex.EncodeToString(hash[:]),
		Trailers:     map[string][]string{},
	}
	if authority := headers.Get(":authority"); len(authority) > 0 {
		seen.Host = authority[0]
	}
	if remote, ok := peer.FromContext(ctx); ok {
		seen.RemoteAddress = remote.Addr.String()
	}
	return seen
}

func payloadOf(size int32, seen Seen) (*testpb.Payload, error) {
	if size < 0 || size > maxGrpcMessage {
		return nil, status.Errorf(codes.InvalidArgument,
			"response size %d: want 0 to %d", size, maxGrpcMessage)
	}
	if size > 0 {
		return &testpb.Payload{Body: pattern.Bytes(int(size))}, nil
	}
	body, err := json.Marshal(seen)
	return &testpb.Payload{Body: body}, err
}

func wantedStatus(wanted *testpb.EchoStatus) error {
	return status.Error(codes.Code(wanted.GetCode()), wanted.GetMessage())
}
