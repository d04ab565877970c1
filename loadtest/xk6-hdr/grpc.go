package hdr

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"net/http"
	"net/url"
	"sync/atomic"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/backoff"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/stats"
	"google.golang.org/grpc/status"
)

const (
	protocolGRPC = "grpc"

	// What a server that was gone for a moment must not wait for longer than a request does.
	reconnectAfter = 100 * time.Millisecond
	maxAnswer      = 64 << 20
)

// httpStatus gives a gRPC code its HTTP name (google.rpc.Code), so that records count both alike. What is not here is a
// fault of the server.
var httpStatus = map[codes.Code]int{
	codes.OK: http.StatusOK, codes.InvalidArgument: http.StatusBadRequest, codes.OutOfRange: http.StatusBadRequest,
	codes.FailedPrecondition: http.StatusBadRequest, codes.Unauthenticated: http.StatusUnauthorized,
	codes.PermissionDenied: http.StatusForbidden, codes.NotFound: http.StatusNotFound,
	codes.AlreadyExists: http.StatusConflict, codes.Aborted: http.StatusConflict,
	codes.ResourceExhausted: http.StatusTooManyRequests, codes.Unimplemented: http.StatusNotImplemented,
	codes.Unavailable: http.StatusServiceUnavailable, codes.DeadlineExceeded: http.StatusGatewayTimeout,
}

// rawMessage passes messages as the bytes they are.
type rawMessage struct{}

func (rawMessage) Marshal(v any) ([]byte, error) { return *v.(*[]byte), nil }

func (rawMessage) Unmarshal(data []byte, v any) error {
	*v.(*[]byte) = bytes.Clone(data)
	return nil
}

// Name is that of the codec whose bytes these are.
func (rawMessage) Name() string { return "proto" }

// attempts counts the requests that left, those that a client sends again by itself too.
type attempts struct{ count atomic.Int64 }

func (a *attempts) TagRPC(ctx context.Context, _ *stats.RPCTagInfo) context.Context { return ctx }

func (a *attempts) HandleRPC(_ context.Context, event stats.RPCStats) {
	if _, ok := event.(*stats.OutHeader); ok {
		a.count.Add(1)
	}
}

func (a *attempts) TagConn(ctx context.Context, _ *stats.ConnTagInfo) context.Context { return ctx }

func (a *attempts) HandleConn(context.Context, stats.ConnStats) {}

// caller sends one user's requests over a connection of its own, and keeps the last answer until it is checked.
type caller struct {
	connection *grpc.ClientConn
	method     string
	timeout    time.Duration
	answer     []byte
	ending     ending
}

// newCaller makes a caller for a URL whose path is the method; the connection is made with the first call.
func newCaller(target string, timeout time.Duration, seen *attempts) (*caller, error) {
	place, err := url.Parse(target)
	if err != nil {
		return nil, fmt.Errorf("the URL of the shot: %w", err)
	}
	security := insecure.NewCredentials()
	if place.Scheme == "https" {
		security = credentials.NewTLS(&tls.Config{MinVersion: tls.VersionTLS12})
	}
	pause := backoff.Config{BaseDelay: reconnectAfter, Multiplier: 1, MaxDelay: reconnectAfter}
	connection, err := grpc.NewClient(
		"passthrough:///"+place.Host,
		grpc.WithTransportCredentials(security),
		grpc.WithDisableRetry(),
		grpc.WithNoProxy(),
		grpc.WithStatsHandler(seen),
		grpc.WithConnectParams(grpc.ConnectParams{Backoff: pause, MinConnectTimeout: timeout}),
		grpc.WithDefaultCallOptions(grpc.ForceCodec(rawMessage{}), grpc.MaxCallRecvMsgSize(maxAnswer)),
		grpc.WithUserAgent("podium-loadtest"),
	)
	if err != nil {
		return nil, err
	}
	return &caller{connection: connection, method: place.Path, timeout: timeout}, nil
}

// call sends a request and returns its status as HTTP would name it, 0 where no answer came.
func (c *caller) call(ctx context.Context, message []byte, headers map[string]string) int {
	ctx, cancel := context.WithTimeout(metadata.NewOutgoingContext(ctx, metadata.New(headers)), c.timeout)
	defer cancel()
	c.answer = nil
	var trailer metadata.MD
	err := c.connection.Invoke(ctx, c.method, &message, &c.answer, grpc.Trailer(&trailer))
	code := status.Code(err)
	// The deadline may be the client's own word before its context says so: the server cancels the stream then as well.
	isOwn := trailer.Len() == 0 && (code == codes.Unavailable || code == codes.DeadlineExceeded)
	if isOwn || code == codes.Canceled || ctx.Err() != nil {
		c.ending = endingOf(0, err.Error())
		// A server that keeps the deadline too cancels the stream around that instant, in words of its own.
		if deadline, ok := ctx.Deadline(); ok && time.Until(deadline) < c.timeout/20 {
			c.ending = endedTimedOut
		}
		return noAnswer
	}
	if named, ok := httpStatus[code]; ok {
		return named
	}
	return http.StatusInternalServerError
}
