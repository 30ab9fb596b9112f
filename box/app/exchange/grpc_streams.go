package exchange

import (
	"bytes"
	"context"
	"fmt"
	"io"

	testpb "google.golang.org/grpc/interop/grpc_testing"
)

// sendMany sends messages without waiting and reads the one answer, which tells their size.
func (g *grpcExchanger) sendMany(
	ctx context.Context, client testpb.TestServiceClient, payload *testpb.Payload, answer *Answer,
) ([]byte, error) {
	stream, err := client.StreamingInputCall(ctx)
	if err != nil {
		return nil, err
	}
	for range g.options.GrpcSent {
		request := &testpb.StreamingInputCallRequest{Payload: payload}
		// io.EOF from Send means that the stream has ended; CloseAndRecv knows why.
		if err := stream.Send(request); err == io.EOF {
			break
		} else if err != nil {
			return nil, err
		}
	}
	response, err := stream.CloseAndRecv()
	answer.Header, _ = stream.Header() // The same error as the call's.
	answer.Trailer = stream.Trailer()
	return fmt.Appendf(nil, `{"size":%d}`, response.GetAggregatedPayloadSize()), err
}

// receiveMany sends one message and returns the answers as one JSON list.
func (g *grpcExchanger) receiveMany(
	ctx context.Context, client testpb.TestServiceClient, payload *testpb.Payload, answer *Answer,
) ([]byte, error) {
	request := &testpb.StreamingOutputCallRequest{Payload: payload}
	for range g.options.GrpcReceived {
		request.ResponseParameters = append(request.ResponseParameters, &testpb.ResponseParameters{})
	}
	stream, err := client.StreamingOutputCall(ctx, request)
	if err != nil {
		return nil, err
	}
	var bodies [][]byte
	for {
		var response *testpb.StreamingOutputCallResponse
		if response, err = stream.Recv(); err != nil {
			break
		}
		bodies = append(bodies, response.GetPayload().GetBody())
	}
	if err == io.EOF {
		err = nil
	}
	answer.Header, _ = stream.Header()
	answer.Trailer = stream.Trailer()
	return append(append([]byte("["), bytes.Join(bodies, []byte(","))...), ']'), err
}
