package mirror_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/encoding/gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/types/known/wrapperspb"

	"parallax"
	"parallax/mirror"
)

// echo is a gRPC service of one text each way: what it answers depends on what
// it is asked.
type echo struct {
	name  string
	calls atomic.Int64
	ended chan error // gets what ended a call of Hang; nil: nobody listens
}

type text = wrapperspb.StringValue

func (e *echo) say(ctx context.Context, in *text) (*text, error) {
	e.calls.Add(1)
	_ = grpc.SetTrailer(ctx, metadata.Pairs("x-cost", "7"))
	word, _, _ := strings.Cut(in.Value, " ")
	switch word {
	case "fail":
		return nil, status.Error(codes.NotFound, "no such order: 100 %")
	case "unavailable":
		return nil, status.Error(codes.Unavailable, "later")
	case "exhausted":
		return nil, status.Error(codes.ResourceExhausted, "too many")
	case "hang":
		<-ctx.Done()
		return nil, ctx.Err()
	}
	md, _ := metadata.FromIncomingContext(ctx)
	return &text{Value: e.name + in.Value + strings.Join(md["x-two"], "|")}, nil
}

// stream answers each message with itself, and those of them that say so with
// more.
func (e *echo) stream(s grpc.ServerStream) error {
	e.calls.Add(1)
	for {
		in := new(text)
		if err := s.RecvMsg(in); err != nil {
			if e.ended != nil && err != io.EOF {
				e.ended <- s.Context().Err()
			}
			return nil // the caller has ended it
		}
		n := 1
		fmt.Sscanf(in.Value, "times %d", &n)
		for range n {
			if err := s.SendMsg(in); err != nil {
				return err
			}
		}
		if in.Value == "hang" {
			<-s.Context().Done()
			e.ended <- s.Context().Err()
			return s.Context().Err()
		}
	}
}

func (e *echo) description() *grpc.ServiceDesc {
	say := func(srv any, ctx context.Context, decode func(any) error, _ grpc.UnaryServerInterceptor) (any, error) {
		in := new(text)
		if err := decode(in); err != nil {
			return nil, err
		}
		return e.say(ctx, in)
	}
	return &grpc.ServiceDesc{
		ServiceName: "shop.Echo", HandlerType: (*any)(nil),
		Methods: []grpc.MethodDesc{{MethodName: "Say", Handler: say}},
		Streams: []grpc.StreamDesc{{
			StreamName: "Talk", ClientStreams: true, ServerStreams: true,
			Handler: func(_ any, s grpc.ServerStream) error { return e.stream(s) },
		}},
	}
}

// serve starts the service and returns its address. It stops when the test ends.
func (e *echo) serve(t testing.TB, options ...grpc.ServerOption) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := grpc.NewServer(options...)
	s.RegisterService(e.description(), e)
	served := make(chan error, 1)
	go func() { served <- s.Serve(l) }()
	t.Cleanup(func() {
		s.Stop()
		<-served
	})
	return "http://" + l.Addr().String()
}

// grpcRig is a mirror between a gRPC client and two services.
type grpcRig struct {
	*rig
	primary, candidate *echo
	conn               *grpc.ClientConn
}

func startGRPC(t testing.TB, change ...func(*mirror.Service)) *grpcRig {
	t.Helper()
	g := &grpcRig{primary: &echo{}, candidate: &echo{}}
	g.primary.ended = make(chan error, 16)
	cfg := asksHTTP2(pair(g.primary.serve(t), g.candidate.serve(t), mirror.Own))
	for _, c := range change {
		c(&cfg)
	}
	g.rig = start(t, cfg)
	conn, err := grpc.NewClient(g.Addr, grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	g.conn = conn
	return g
}

func (g *grpcRig) say(ctx context.Context, word string) (string, metadata.MD, error) {
	var trailer metadata.MD
	out := new(text)
	err := g.conn.Invoke(ctx, "/shop.Echo/Say", &text{Value: word}, out, grpc.Trailer(&trailer))
	return out.Value, trailer, err
}

func (g *grpcRig) talk(ctx context.Context) grpc.ClientStream {
	g.t.Helper()
	s, err := g.conn.NewStream(ctx, &grpc.StreamDesc{ClientStreams: true, ServerStreams: true}, "/shop.Echo/Talk")
	if err != nil {
		g.t.Fatal(err)
	}
	return s
}

func TestUnaryGRPCIsMirroredWithItsTrailers(t *testing.T) {
	t.Parallel()
	g := startGRPC(t)
	ctx := metadata.AppendToOutgoingContext(t.Context(), "x-two", "b", "x-two", "a")
	got, trailer, err := g.say(ctx, "hello")
	if err != nil || got != "hellob|a" {
		t.Fatalf("the caller got %q, %v", got, err)
	}
	if diff := cmp.Diff([]string{"7"}, trailer["x-cost"]); diff != "" {
		t.Errorf("the caller got other trailers (-want +got):\n%s", diff)
	}
	x := g.next()
	want := []parallax.Field{{Name: "Grpc-Message", Value: ""}, {Name: "Grpc-Status", Value: "0"}, {Name: "X-Cost", Value: "7"}}
	for leg, c := range []*parallax.Call{x.Legs[parallax.Primary], x.Legs[parallax.Candidate]} {
		if diff := cmp.Diff(want, c.Response.Trailers); diff != "" {
			t.Errorf("%s: trailers (-want +got):\n%s", parallax.Leg(leg), diff)
		}
		if c.Response.Body.Size != 5+2+8 || c.Err.Kind != parallax.NoError {
			t.Errorf("%s: %d bytes, %v", parallax.Leg(leg), c.Response.Body.Size, c.Err)
		}
	}
}

func TestGRPCErrorsReachTheCallerAndAreMirrored(t *testing.T) {
	t.Parallel()
	g := startGRPC(t)
	_, _, err := g.say(t.Context(), "fail")
	if s := status.Convert(err); s.Code() != codes.NotFound || s.Message() != "no such order: 100 %" {
		t.Fatalf("the caller got %v", err)
	}
	x := g.next()
	for leg, c := range []*parallax.Call{x.Legs[parallax.Primary], x.Legs[parallax.Candidate]} {
		if got := c.Response.Trailers; len(got) < 2 || got[1] != (parallax.Field{Name: "Grpc-Status", Value: "5"}) {
			t.Errorf("%s: trailers %v, want status 5", parallax.Leg(leg), got)
		}
	}
}

// What the live leg turned away is not asked of the others: they would do it.
func TestRejectedGRPCCallsAreNotRepeated(t *testing.T) {
	t.Parallel()
	g := startGRPC(t)
	for word, code := range map[string]codes.Code{"unavailable": codes.Unavailable, "exhausted": codes.ResourceExhausted} {
		if _, _, err := g.say(t.Context(), word); status.Code(err) != code {
			t.Errorf("%s: the caller got %v", word, err)
		}
	}
	if places := g.settled(2); places[parallax.UnmirroredRejected] != 2 || g.candidate.calls.Load() != 0 {
		t.Errorf("places %v, candidate asked %d times", places, g.candidate.calls.Load())
	}
}

// A stream passes message by message, both ways at a time, and is not mirrored.
func TestGRPCStreamsPassAndAreCounted(t *testing.T) {
	t.Parallel()
	g := startGRPC(t)
	exchange := func(s grpc.ClientStream, word string, answers int) {
		t.Helper()
		if err := s.SendMsg(&text{Value: word}); err != nil {
			t.Fatal(err)
		}
		for range answers {
			in := new(text)
			if err := s.RecvMsg(in); err != nil || in.Value != word {
				t.Fatalf("the caller got %q, %v, want %q", in.Value, err, word)
			}
		}
	}
	end := func(s grpc.ClientStream) {
		t.Helper()
		if err := s.CloseSend(); err != nil {
			t.Fatal(err)
		}
		if err := s.RecvMsg(new(text)); err != io.EOF {
			t.Errorf("the stream ended with %v", err)
		}
	}
	bidi := g.talk(t.Context())
	for i := range 20 {
		exchange(bidi, fmt.Sprint("message ", i), 1) // each is answered before the next is sent
	}
	end(bidi)
	server := g.talk(t.Context())
	exchange(server, "times 30", 30)
	end(server)
	client := g.talk(t.Context())
	for range 5 {
		exchange(client, "times 0", 0)
	}
	exchange(client, "last", 1)
	end(client)
	if places := g.settled(3); places[parallax.UnmirroredStream] != 3 || g.candidate.calls.Load() != 0 {
		t.Errorf("places %v, candidate asked %d times; want 3 streams", places, g.candidate.calls.Load())
	}
	// A stream of one message each way is as good as a unary call.
	single := g.talk(t.Context())
	exchange(single, "one", 1)
	end(single)
	if x := g.next(); x.Legs[parallax.Candidate].Response.Body.Size == 0 {
		t.Error("one message each way was not mirrored")
	}
}

func TestGRPCDeadlineAndCancellation(t *testing.T) {
	t.Parallel()
	g := startGRPC(t)
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if _, _, err := g.say(ctx, "hang"); status.Code(err) != codes.DeadlineExceeded {
		t.Errorf("a call over its deadline: %v", err)
	}
	ctx, leave := context.WithCancel(t.Context())
	s := g.talk(ctx)
	if err := s.SendMsg(&text{Value: "hang"}); err != nil {
		t.Fatal(err)
	}
	if err := s.RecvMsg(new(text)); err != nil {
		t.Fatal(err)
	}
	if err := s.CloseSend(); err != nil {
		t.Fatal(err)
	}
	leave()
	select {
	case err := <-g.primary.ended:
		if !errors.Is(err, context.Canceled) {
			t.Errorf("the leg saw %v", err)
		}
	case <-time.After(10 * time.Second):
		t.Error("the leg did not hear that the caller left")
	}
}

// What Parallax answers itself is understood by gRPC clients.
func TestGRPCToALegThatIsDownOrTooOld(t *testing.T) {
	t.Parallel()
	f := func(change func(*mirror.Service), want string) {
		t.Helper()
		g := startGRPC(t, change)
		_, _, err := g.say(t.Context(), "hello")
		if s := status.Convert(err); s.Code() != codes.Unavailable || !strings.Contains(s.Message(), want) {
			t.Errorf("the caller got %v, want %q", err, want)
		}
		if places := g.settled(1); places[parallax.UnmirroredRejected] != 1 {
			t.Errorf("places %v", places)
		}
	}
	f(func(s *mirror.Service) { s.Primary.Protocol = mirror.ProtocolHTTP1 }, "protocol: http2")
	f(func(s *mirror.Service) { s.Primary.URLs = mirror.LegURLs("http://127.0.0.1:1") }, "gave no answer")
}

// Without unsafe: allowed, gRPC calls reach the live leg alone.
func TestGRPCIsUnsafeUnlessDeclared(t *testing.T) {
	t.Parallel()
	g := startGRPC(t, func(s *mirror.Service) { s.Mirror.Unsafe = mirror.UnsafeNever })
	if got, _, err := g.say(t.Context(), "hello"); got != "hello" || err != nil {
		t.Errorf("the caller got %q, %v", got, err)
	}
	if places := g.settled(1); places[parallax.UnmirroredUnsafe] != 1 || g.candidate.calls.Load() != 0 {
		t.Errorf("places %v, candidate asked %d times", places, g.candidate.calls.Load())
	}
}

// What stands before a service may answer for it, in words that are none of gRPC.
func TestGRPCAnsweredBySomethingInBetween(t *testing.T) {
	t.Parallel()
	g := startGRPC(t, func(cfg *mirror.Service) {
		page := strings.Repeat("<html>no such service</html>", 8)
		cfg.Primary = at(speaker(t, func(w http.ResponseWriter, _ *http.Request) {
			w.WriteHeader(404)
			io.WriteString(w, page)
		}), "")
		cfg.Primary.Protocol = mirror.ProtocolHTTP2
	})
	if _, _, err := g.say(t.Context(), "hello"); status.Code(err) != codes.Unimplemented {
		t.Errorf("the caller got %v", err)
	}
	if places := g.settled(1); places[parallax.UnmirroredRejected] != 1 {
		t.Errorf("%v", places)
	}
}

// Calls that are odd in what they carry reach the caller as they are, and each is
// counted in one place.
func TestOddGRPCCalls(t *testing.T) {
	t.Parallel()
	f := func(want parallax.Place, call func(g *grpcRig) error, change ...func(*mirror.Service)) {
		t.Helper()
		g := startGRPC(t, change...)
		if err := call(g); err != nil {
			t.Errorf("%s: the caller got %v", want, err)
		}
		if places := g.settled(1); places[want] != 1 {
			t.Errorf("%s: %v", want, places)
		}
	}
	say := func(word string, options ...grpc.CallOption) func(g *grpcRig) error {
		return func(g *grpcRig) error {
			out := new(text)
			err := g.conn.Invoke(g.t.Context(), "/shop.Echo/Say", &text{Value: word}, out, options...)
			if err == nil && !strings.HasSuffix(out.Value, word) {
				err = fmt.Errorf("%.40q", out.Value)
			}
			return err
		}
	}
	f(parallax.InQueue, say("hello", grpc.UseCompressor(gzip.Name)))
	f(parallax.UnmirroredBodySize, say(strings.Repeat("x", 2<<20)))
	f(parallax.InQueue, say(""))
	f(parallax.UnmirroredStream, func(g *grpcRig) error { // no message at all
		s := g.talk(g.t.Context())
		if err := s.CloseSend(); err != nil {
			return err
		}
		if err := s.RecvMsg(new(text)); err != io.EOF {
			return fmt.Errorf("got %v", err)
		}
		return nil
	})
	// A candidate that streams where the primary gives one answer is cut off.
	endless := speaker(t, func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "application/grpc")
		for r.Context().Err() == nil {
			if _, err := w.Write([]byte{0, 0, 0, 0, 0}); err != nil {
				return
			}
			http.NewResponseController(w).Flush()
		}
	})
	f(parallax.InQueue, say("hello"), func(cfg *mirror.Service) {
		cfg.Candidate.URLs = mirror.LegURLs(endless)
		cfg.Mirror.Timeout = 200 * time.Millisecond
	})
}
