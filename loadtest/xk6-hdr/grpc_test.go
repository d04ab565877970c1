package hdr

import (
	"context"
	"net"
	"testing"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
)

const method = "/inference.GRPCInferenceService/ModelInfer"

// answering starts a server on the loopback that answers every method with what f says, and returns its URL.
func answering(t *testing.T, f func(ctx context.Context, message []byte) ([]byte, error)) (string, *grpc.Server) {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	server := grpc.NewServer(
		grpc.ForceServerCodec(rawMessage{}),
		grpc.UnknownServiceHandler(func(_ any, stream grpc.ServerStream) error {
			var message []byte
			if err := stream.RecvMsg(&message); err != nil {
				return err
			}
			answer, err := f(stream.Context(), message)
			if err != nil {
				return err
			}
			return stream.SendMsg(&answer)
		}),
	)
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(server.Stop)
	return "http://" + listener.Addr().String() + method, server
}

func callerOf(t *testing.T, target string, timeout time.Duration) (*caller, *attempts) {
	t.Helper()
	seen := &attempts{}
	made, err := newCaller(target, timeout, seen)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = made.connection.Close() })
	return made, seen
}

func TestACallCarriesBytesAndHeadersAndKeepsTheAnswer(t *testing.T) {
	var header []string
	target, _ := answering(t, func(ctx context.Context, message []byte) ([]byte, error) {
		incoming, _ := metadata.FromIncomingContext(ctx)
		header = incoming.Get("x-race")
		return append([]byte("seen "), message...), nil
	})
	c, seen := callerOf(t, target, time.Minute)
	if code := c.call(t.Context(), []byte("this"), map[string]string{"X-Race": "r1"}); code != 200 {
		t.Fatalf("code %d", code)
	}
	if string(c.answer) != "seen this" || len(header) != 1 || header[0] != "r1" {
		t.Errorf("answer %q, header %v", c.answer, header)
	}
	if seen.count.Load() != 1 {
		t.Errorf("%d requests left", seen.count.Load())
	}
}

func TestWhatTheServerSaysIsNamedAsHTTPWould(t *testing.T) {
	var code codes.Code
	target, _ := answering(t, func(context.Context, []byte) ([]byte, error) { return nil, status.Error(code, "no") })
	c, seen := callerOf(t, target, time.Minute)
	for given, expected := range map[codes.Code]int{
		codes.Unavailable: 503, codes.ResourceExhausted: 429, codes.InvalidArgument: 400, codes.NotFound: 404,
		codes.Internal: 500, codes.Unknown: 500, codes.DeadlineExceeded: 504,
	} {
		code = given
		if found := c.call(t.Context(), nil, nil); found != expected {
			t.Errorf("%s is %d and not %d", given, found, expected)
		}
		if c.answer != nil {
			t.Errorf("%s has an answer", given)
		}
	}
	if seen.count.Load() != 7 {
		t.Errorf("%d requests left for 7 calls", seen.count.Load())
	}
}

func TestWithoutAnAnswerThereIsNoStatus(t *testing.T) {
	release := make(chan struct{})
	target, server := answering(t, func(context.Context, []byte) ([]byte, error) {
		// The deadline is the server's too: one that went by it could still answer in time.
		<-release
		return nil, nil
	})
	c, _ := callerOf(t, target, 50*time.Millisecond)
	if code := c.call(t.Context(), nil, nil); code != noAnswer {
		t.Errorf("after the time-out: %d", code)
	}
	close(release)
	server.Stop()
	gone, _ := callerOf(t, target, time.Minute)
	if code := gone.call(t.Context(), nil, nil); code != noAnswer {
		t.Errorf("with nobody there: %d", code)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if code := gone.call(ended, nil, nil); code != noAnswer {
		t.Errorf("after the end of the run: %d", code)
	}
}

func TestAURLThatIsNoneIsRefused(t *testing.T) {
	if _, err := newCaller("http://\x00", time.Minute, &attempts{}); err == nil {
		t.Error("it was taken")
	}
}
