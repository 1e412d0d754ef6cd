package main

import (
	"context"
	"encoding/json"
	"errors"
	"io/fs"
	"net/url"
	"path/filepath"
	"time"

	"parallax/compare/effects/postgres/verify"
	"parallax/divergence"
	"parallax/internal/atomicfile"
	"parallax/reports"
)

const (
	tablesBeat = 5 * time.Second // between looks whether a comparison is due
	maxTables  = 4 << 20         // bytes of a file with what was found
	firstFound = 20              // differences of a table that are kept
)

// tablesFile is where a service keeps what comparing whole tables found last.
func (s *server) tablesFile(service string) string {
	return filepath.Join(s.cfg.StateDir, "verify", url.PathEscape(service)+".json")
}

// verifyTables compares whole tables of the services that want it, one service at a
// time, when it is due, until ctx ends.
func (s *server) verifyTables(ctx context.Context) error {
	beat := time.NewTicker(tablesBeat)
	defer beat.Stop()
	for {
		for _, svc := range s.current.Load().services {
			s.verifyDue(ctx, svc)
		}
		select {
		case <-ctx.Done():
			return nil
		case <-beat.C:
		}
	}
}

// verifyDue compares the tables of a service if it is due, and keeps what that found.
func (s *server) verifyDue(ctx context.Context, svc *service) {
	terms := svc.terms.Load()
	every := terms.cfg.Effects.Verify.Every
	if every <= 0 || !terms.cfg.Effects.Configured() || s.handed.Load() || ctx.Err() != nil {
		return
	}
	last := svc.tables.Load()
	if last == nil {
		last = s.readTables(svc)
	}
	if s.now().Sub(last.Ended) < every {
		return
	}
	found, drift := s.verifyService(ctx, terms)
	if ctx.Err() != nil {
		return // it was not done to its end, and is due at the next start
	}
	svc.tables.Store(found)
	svc.drift.Tables(found.Began, found.Ended, drift)
	if found.Error != "" {
		s.log.Warn("whole tables cannot be compared", "service", svc.name, "error", found.Error)
	} else {
		s.log.Info("whole tables were compared", "service", svc.name, "differences", found.Differences(), "seconds", found.Ended.Sub(found.Began).Seconds())
	}
	text, err := json.Marshal(found)
	if err == nil {
		err = atomicfile.Replace(s.tablesFile(svc.name), text)
	}
	if err != nil {
		s.log.Warn("what comparing whole tables found would be forgotten at a restart", "service", svc.name, "error", err)
	}
}

// readTables takes up what was found before a restart; nothing if there is no file, or
// one that cannot be read.
func (s *server) readTables(svc *service) *reports.Tables {
	found := &reports.Tables{}
	text, err := readBounded(s.tablesFile(svc.name), maxTables)
	if errors.Is(err, fs.ErrNotExist) {
		return found
	}
	if err == nil {
		err = json.Unmarshal(text, found)
	}
	if err != nil {
		s.log.Warn("what comparing whole tables found cannot be read; they are compared anew", "service", svc.name, "error", err)
		return &reports.Tables{}
	}
	svc.tables.Store(found)
	return found
}

// verifyService compares the tables of a service, and returns besides what people are told
// where its rows differ.
func (s *server) verifyService(ctx context.Context, t *terms) (*reports.Tables, []divergence.TableFound) {
	out, drift := &reports.Tables{Began: s.now().UTC(), Tables: []reports.TableState{}}, []divergence.TableFound(nil)
	c := t.cfg.Effects
	groups, _, err := verify.Groups(c, "")
	var result verify.Result
	if err == nil {
		result, err = verify.Run(ctx, groups, verify.Options{
			MinAge: c.Verify.MinAge, Rate: float64(c.Verify.Rate), Rules: t.compares.Rules, Redactor: t.compares.Redactor, Now: s.now,
		})
	}
	if err != nil {
		out.Error = err.Error()
	}
	for _, table := range result.Tables {
		state := reports.TableState{
			Table: table.Table, Candidate: table.Candidate, By: table.By, Rows: table.Rows[0],
			Differences: len(table.Differences), More: table.More, Young: table.Young,
		}
		for _, d := range table.Differences[:min(len(table.Differences), firstFound)] {
			state.First = append(state.First, differenceLine(d))
		}
		out.Tables = append(out.Tables, state)
		differs := divergence.TableFound{Table: table.Table, All: table.All}
		for _, p := range table.Places {
			differs.Rows = append(differs.Rows, divergence.RowFound{Key: p.Key, Place: p.At, Only: p.Only})
		}
		drift = append(drift, differs)
	}
	out.Ended = s.now().UTC()
	return out, drift
}
