package main

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"parallax/divergence"
	"parallax/internal/rig"
)

// bird begins every secret of this test; birdSpelled are its spellings.
const bird = "c4n/ry"

var birdSpelled = []string{bird, "c4n%2Fry", "c4n%2fry", `c4n\/ry`, "eyJjNG4vcnki"}

// seen reports a secret in a text, with what stands around it.
func seen(t *testing.T, where, text string) {
	t.Helper()
	for _, spelled := range birdSpelled {
		if i := strings.Index(text, spelled); i >= 0 {
			t.Errorf("%s shows a secret: …%s…", where, text[max(i-80, 0):min(i+60, len(text))])
		}
	}
}

// secretBodies are requests that each leg echoes with secrets of its own: %[1]s is
// the bird, %[2]s the leg.
var secretBodies = []struct{ contentType, text string }{
	{"application/json", `{"token":"%[1]s-%[2]s","by":{"%[1]s-%[2]s":"%[2]s"},"note":"Bearer %[1]s-%[2]s","inner":"{\"password\":\"%[1]s-in\"}","leg":"%[2]s"}`},
	{"application/x-ndjson", "{\"api_key\":\"%[1]s-%[2]s\",\"leg\":\"%[2]s\"}\n{\"email\":\"%[1]s@%[2]s\"}\n"},
	{"application/x-www-form-urlencoded", "password=%[1]s-%[2]s&leg=%[2]s&user_token=c4n%%2Fry-form"},
	{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n%[1]s-%[2]s\r\n--b\r\nContent-Disposition: form-data; name=\"leg\"\r\n\r\n%[2]s\r\n--b--\r\n"},
	{"application/xml", "<a><password>%[1]s-%[2]s</password><leg>%[2]s</leg><email>%[1]s-%[2]s</email></a>"},
	{"application/graphql-response+json", `{"data":{"id_token":"eyJhbGciOiJIUzI1NiJ9.eyJjNG4vcnkiOjF9.c2lnbmF0dXJl","leg":"%[2]s","of":"%[1]s"},"errors":null,"secret":"%[1]s"}`},
	{"text/plain", "token=%[1]s-%[2]s leg %[2]s, token=c4n%%2Fry-%[2]s"},
}

// TestCanariesAreInNoSink sends secrets in every format and place, and looks for them
// wherever Parallax stores, writes or shows anything: all columns of all tables,
// files, the log, metrics, every page and answer, and what the verbs print.
func TestCanariesAreInNoSink(t *testing.T) {
	t.Parallel()
	legs := map[string]string{}
	for _, leg := range []string{"primary", "candidate", "secondary"} {
		back := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			for _, b := range secretBodies {
				if kind := r.Header.Get("Content-Type"); kind == b.contentType {
					w.Header().Set("Content-Type", kind)
					w.Header().Set("Set-Cookie", "sid="+bird+"-cookie-"+leg+"; Path=/")
					w.Header().Set("Location", "/next?access_token="+bird+"-location-"+leg)
					fmt.Fprintf(w, b.text, bird, leg)
				}
			}
		}))
		t.Cleanup(back.Close)
		legs[leg] = back.URL
	}
	address, dir := freeAddress(t), t.TempDir()
	p := rig.StartIn(t, dir, fmt.Sprintf("store: { listen: %q }\n", address)+shopConfig(legs["primary"], legs["candidate"],
		fmt.Sprintf(`  secondary: { urls: [%q], state: own, outbound: none, jobs: off }
  mirror: { unsafe: allowed }
  redact: { paths: ["$..email"] }
  identifiers: [{ name: login, from: ["POST /orders $.token"], in: ["GET /orders/{id} $.token"] }]
  rules: [{ path: "$.inner", decode: json, reason: JSON in a text, owner: team-shop }]
`, legs["secondary"])))
	const rounds = 6
	for i := range rounds {
		for _, b := range secretBodies {
			sendSecrets(t, p, b.contentType, fmt.Sprintf(b.text, bird, "caller"), i)
		}
	}
	sent := rounds * len(secretBodies)
	if r := settled(t, p, int64(sent)); r.Accounting.Compared["diverged"] == 0 || endpoint(t, r, "POST /orders").Noise == 0 {
		t.Fatalf("%+v; exchanges should diverge and have noise, so that both are stored", r.Endpoints)
	}
	seeTables(t, address)
	seePages(t, p)
	seeVerbs(t, p)
	p.Stop()
	seen(t, "the log", p.Log())
	noise, err := os.ReadFile(filepath.Join(dir, "parallax-state", "noise", "shop.json"))
	if err != nil || !strings.Contains(string(noise), "$.leg") {
		t.Errorf("nothing was learnt about noise, so that no secret was looked for there: %.200s, %v", noise, err)
	}
	for _, spelled := range birdSpelled {
		searchFiles(t, dir, spelled)
	}
}

func sendSecrets(t *testing.T, p *rig.Parallax, contentType, body string, i int) {
	t.Helper()
	target := fmt.Sprintf("%s/orders?access_token=%s-query&page=%d", p.Services["shop"], url.QueryEscape(bird), i)
	request, err := http.NewRequestWithContext(t.Context(), "POST", target, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	request.Header.Set("Content-Type", contentType)
	request.Header.Set("Authorization", "Bearer "+bird+"-primary")
	request.Header.Set("Cookie", "sid="+bird+"-cookie; theme=dark")
	request.Header.Set("X-Api-Key", bird+"-key")
	request.Header.Set("Referer", "https://u:"+url.QueryEscape(bird)+"@shop.example/")
	answer, err := http.DefaultTransport.RoundTrip(request)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	if text, _ := io.ReadAll(answer.Body); !bytes.Contains(text, []byte(bird)) {
		t.Fatalf("the caller's own answer was touched: %s", text)
	}
}

// seeTables reads every column of every table of the store.
func seeTables(t *testing.T, address string) {
	t.Helper()
	query := func(sql string) string { return get(t, "http://"+address+"/?query="+url.QueryEscape(sql)) }
	tables := strings.Fields(query("SHOW TABLES"))
	rows := map[string]bool{}
	for _, table := range tables {
		text := query("SELECT * FROM " + table + " FORMAT JSONEachRow")
		seen(t, "table "+table, text)
		rows[table] = text != ""
	}
	if !rows["comparisons"] || !rows["divergences"] || !rows["bodies"] {
		t.Errorf("tables with rows: %v", rows)
	}
}

// seePages reads all that the API and the pages answer to GET and to questions.
func seePages(t *testing.T, p *rig.Parallax) {
	t.Helper()
	var exchanges []divergence.ExchangeSummary
	if err := jsonList(p, "/api/v1/services/shop/exchanges?limit=200", "exchanges", &exchanges); err != nil || len(exchanges) == 0 {
		t.Fatalf("%d exchanges, %v", len(exchanges), err)
	}
	var issues []divergence.Issue
	if err := jsonList(p, "/api/v1/services/shop/issues", "issues", &issues); err != nil || len(issues) == 0 {
		t.Fatalf("%d issues, %v", len(issues), err)
	}
	const api = "/api/v1/services/shop"
	paths := []string{"/", "/openapi.json", "/metrics", "/readyz", "/api/v1/services", "/services/shop", "/services/shop/issues", "/services/shop/rules",
		"/services/shop/blind-spots", "/services/shop/endpoint?endpoint=" + url.QueryEscape("POST /orders")}
	for _, path := range []string{"/report", "/issues", "/exchanges", "/verdict", "/step", "/mirroring", "/rules", "/rules:suggest", "/identifiers:suggest"} {
		paths = append(paths, api+path)
	}
	var ruled struct{ Sets []divergence.RuleSet }
	if err := p.JSON(api+"/rules", &ruled); err != nil {
		t.Fatal(err)
	}
	for _, s := range ruled.Sets {
		paths = append(paths, api+"/rules/"+s.Version, "/services/shop/rules/"+s.Version)
	}
	for _, i := range issues {
		paths = append(paths, api+"/issues/"+i.Fingerprint, "/services/shop/issues/"+i.Fingerprint)
	}
	for _, x := range exchanges {
		paths = append(paths, api+"/exchanges/"+x.ID, "/services/shop/exchanges/"+x.ID)
	}
	redacted := false
	for _, path := range paths {
		answer, err := http.Get(p.Admin + path)
		if err != nil {
			t.Fatal(err)
		}
		text, _ := io.ReadAll(answer.Body)
		answer.Body.Close()
		if answer.StatusCode != http.StatusOK {
			t.Errorf("GET %s: %s %.200s", path, answer.Status, text)
		}
		redacted = redacted || bytes.Contains(text, []byte("redacted:"))
		seen(t, path, string(text))
	}
	if !redacted {
		t.Error("no page has a redacted value, so none was looked for where it would be")
	}
	for _, path := range []string{"/rules:rejudge", "/rules:blind-spots"} {
		var out json.RawMessage
		if err := postJSON(t, p, api+path, &out); err != nil {
			t.Error(err)
		}
		seen(t, path, string(out))
	}
	tried := url.Values{"rules": {`- { path: "$.leg", ignore: true, reason: legs }`}}
	answer, err := http.PostForm(p.Admin+"/services/shop/rules", tried)
	if err != nil {
		t.Fatal(err)
	}
	defer answer.Body.Close()
	text, _ := io.ReadAll(answer.Body)
	if answer.StatusCode != http.StatusOK {
		t.Errorf("a dry run on the page: %s %.300s", answer.Status, text)
	}
	seen(t, "a dry run on the page", string(text))
}

// seeVerbs reads what the verbs print, in every format they have.
func seeVerbs(t *testing.T, p *rig.Parallax) {
	t.Helper()
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	if err := os.WriteFile(rules, []byte("- { path: \"$.leg\", regex: \"^p\", reason: legs }\n- { path: \"$.token\", tolerance: {abs: 1}, reason: none }\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	verbs := [][]string{{"rules", "suggest"}, {"rules", "suggest-identifiers"}, {"rules", "blind-spots"}}
	for _, format := range []string{"text", "json", "markdown", "junit"} {
		verbs = append(verbs, []string{"verdict", "--format", format})
	}
	for _, format := range []string{"text", "json", "markdown"} {
		verbs = append(verbs, []string{"finish", "--format", format})
	}
	for _, format := range []string{"text", "json"} {
		verbs = append(verbs, []string{"rules", "dry-run", "--format", format, rules}, []string{"rules", "rejudge", "--format", format, rules})
	}
	for _, verb := range verbs {
		at := 1
		if verb[0] == "rules" {
			at = 2
		}
		args := append(append(append([]string{}, verb[:at]...), "--server", p.Admin, "--service", "shop"), verb[at:]...)
		var out, errs bytes.Buffer
		if run(t.Context(), args, os.Getenv, strings.NewReader(""), &out, &errs); out.Len() == 0 {
			t.Errorf("parallax %v printed nothing: %s", verb, &errs)
		}
		seen(t, fmt.Sprintf("parallax %v", verb), cmp.Or(out.String(), "-")+errs.String())
	}
}
