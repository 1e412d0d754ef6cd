package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"parallax/divergence"
	"parallax/reports"
)

// replay makes the verdict from exported evidence, which it fetches first where that is
// asked for, and prints it.
func (q *verdictQuery) replay(ctx context.Context, stdout io.Writer) int {
	if q.export != "" {
		if err := q.fetchEvidence(ctx); err != nil {
			fmt.Fprintf(q.stderr, "parallax: cannot export the evidence on %q: %v\n", q.service, err)
			return verdictError
		}
		q.from = q.export
	}
	found, err := replayFile(q.from)
	if err != nil {
		fmt.Fprintf(q.stderr, "parallax: %v\n", err)
		return verdictError
	}
	if !found.InForce {
		fmt.Fprintln(q.stderr, "parallax: the verdict in force was made without some ticks that were written late, or had them in another order; this is the verdict that holds from the next start of Parallax on")
	}
	v, err := q.asked(found.Verdict)
	if err == nil {
		err = q.printReplayed(stdout, found.Counted, v)
	}
	if err != nil {
		fmt.Fprintf(q.stderr, "parallax: %v\n", err)
		return verdictError
	}
	return verdictCode(v)
}

// printReplayed prints a verdict as that of a server, with a table of what the evidence
// holds: what was measured besides it is in the store.
func (q *verdictQuery) printReplayed(w io.Writer, counted divergence.Summary, v reports.Verdict) error {
	if q.format == "json" {
		return reports.WriteJSON(w, v)
	}
	return verdictFormats[q.format](w, reports.Build(divergence.Window{}, counted, v), v)
}

func replayFile(path string) (reports.Replayed, error) {
	file, err := os.Open(path)
	if err != nil {
		return reports.Replayed{}, fmt.Errorf("cannot read the evidence: %w", err)
	}
	defer file.Close()
	found, err := reports.Replay(file)
	if err != nil {
		return found, fmt.Errorf("%s: %w", path, err)
	}
	return found, nil
}

// fetchWithin bounds how long an export takes; the server has the same bound.
const fetchWithin = 15 * time.Minute

// fetchEvidence writes the evidence to the file, which is there as a whole or not at all.
func (q *verdictQuery) fetchEvidence(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, fetchWithin)
	defer cancel()
	target := q.server.JoinPath("api", "v1", "services", url.PathEscape(q.service), "evidence")
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, target.String(), nil)
	if err != nil {
		return err
	}
	bear(request, q.token)
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		raw, _ := io.ReadAll(io.LimitReader(answer.Body, 64<<10)) // what the problem says is all there is
		return refusal(target, answer, raw)
	}
	return writeWhole(q.export, answer.Body)
}

// writeWhole writes what is read to a new file in place of another one. Only its owner may
// read it: it names endpoints and what people said.
func writeWhole(path string, from io.Reader) error {
	file, err := os.CreateTemp(filepath.Dir(path), filepath.Base(path)+".*.new")
	if err != nil {
		return err
	}
	_, err = io.Copy(file, from)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(file.Name()))
	}
	return nil
}
