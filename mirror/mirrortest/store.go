package mirrortest

import (
	"bytes"
	"fmt"
	"net"
	"sync"
	"time"
)

// Store is a service with state of its own: it keeps one body for each path. PUT
// replaces it and GET tells it, with the number of the write it stems from.
type Store struct {
	// Delay is how long after its request a write takes effect and is answered.
	Delay time.Duration

	mu   sync.Mutex
	kept map[string]kept
}

type kept struct {
	writes int
	body   []byte
}

// Answer is the store as a backend's answer.
func (s *Store) Answer(b *Backend, conn net.Conn, r *Seen) bool {
	if r.Method == "PUT" && !s.write(b, r) {
		return false
	}
	s.mu.Lock()
	k := s.kept[r.Target]
	s.mu.Unlock()
	_, err := conn.Write(Message(200, fmt.Sprintf(`{"write":%d,"body":%q}`, k.writes, k.body), "Content-Type: application/json"))
	return err == nil
}

// write takes effect after the delay, unless the backend stops before.
func (s *Store) write(b *Backend, r *Seen) bool {
	if s.Delay > 0 {
		due := time.NewTimer(s.Delay)
		defer due.Stop()
		select {
		case <-due.C:
		case <-b.Stopped():
			return false
		}
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.kept == nil {
		s.kept = map[string]kept{}
	}
	s.kept[r.Target] = kept{writes: s.kept[r.Target].writes + 1, body: bytes.Clone(r.Body)}
	return true
}
