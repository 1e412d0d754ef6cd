//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"hash/crc32"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

const (
	uploadSize    = 20 << 20
	uploadsARound = 10
)

// uploader is a way for an upload to the primary.
type uploader struct {
	name    string
	title   string
	proxy   *proxy
	product *parallax // nil: it is something else
	copies  bool      // the candidate must get the same bytes
	times   []float64 // milliseconds, the median of each round
}

func uploads(ctx context.Context, o options, out io.Writer) (err error) {
	l, err := newLab()
	if err != nil {
		return err
	}
	defer l.closeInto(&err)
	legs, err := startLegs(l, answers)
	if err != nil {
		return err
	}
	ways, err := startUploaders(ctx, l, o, legs)
	if err != nil {
		return err
	}
	body := jsonOf(uploadSize)
	want := checksum(uploadSize, crc32.Checksum(body, crc32.MakeTable(crc32.Castagnoli)))
	for round := range o.rounds {
		for turn := range ways {
			w := ways[(turn+round)%len(ways)]
			o.progress("uploads, %s: %s", roundName(round+1, o.rounds), w.title)
			if err := w.round(ctx, round, body, want, legs); err != nil {
				return fmt.Errorf("%s: %w", w.title, err)
			}
		}
	}
	return printUploads(ctx, out, ways, o)
}

func startUploaders(ctx context.Context, l *lab, o options, legs legs) ([]*uploader, error) {
	primary, candidate := legs.primary.address, legs.candidate.address
	ways := []*uploader{{name: "direct", title: thePrimary, proxy: legs.primary}}
	for _, mirror := range []bool{false, true} {
		p, err := startNginx(ctx, l, primary, candidate, mirror)
		if err != nil {
			return nil, err
		}
		ways = append(ways, &uploader{name: p.name, title: p.name, proxy: p, copies: mirror})
	}
	for _, limit := range []struct {
		name, title, maxBody string
		copies               bool
	}{
		{"under", "Parallax, under the limit", "32MiB", true},
		{"over", "Parallax, over the limit", "1MiB", false},
	} {
		p, err := startParallax(ctx, l, o.binaries[0], limit.title, primary, candidate, mirrorOptions{maxBody: limit.maxBody})
		if err != nil {
			return nil, err
		}
		ways = append(ways, &uploader{name: limit.name, title: limit.title, proxy: &p.proxy, product: p, copies: limit.copies})
	}
	return ways, nil
}

// round uploads some bodies, one after the other, and looks at what the legs
// got. An upload before them opens the connections and is not timed.
func (w *uploader) round(ctx context.Context, round int, body []byte, want string, legs legs) error {
	client := &http.Client{Transport: &http.Transport{}, Timeout: patience}
	defer client.CloseIdleConnections()
	var paths []string
	var took []float64
	for i := range uploadsARound + 1 {
		path := fmt.Sprintf("%s%s-%d-%d", uploadsPath, w.name, round, i)
		start := time.Now()
		if err := upload(ctx, client, w.proxy.address, path, body); err != nil {
			return w.proxy.failure(err)
		}
		if i > 0 {
			took = append(took, float64(time.Since(start))/float64(time.Millisecond))
		}
		paths = append(paths, path)
	}
	w.times = append(w.times, median(took))
	if err := arrived(ctx, legs.primary, paths, want); err != nil {
		return err
	}
	if w.copies {
		if err := w.proxy.eventually(ctx, patience, func() error { return arrived(ctx, legs.candidate, paths, want) }); err != nil {
			return err
		}
	}
	return w.proxy.quiet(ctx, settleWithin)
}

func upload(ctx context.Context, client *http.Client, address, path string, body []byte) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+address+path, bytes.NewReader(body))
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	size, err := io.Copy(io.Discard, resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || size != answerSize) {
		err = fmt.Errorf("answered %s with %d bytes", resp.Status, size)
	}
	return err
}

// arrived reports an upload that a leg did not get, or not as it was sent.
func arrived(ctx context.Context, leg *proxy, paths []string, want string) error {
	var sums map[string]string
	if err := getJSON(ctx, "http://"+leg.address+sumsPath, &sums); err != nil {
		return err
	}
	for _, path := range paths {
		if got := sums[path]; got != want {
			return fmt.Errorf("%s got %q of %s, want %q", leg.name, got, path, want)
		}
	}
	return nil
}

func printUploads(ctx context.Context, out io.Writer, ways []*uploader, o options) error {
	fmt.Fprintf(out, "\n## Uploads of 20 MB, one after the other, medians of %d rounds of %d\n\n", o.rounds, uploadsARound)
	at := func(name string) []float64 {
		return ways[slices.IndexFunc(ways, func(w *uploader) bool { return w.name == name })].times
	}
	self := func(v float64) float64 { return v }
	mirror := at(nginxMirror)
	var why []string
	t := newTable("", "ms", "to nginx-mirror", "primary", "candidate", "unmirrored", "lost")
	for _, w := range ways {
		row := []string{w.title, figure(median(w.times)), times(medianRatio(w.times, mirror, self)), "same bytes", ""}
		if w.copies {
			row[4] = "same bytes"
		}
		if w.product != nil {
			if _, err := w.product.drained(ctx); err != nil {
				return err
			}
			a, err := w.product.accounting(ctx)
			if err != nil {
				return err
			}
			k := a.since(accounting{})
			row = append(row, percent(k.unmirrored), percent(k.lost))
			if k.why != "" {
				why = append(why, fmt.Sprintf("%s: not compared: %s.\n\n", w.title, k.why))
			}
		}
		t.add(row...)
	}
	fmt.Fprint(out, t, "\n", strings.Join(why, ""))
	wanted(out, "time under the limit to nginx-mirror", medianRatio(at("under"), mirror, self), 1, atMost)
	wanted(out, "time over the limit to nginx-mirror", medianRatio(at("over"), mirror, self), 1, atMost)
	return nil
}
