package main

import (
	"bytes"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"

	"parallax/internal/rig"
)

// TestReport prints what a running Parallax knows, in every form; the HTML file has the issues with
// their values.
func TestReport(t *testing.T) {
	t.Parallel()
	p, _ := observed(t)
	for i := range 40 {
		answer, err := http.Get(p.Services["shop"] + []string{"/prices", "/orders/7"}[i%2])
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, answer.Body)
		answer.Body.Close()
	}
	print := func(format string) string {
		t.Helper()
		var out, errs bytes.Buffer
		if code := run(t.Context(), []string{"report", "--server", p.Admin, "--service", "shop", "--format", format}, os.Getenv, strings.NewReader(""), &out, &errs); code != exitGood || errs.Len() > 0 {
			t.Errorf("%s: %d, %s", format, code, errs.String())
		}
		return out.String()
	}
	rig.Eventually(t, "everything is compared", func() error {
		var r fleetReport
		err := p.JSON("/api/v1/services/shop/report", &r)
		if err == nil && r.compared() != 40 {
			return io.ErrUnexpectedEOF
		}
		return err
	})
	for format, want := range map[string]string{
		"text": "shop: ", "markdown": "## shop: ", "json": `"service": "shop"`, "junit": "<testsuite", "html": "<!doctype html>",
	} {
		if text := print(format); !strings.Contains(text, want) || !strings.Contains(text, "GET /prices") {
			t.Errorf("%s lacks %q or an endpoint:\n%.500s", format, want, text)
		}
	}
	if page := print("html"); !strings.Contains(page, "$.by") || !strings.Contains(page, "candidate") {
		t.Error("the page lacks what differs")
	}
}

// TestReportIsAskedFor rightly.
func TestReportIsAskedFor(t *testing.T) {
	t.Parallel()
	f := func(want string, args ...string) {
		t.Helper()
		var errs bytes.Buffer
		if code := run(t.Context(), append([]string{"report"}, args...), os.Getenv, strings.NewReader(""), io.Discard, &errs); code == exitGood || !strings.Contains(errs.String(), want) {
			t.Errorf("%v: %d, %q, want %q", args, code, errs.String(), want)
		}
	}
	f("report needs --server", "--service", "shop")
	f("report needs --service", "--server", "http://127.0.0.1:1")
	f(`there is no format "pdf"; there are text, markdown, json, junit and html`, "--server", "http://127.0.0.1:1", "--service", "shop", "--format", "pdf")
	f(`report takes no argument "x"`, "x")
	f(`cannot read the report on "shop"`, "--server", "http://127.0.0.1:1", "--service", "shop")
}
