package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"parallax/compare"
	"parallax/internal/atomicfile"
)

// noiseFile is where a service keeps what was learnt about noise: in a folder of its
// own, since a service may be named as one likes and states are worth more.
func (s *server) noiseFile(service string) string {
	return filepath.Join(s.cfg.StateDir, "noise", url.PathEscape(service)+".json")
}

// readNoise takes up what a service had learnt about noise. It is learnt anew when
// there is no file, and when there is one that cannot be read, which is logged: a
// start never fails by it.
func (s *server) readNoise(service string, into *compare.NoiseModel) {
	path := s.noiseFile(service)
	text, err := readBounded(path, compare.MaxNoiseText)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	if err == nil {
		err = json.Unmarshal(text, into)
	}
	if err != nil {
		s.log.Warn("what was learnt about noise cannot be read and is learnt anew", "service", service, "file", path, "error", err)
	}
}

// readBounded reads a file that is no longer than max bytes.
func readBounded(path string, max int64) ([]byte, error) {
	file, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, max+1))
	if err == nil && int64(len(text)) > max {
		err = fmt.Errorf("it is longer than %d MiB", max>>20)
	}
	return text, err
}

// writeNoise writes what all services have learnt. A process that was replaced leaves
// the files to the new one.
func (s *server) writeNoise() error {
	if s.handed.Load() {
		return nil
	}
	var errs []error
	for _, svc := range s.current.Load().services {
		model := svc.terms.Load().compares.Noise
		if !model.Learnt() {
			continue
		}
		text, err := json.Marshal(model)
		if err == nil {
			err = atomicfile.Replace(s.noiseFile(svc.name), text)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("cannot keep what service %s has learnt about noise: %w", svc.name, err))
		}
	}
	return errors.Join(errs...)
}

// keepNoiseEvery is how much of what was learnt about noise the end of a process
// without a shutdown costs.
const keepNoiseEvery = 30 * time.Second

// keepNoise writes what was learnt about noise now and then until ctx ends, and
// returns nil. A failure is logged once until it is over.
func (s *server) keepNoise(ctx context.Context) error {
	beat := time.NewTicker(keepNoiseEvery)
	defer beat.Stop()
	failing := false
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
		err := s.writeNoise()
		if err != nil && !failing {
			s.log.Warn("what is learnt about noise would be forgotten at a restart", "error", err)
		}
		failing = err != nil
	}
}
