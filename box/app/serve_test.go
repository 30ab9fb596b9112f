package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/coder/websocket"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
	testpb "google.golang.org/grpc/interop/grpc_testing"
	"google.golang.org/grpc/status"
)

func readAll(t *testing.T, reader io.Reader) string {
	t.Helper()
	content, err := io.ReadAll(reader)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}

func grpcClient(t *testing.T, server *served) *grpc.ClientConn {
	t.Helper()
	client, err := grpc.NewClient(server.addresses["grpc"],
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	return client
}

func TestServeNeedsAPortAndSaysSo(t *testing.T) {
	command := meshapp(t, "serve")
	stderr, _ := command.CombinedOutput()
	expect(t, "exit status", command.ProcessState.ExitCode(), 1)
	if !strings.Contains(string(stderr), "--http 8080") {
		t.Errorf("no remedy in %s", stderr)
	}
}

func TestATakenPortFailsTheStart(t *testing.T) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	command := meshapp(t, "serve", "--http", "127.0.0.1:0", "--grpc", listener.Addr().String())
	stderr, _ := command.CombinedOutput()
	expect(t, "exit status", command.ProcessState.ExitCode(), 1)
	if !strings.Contains(string(stderr), "--grpc "+listener.Addr().String()) {
		t.Errorf("the port is not named in %s", stderr)
	}
}

func TestTCPHalfCloseIsAnsweredWithBye(t *testing.T) {
	server := startServe(t)
	connection := server.dial(t, "tcp-echo")
	io.WriteString(connection, "one\ntwo\nunfinished")
	connection.(*net.TCPConn).CloseWrite()
	expect(t, "answer", readAll(t, connection), "web one\nweb two\nweb unfinishedbye\n")
}

func TestALineLongerThanTheBoundIsEchoedInPieces(t *testing.T) {
	server := startServe(t)
	connection := server.dial(t, "tcp-echo")
	line := strings.Repeat("x", 64<<10) + "end\n"
	io.WriteString(connection, line)
	connection.(*net.TCPConn).CloseWrite()
	expect(t, "without the names", strings.ReplaceAll(readAll(t, connection), "web ", ""),
		line+"bye\n")
}

func TestGrpcServesSizesStatusesInputStreamsAndHealth(t *testing.T) {
	server := startServe(t)
	client := grpcClient(t, server)
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	service := testpb.NewTestServiceClient(client)

	sized, err := service.UnaryCall(ctx, &testpb.SimpleRequest{ResponseSize: 1000})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "size", len(sized.GetPayload().GetBody()), 1000)
	expect(t, "server", sized.GetServerId(), "web")

	_, err = service.UnaryCall(ctx, &testpb.SimpleRequest{
		ResponseStatus: &testpb.EchoStatus{Code: int32(codes.PermissionDenied), Message: "no"}})
	expect(t, "status", status.Code(err), codes.PermissionDenied)

	output, err := service.StreamingOutputCall(ctx, &testpb.StreamingOutputCallRequest{
		ResponseParameters: []*testpb.ResponseParameters{{Size: 1}, {Size: 2, IntervalUs: 1000}}})
	if err != nil {
		t.Fatal(err)
	}
	for size := 1; size <= 2; size++ {
		response, err := output.Recv()
		if err != nil {
			t.Fatal(err)
		}
		expect(t, "streamed size", len(response.GetPayload().GetBody()), size)
	}

	input, err := service.StreamingInputCall(ctx)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		input.Send(&testpb.StreamingInputCallRequest{Payload: &testpb.Payload{Body: []byte("ab")}})
	}
	sum, err := input.CloseAndRecv()
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "aggregated size", sum.GetAggregatedPayloadSize(), 6)

	health, err := grpc_health_v1.NewHealthClient(client).Check(ctx,
		&grpc_health_v1.HealthCheckRequest{})
	if err != nil {
		t.Fatal(err)
	}
	expect(t, "health", health.GetStatus(), grpc_health_v1.HealthCheckResponse_SERVING)
}

func TestSIGTERMLetsEveryOpenExchangeFinish(t *testing.T) {
	server := startServe(t)

	slow := make(chan string, 1)
	go func() {
		response, err := http.Get(server.url("http", "http", "/delay/500ms"))
		if err != nil {
			slow <- err.Error()
			return
		}
		slow <- response.Status
	}()
	stream, err := testpb.NewTestServiceClient(grpcClient(t, server)).StreamingOutputCall(
		context.Background(), &testpb.StreamingOutputCallRequest{
			ResponseParameters: []*testpb.ResponseParameters{
				{Size: 1}, {Size: 1, IntervalUs: 500_000}}})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := stream.Recv(); err != nil {
		t.Fatal(err)
	}
	tcp := server.dial(t, "tcp-echo")
	io.WriteString(tcp, "line\n")
	reader := bufio.NewReader(tcp)
	if line, err := reader.ReadString('\n'); err != nil || line != "web line\n" {
		t.Fatal(line, err)
	}
	socket, _, err := websocket.Dial(context.Background(), server.url("ws", "http", "/ws"), nil)
	if err != nil {
		t.Fatal(err)
	}
	closed := make(chan error, 1)
	go func() {
		_, _, err := socket.Read(context.Background())
		closed <- err
	}()
	// The slow request must have arrived before the signal; nothing shows when it has.
	time.Sleep(100 * time.Millisecond)

	server.terminate(t)
	expect(t, "slow request", <-slow, "200 OK")
	expect(t, "TCP", readAll(t, reader), "bye\n")
	expect(t, "WebSocket", websocket.CloseStatus(<-closed), websocket.StatusGoingAway)
	if _, err := stream.Recv(); err != nil {
		t.Errorf("gRPC stream: %v", err)
	}
	if _, err := stream.Recv(); err != io.EOF {
		t.Errorf("end of the gRPC stream: %v", err)
	}
}

func TestSIGTERMCutsWhatDoesNotFinishWithinTheBound(t *testing.T) {
	server := startServe(t)
	result := make(chan error, 1)
	go func() {
		_, err := http.Get(server.url("http", "http", "/delay/5m"))
		result <- err
	}()
	time.Sleep(100 * time.Millisecond)
	server.terminate(t)
	if err := <-result; err == nil {
		t.Error("a request of five minutes succeeded")
	}
}
