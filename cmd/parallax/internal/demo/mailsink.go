package demo

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync/atomic"
	"time"
)

// mailSink takes the mails that leave the shop, and keeps none.
type mailSink struct {
	arrived atomic.Int64
	server  http.Server
	addr    string
}

// Bounds of what a mail may be and take.
const (
	mailPatience = 10 * time.Second
	maxMail      = 1 << 20
)

// startMailSink takes mails on a free port of the loopback interface until stop.
func startMailSink() (*mailSink, error) {
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, fmt.Errorf("cannot take the shop's mails: %w", err)
	}
	s := &mailSink{addr: listener.Addr().String()}
	s.server = http.Server{Handler: s, ReadTimeout: mailPatience, WriteTimeout: mailPatience}
	go func() { _ = s.server.Serve(listener) }() // stop ends it; without it mails fail, and that is found
	return s, nil
}

// ServeHTTP takes one mail.
func (s *mailSink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if _, err := io.Copy(io.Discard, http.MaxBytesReader(w, r.Body, maxMail)); err != nil {
		w.WriteHeader(http.StatusRequestEntityTooLarge)
		return
	}
	s.arrived.Add(1)
	w.WriteHeader(http.StatusAccepted)
}

// stop ends it, with what is under way.
func (s *mailSink) stop() {
	ctx, cancel := context.WithTimeout(context.Background(), mailPatience)
	defer cancel()
	if s.server.Shutdown(ctx) != nil {
		_ = s.server.Close()
	}
}
