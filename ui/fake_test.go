package ui

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"parallax"
	"parallax/compare"
	"parallax/divergence"
	"parallax/reports"
)

// now is when the tests take place.
var now = time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)

// fakeJudge holds a verdict until it is given another.
type fakeJudge struct {
	mu          sync.Mutex
	verdict     reports.Verdict
	exportFails string // at once, or later
	newer       chan struct{}
	waiting     chan struct{} // receives when somebody begins to wait
}

func newFakeJudge(v reports.Verdict) *fakeJudge {
	return &fakeJudge{verdict: v, newer: make(chan struct{}), waiting: make(chan struct{}, 16)}
}

func (j *fakeJudge) Verdict() reports.Verdict {
	j.mu.Lock()
	defer j.mu.Unlock()
	return j.verdict
}

// Export writes two lines, or fails after the first, or before it.
func (j *fakeJudge) Export(_ context.Context, w io.Writer) error {
	j.mu.Lock()
	defer j.mu.Unlock()
	if j.exportFails == "at once" {
		return divergence.ErrAway
	}
	if _, err := io.WriteString(w, "{\"head\":{}}\n"); err != nil || j.exportFails != "" {
		return errors.Join(err, divergence.ErrAway)
	}
	_, err := io.WriteString(w, "{\"end\":{}}\n")
	return err
}

func (j *fakeJudge) set(d reports.Decision) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.verdict.Decision = d
	close(j.newer)
	j.newer = make(chan struct{})
}

func (j *fakeJudge) Wait(ctx context.Context, seen reports.Decision) reports.Verdict {
	for {
		j.mu.Lock()
		v, newer := j.verdict, j.newer
		j.mu.Unlock()
		if v.Decision != seen {
			return v
		}
		j.waiting <- struct{}{}
		select {
		case <-newer:
		case <-ctx.Done():
			return v
		}
	}
}

// fakeStepper remembers what it was told.
type fakeStepper struct {
	mu    sync.Mutex
	state reports.State
	err   error

	refuse error // a rollback, unless by force
}

func (s *fakeStepper) State() reports.State {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.state
}

func (s *fakeStepper) SetStep(_ context.Context, step int, who, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.state = reports.State{Step: step, Who: who, Reason: reason, At: now}
	return nil
}

func (s *fakeStepper) SetGroupStep(_ context.Context, group string, step int, who, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.err != nil {
		return s.err
	}
	s.state = s.state.WithStep(step, now, group)
	s.state.Who, s.state.Reason = who, reason
	return nil
}

func (s *fakeStepper) Rollback(ctx context.Context, who, reason string) error {
	if s.refuse != nil {
		return s.refuse
	}
	return s.ForceRollback(ctx, who, reason)
}

func (s *fakeStepper) ForceRollback(_ context.Context, who, reason string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.state = reports.State{Who: who, Reason: reason, At: now, Paused: true}
	return s.err
}

// fakePromotion gives advice, and remembers what it was told.
type fakePromotion struct {
	course reports.Course
	steps  *fakeStepper
	told   []string
	err    error
}

func (p *fakePromotion) Course() reports.Course { return p.course }

func (p *fakePromotion) Pause(_ context.Context, who, reason string) error {
	return p.tell("pause", true, who, reason)
}

func (p *fakePromotion) Resume(_ context.Context, who, reason string) error {
	return p.tell("resume", false, who, reason)
}

func (p *fakePromotion) tell(verb string, paused bool, who, reason string) error {
	if p.err != nil {
		return p.err
	}
	p.steps.mu.Lock()
	defer p.steps.mu.Unlock()
	p.steps.state.Paused = paused
	p.told = append(p.told, verb+" "+who+": "+reason)
	return nil
}

// fakeEvidence gives the judge a verdict on nothing when it is restarted.
type fakeEvidence struct {
	judge       *fakeJudge
	who, reason string // of the last restart
	err         error
}

func (e *fakeEvidence) RestartEvidence(_ context.Context, who, reason string) error {
	if e.err != nil {
		return e.err
	}
	e.who, e.reason = who, reason
	e.judge.mu.Lock()
	defer e.judge.mu.Unlock()
	v := &e.judge.verdict
	v.Since, v.Reasons, v.Endpoints = now, []reports.Reason{{Code: reports.NoTraffic}}, nil
	return nil
}

// fakeMirroring remembers what it was told.
type fakeMirroring struct {
	mu    sync.Mutex
	state MirroringState
	err   error
}

func (m *fakeMirroring) State() MirroringState {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.state
}

func (m *fakeMirroring) Pause(_ context.Context, who, reason string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = MirroringState{Paused: true, By: "person", Who: who, Reason: reason, At: now}
	return m.err
}

func (m *fakeMirroring) Resume(context.Context, string, string) error {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.state = MirroringState{}
	return m.err
}

// fakeStore answers from lists; err, if set, is what every call answers.
type fakeStore struct {
	lone      bool                   // one exchange alone shows each issue
	values    map[string][][2]string // by endpoint and path
	summary   divergence.Summary
	issues    []divergence.Issue
	exchanges []divergence.ExchangeSummary
	details   map[string]divergence.ExchangeDetail
	effects   divergence.EffectsSummary
	written   divergence.Written
	signed    []divergence.SignOff
	changes   []divergence.Decision
	err       error
	block     chan struct{} // Summary waits until it is closed or the context ends; nil: it does not
	blocked   chan struct{} // receives when Summary begins to wait

	mu        sync.Mutex
	decisions []divergence.IssueDecision
	filter    divergence.ExchangeFilter // of the last call of Exchanges
	window    divergence.Window         // of the last call of Summary
}

func (f *fakeStore) Summary(ctx context.Context, _ string, w divergence.Window) (divergence.Summary, error) {
	f.mu.Lock()
	f.window = w
	f.mu.Unlock()
	if f.block != nil {
		f.blocked <- struct{}{}
		select {
		case <-f.block:
		case <-ctx.Done():
			return divergence.Summary{}, ctx.Err()
		}
	}
	return f.summary, f.err
}

func (f *fakeStore) Issues(_ context.Context, _ string, filter divergence.IssueFilter) ([]divergence.Issue, error) {
	var out []divergence.Issue
	for _, i := range f.issues {
		if (filter.Endpoint == "" || filter.Endpoint == i.Endpoint) && (filter.Suppressed || i.Count > 0) &&
			(filter.State == "" || filter.State == i.State) && (filter.Cause == "" || filter.Cause == i.Cause) {
			out = append(out, i)
		}
	}
	return out, f.err
}

func (f *fakeStore) PlaceValues(_ context.Context, _ string, filter divergence.PlaceFilter) ([][2]string, error) {
	return f.values[filter.Endpoint+" "+filter.Path], f.err
}

func (f *fakeStore) Values(context.Context, string, string) ([]divergence.ValueExample, error) {
	return []divergence.ValueExample{
		{Primary: "17", Candidate: `"17"`, Path: "$.id", Exchange: firstID, Received: now, Kept: true, Exchanges: 200},
		{Primary: "18", Candidate: `"18"`, Path: "$.id", Exchange: secondID, Received: now, Exchanges: 98},
	}, f.err
}

// Contrast has the issue with everything that is asked for in dollars.
func (f *fakeStore) Contrast(_ context.Context, _ string, i divergence.Issue) (showing, others []divergence.Sampled, err error) {
	sample := func(target string) divergence.Sampled {
		call := &parallax.Call{Request: parallax.Request{Method: "GET", Target: target}, Response: parallax.Response{Status: 200}}
		return divergence.Sampled{ExchangeSummary: divergence.ExchangeSummary{Endpoint: i.Endpoint}, Call: call}
	}
	for n := range 20 {
		showing = append(showing, sample(fmt.Sprintf("/orders/%d?currency=<USD>", n)))
		others = append(others, sample(fmt.Sprintf("/orders/%d?currency=EUR", n)))
	}
	if f.lone {
		showing = showing[:1]
	}
	return showing, others, f.err
}

func (f *fakeStore) History(_ context.Context, _, fingerprint string) ([]divergence.IssueDecision, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out []divergence.IssueDecision
	for _, d := range f.decisions {
		if d.Fingerprint == fingerprint {
			out = append(out, d)
		}
	}
	return out, f.err
}

func (f *fakeStore) Decide(_ context.Context, _ string, decisions ...divergence.IssueDecision) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.decisions = append(f.decisions, decisions...)
	return f.err
}

func (f *fakeStore) SignOff(_ context.Context, _ string, s divergence.SignOff) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.signed = append(f.signed, s)
	return f.err
}

func (f *fakeStore) Issue(_ context.Context, _, fingerprint string, _ time.Time) (divergence.Issue, error) {
	for _, i := range f.issues {
		if i.Fingerprint == fingerprint {
			return i, f.err
		}
	}
	return divergence.Issue{}, fmt.Errorf("issue %q: %w", fingerprint, divergence.ErrNotFound)
}

func (f *fakeStore) Exchanges(_ context.Context, _ string, filter divergence.ExchangeFilter) ([]divergence.ExchangeSummary, error) {
	f.mu.Lock()
	f.filter = filter
	f.mu.Unlock()
	var out []divergence.ExchangeSummary
	for _, x := range f.exchanges {
		if (filter.Outcome == "" || filter.Outcome == x.Outcome) && (filter.Endpoint == "" || filter.Endpoint == x.Endpoint) {
			out = append(out, x)
		}
	}
	if filter.Limit > 0 {
		out = out[:min(len(out), filter.Limit)]
	}
	return out, f.err
}

func (f *fakeStore) Changes(_ context.Context, _ string, limit int) ([]divergence.Decision, error) {
	if f.err != nil {
		return nil, f.err
	}
	return f.changes[:min(limit, len(f.changes))], nil
}

func (f *fakeStore) Effects(context.Context, string, divergence.Window) (divergence.EffectsSummary, error) {
	return f.effects, f.err
}

func (f *fakeStore) Written(context.Context, string, divergence.WrittenFilter) (divergence.Written, error) {
	return f.written, f.err
}

func (f *fakeStore) Exchange(_ context.Context, _ string, id parallax.ID) (divergence.ExchangeDetail, error) {
	d, ok := f.details[id.String()]
	if !ok && f.err == nil {
		return d, fmt.Errorf("exchange %s: %w", id, divergence.ErrNotFound)
	}
	return d, f.err
}

func (f *fakeStore) RateOverTime(_ context.Context, _, endpoint string, w divergence.Window, buckets int) ([]divergence.RatePoint, error) {
	random := rand.New(rand.NewPCG(7, uint64(len(endpoint))))
	points := make([]divergence.RatePoint, buckets)
	step := w.To.Sub(w.From) / time.Duration(buckets)
	for i := range points {
		p := &points[i]
		p.At, p.N = w.From.Add(time.Duration(i)*step), int64(300+random.IntN(160)+i*2)
		if i > 20 && i < 26 {
			p.N = 0
			continue
		}
		p.K = int64(float64(p.N)*0.02*random.Float64()) + int64(i/18)
		p.Rate = float64(p.K) / float64(p.N)
	}
	return points, f.err
}

const (
	firstID  = "019aa6a0-1111-7abc-8def-000000000001"
	secondID = "019aa6a0-1111-7abc-8def-000000000002"
	binaryID = "019aa6a0-1111-7abc-8def-000000000003"
	hostile  = `GET /items/{id}<script>alert("x")</script>`
)

// legLine is how a leg answered.
func legLine(leg parallax.Leg, status int, ms float64) divergence.LegLine {
	return divergence.LegLine{Leg: leg.String(), Status: status, Seconds: ms / 1000, Version: map[parallax.Leg]string{parallax.Candidate: "2.26.0"}[leg]}
}

func answer(status int, contentType, body string, headers ...parallax.Field) *parallax.Call {
	return &parallax.Call{
		Request: parallax.Request{
			Method: "GET", Target: "/orders/17?expand=items", Host: "shop.example", Proto: "HTTP/1.1",
			Headers: []parallax.Field{{Name: "Accept", Value: "application/json"}, {Name: "Authorization", Value: "Bearer redacted:5c1f"}},
		},
		Response: parallax.Response{
			Status:  status,
			Headers: append([]parallax.Field{{Name: "Content-Type", Value: contentType}, {Name: "Server", Value: "shop"}}, headers...),
			Body:    parallax.Body{Bytes: []byte(body), Size: int64(len(body)), SHA256: sha256.Sum256([]byte(body))},
		},
		Start: 180 * time.Microsecond, First: 2300 * time.Microsecond, Done: 2900 * time.Microsecond,
	}
}

const oldBody = `{"id":17,"customer":{"name":"Ada","email":"redacted:9be0"},"state":"paid","total":129.90,"currency":"EUR",
"items":[{"sku":"A-1","price":9.99,"count":1},{"sku":"B-7","price":59.95,"count":2},{"sku":"C-3","price":0.01,"count":1}],"note":"<script>alert(1)</script>","tags":["new","eu","web","b2c"],"created":"2026-11-21T11:58:31Z"}`

const newBody = `{"id":"17","customer":{"name":"Ada","email":"redacted:9be0"},"total":129.9,"currency":"EUR","status":"paid",
"items":[{"sku":"A-1","price":9.99,"count":1},{"sku":"B-7","price":59.96,"count":2},{"sku":"C-3","price":0.01,"count":1}],"note":"<script>alert(1)</script>","tags":["new","eu","web","b2c"],"created":"2026-11-21T11:58:32Z"}`

func fakeDetails(list []divergence.ExchangeSummary) map[string]divergence.ExchangeDetail {
	details := map[string]divergence.ExchangeDetail{}
	for _, x := range list {
		details[x.ID] = divergence.ExchangeDetail{ExchangeSummary: x}
	}
	first := details[firstID]
	first.Differences = []divergence.DifferenceLine{
		{Path: "$.id", Normal: "$.id", Kind: "type", Class: "number became string", Primary: "17", Candidate: `"17"`, Fingerprint: "1-0123456789abcdef"},
		{Path: "$.items[1].price", Normal: "$.items[*].price", Kind: "changed", Primary: "59.95", Candidate: "59.96", Fingerprint: "1-00000000000000aa"},
		{Path: "$.state", Normal: "$.state", Kind: "missing", Primary: `"paid"`, Fingerprint: "1-00000000000000ab"},
		{Path: "$.status", Normal: "$.status", Kind: "extra", Candidate: `"paid"`, Fingerprint: "1-00000000000000ac"},
		{Path: "$.created", Normal: "$.created", Kind: "changed", Primary: `"2026-11-21T11:58:31Z"`, Candidate: `"2026-11-21T11:58:32Z"`, By: "noise", Detail: "primary and secondary differ here in 212 of 214 exchanges"},
		{Path: "header:server", Normal: "header:server", Kind: "changed", Primary: "shop", Candidate: "<img src=x onerror=alert(1)>", By: "rule", Detail: "rules[2]: {path: header:server, ignore: true}"},
	}
	first.Exchange = &parallax.Exchange{Legs: [parallax.Legs]*parallax.Call{
		answer(200, "application/json", oldBody),
		answer(200, "application/json; charset=utf-8", newBody, parallax.Field{Name: "X-Served-By", Value: "<img src=x onerror=alert(1)>"}),
		answer(200, "application/json", oldBody),
	}}
	details[firstID] = first
	binary := details[binaryID]
	binary.Exchange = &parallax.Exchange{Legs: [parallax.Legs]*parallax.Call{
		answer(200, "image/png", "\x89PNG\r\n\x1a\n\x00\x01"), answer(200, "image/png", "\x89PNG\r\n\x1a\n\x00\x02"),
	}}
	details[binaryID] = binary
	return details
}

// endpointStats makes the figures of an endpoint.
func endpointStats(name string, matched, diverged, not, noise int64, p, c float64) divergence.EndpointStats {
	return divergence.EndpointStats{
		Endpoint: name, Received: matched + diverged + not, Compared: matched + diverged + not,
		Matched: matched, Diverged: diverged, NotComparable: not, NotComparableReasons: map[string]int64{"truncated": not}, Noise: noise,
		Primary: divergence.Latency{P50: p / 2, P95: p, P99: 2 * p}, Candidate: divergence.Latency{P50: c / 2, P95: c, P99: 2 * c},
		StatusMatrix: map[string]int64{"200/200": matched, "200/500": diverged, "404/404": not, "200/timeout": 3},
		First:        now.Add(-3 * time.Hour), Last: now.Add(-time.Second),
	}
}

func newFakeStore() *fakeStore {
	f := &fakeStore{
		summary: divergence.Summary{
			Accounting: divergence.Accounting{
				Received: 61874, Unmirrored: map[string]int64{"unsafe": 4210, "sample": 120},
				Compared: map[string]int64{"match": 56800, "diverged": 421, "not_comparable": 306},
				Lost:     map[string]int64{"queue_full": 3}, InFlight: 14, At: map[string]int64{"worker": 10, "live": 4},
			},
			Endpoints: []divergence.EndpointStats{
				endpointStats("GET /orders/{id}", 30200, 308, 12, 30100, 0.0041, 0.0039),
				endpointStats("GET /orders", 12030, 104, 0, 0, 0.012, 0.0188),
				endpointStats("GET /search", 8020, 9, 290, 4120, 0.131, 0.118),
				endpointStats(hostile, 4550, 0, 4, 0, 0.0021, 0.0022),
				endpointStats("GET /a/very/long/path/that/goes/on/and/on/{tenant}/accounts/{account}/statements/{statement}/lines/{line}/attachments", 1820, 0, 0, 0, 0.0009, 0.0008),
				endpointStats("GET /health", 180, 0, 0, 0, 0.0002, 0.00021),
				{Endpoint: "POST /orders", Received: 4210, Unmirrored: map[string]int64{"unsafe": 4210}},
			},
		},
		issues: []divergence.Issue{
			{Fingerprint: "1-0123456789abcdef", Cause: "1-00000000000000c1", Endpoint: "GET /orders/{id}", Path: "$.id", Kind: "type", Class: "number became string", State: "open", Count: 298, First: now.Add(-time.Hour), Last: now, Primary: "17", Candidate: `"17"`, Examples: []string{firstID, secondID}},
			{Fingerprint: "1-00000000000000aa", Cause: "1-00000000000000c2", Endpoint: "GET /orders/{id}", Path: "$.items[*].price", Kind: "changed", State: "open", Count: 41, First: now.Add(-time.Hour), Last: now, Primary: "59.95", Candidate: "59.96", Examples: []string{firstID}},
			{Fingerprint: "1-00000000000000ad", Cause: "1-00000000000000c3", Endpoint: "GET /orders", Path: "status", Kind: "changed", Class: "2xx became 5xx", State: "open", Count: 38, First: now.Add(-time.Hour), Last: now, Primary: "200", Candidate: "500", Examples: []string{secondID}},
			{Fingerprint: "1-00000000000000ae", Cause: "1-00000000000000c1", Endpoint: hostile, Path: `$["<b>bold</b>"]`, Kind: "changed", State: "open", Count: 9, First: now.Add(-time.Hour), Last: now, Primary: `"<script>alert(1)</script>"`, Candidate: `"javascript:alert(1)"`, Examples: []string{firstID}},
			{Fingerprint: "1-00000000000000af", Cause: "1-00000000000000c4", Endpoint: "GET /orders/{id}", Path: "$.created", Kind: "changed", State: "open", Suppressed: 30100, By: []string{"noise"}, First: now.Add(-time.Hour), Last: now, Primary: `"2026-11-21T11:58:31Z"`, Candidate: `"2026-11-21T11:58:32Z"`, Examples: []string{firstID}},
		},
	}
	for i, id := range []string{firstID, secondID, binaryID} {
		f.exchanges = append(f.exchanges, divergence.ExchangeSummary{
			ID: id, Received: now.Add(-time.Duration(i) * time.Minute), Service: "shop", Endpoint: "GET /orders/{id}", Live: "primary", Source: "proxy",
			Outcome: "diverged", Divergences: 4, Noise: 1, Ruled: i, RulesHash: "b3c1", Kept: i != 1,
			Legs: []divergence.LegLine{legLine(parallax.Primary, 200, 2.1), legLine(parallax.Candidate, 200, 1.9), legLine(parallax.Secondary, 200, 2.4)},
		})
	}
	f.exchanges[1].Legs[1] = divergence.LegLine{Leg: "candidate", Error: "timeout"}
	f.details = fakeDetails(f.exchanges)
	return f
}

func fakeVerdict() reports.Verdict {
	diverges := reports.Reason{Code: reports.DivergenceRate, Endpoint: "GET /orders/{id}", Test: reports.DivergenceTest, N: 30508, K: 308, Need: 412000, Threshold: 0.001, Lower: 0.0085, Upper: 0.0119}
	short := reports.Reason{Code: reports.InsufficientSamples, Endpoint: "GET /health", Test: reports.DivergenceTest, N: 180, Need: 3787, EtaSeconds: 9620, Threshold: 0.001, Upper: 0.021}
	return reports.Verdict{
		Service: "shop", Decision: reports.Hold, Step: 0, RulesVersion: "b3c1", PolicyVersion: "91aa", CandidateVersion: "2.26.0", VersionKnown: true,
		AsOf: now, Alpha: 0.05, Beta: 0.001, Since: now.Add(-3 * time.Hour), NotCovered: []string{"POST /orders: never sent to the candidate"},
		Reasons:    []reports.Reason{{Code: reports.TooShort, Seconds: 10800, NeedSeconds: 86400}, diverges, short},
		Accounting: newFakeStore().summary.Accounting,
		Endpoints: []reports.EndpointVerdict{
			{Endpoint: "GET /orders/{id}", Decision: reports.Rollback, Reasons: []reports.Reason{diverges}},
			{Endpoint: "GET /health", Decision: reports.Hold, Reasons: []reports.Reason{short}, Offer: &divergence.SignOff{
				Endpoint: "GET /health", RulesHash: "b3c1", PolicyHash: "91aa", CandidateVersion: "2.26.0",
				Limits: []divergence.SignedLimit{{Test: "divergence", N: 180, Upper: 0.021}, {Test: "errors", N: 180, Upper: 0.021}},
			}},
			{Endpoint: hostile, Decision: reports.Promote},
			{Endpoint: "POST /orders", Decision: reports.Hold, NotCovered: "never sent to the candidate"},
		},
	}
}

// rig is a server over fakes.
type rig struct {
	*Server
	store   *fakeStore
	judge   *fakeJudge
	stepper *fakeStepper
	policy  *fakePromotion
	log     *logBuffer

	evidence  *fakeEvidence
	mirroring *fakeMirroring
	copying   *fakeCopying
	events    *fakeEvents
	rehearsal *fakeRehearsal
	editor    *fakeEditor
	audit     *fakeAudit
}

// newRig returns a server with the service shop; change may alter its
// configuration before it is made.
func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{store: newFakeStore(), judge: newFakeJudge(fakeVerdict()), stepper: &fakeStepper{}, log: &logBuffer{}, audit: &fakeAudit{}}
	r.policy = &fakePromotion{steps: r.stepper, course: reports.Course{To: 0, Next: 100, Code: reports.Unproven}}
	r.rehearsal, r.editor = &fakeRehearsal{}, &fakeEditor{saved: divergence.NewSavedRules("")}
	rules, _ := compare.Compile(fakeRules)
	r.evidence, r.mirroring, r.copying = &fakeEvidence{judge: r.judge}, &fakeMirroring{}, &fakeCopying{}
	r.events = &fakeEvents{taken: TakenEvents{Events: 2}}
	cfg := Config{
		Store: r.store, Summaries: r.store, Decisions: r.store, Version: "1.0.0", Now: func() time.Time { return now }, Log: slog.New(slog.NewTextHandler(r.log, nil)),
		Rehearsal: r.rehearsal, Deployments: fakeDeployments{}, Audit: r.audit,
		Reloads: &fakeReloads{changes: []string{"service shop: rules changed"}},
		Services: []Service{{
			Name: "shop", Listen: "127.0.0.1:8080", Judge: r.judge, Stepper: r.stepper, Promotion: r.policy, Evidence: r.evidence, Mirroring: r.mirroring, Copying: r.copying, Events: map[string]EventInbox{"primary": r.events, "candidate": r.events}, MaxDivergenceRate: 0.001,
			Rules: func() *compare.Rules { return rules }, Editor: r.editor, BlindSpots: fakeBlindSpots, Noise: fakeNoise,
			Legs: func() []LegStatus {
				return []LegStatus{
					{Leg: "primary", URLs: []string{"http://127.0.0.1:9001"}, Healthy: true},
					{Leg: "candidate", URLs: []string{"http://127.0.0.1:9002"}, State: "own", Healthy: true, Version: "2.26.0"},
					{Leg: "secondary", URLs: []string{"http://127.0.0.1:9003"}, State: "shared", Detail: "connection refused since 11:58"},
				}
			},
		}},
	}
	for _, c := range change {
		c(&cfg)
	}
	var err error
	if r.Server, err = New(cfg); err != nil {
		t.Fatal(err)
	}
	return r
}

// fakeReloads reloads with the same outcome each time.
type fakeReloads struct {
	changes, faults []string
	last            Reload
}

func (f *fakeReloads) Reload(context.Context) Reload {
	f.last = Reload{At: now, Changes: f.changes, Faults: f.faults}
	return f.last
}

func (f *fakeReloads) LastReload() Reload { return f.last }

// fakeEvents takes every body in the same way.
type fakeEvents struct {
	taken          TakenEvents
	body, database string
}

func (f *fakeEvents) Stats() EventStats {
	return EventStats{Wrong: 1, Full: 2, Databases: []EventDatabase{{Database: "legacy", Read: 10, Duplicate: 3, Unlisted: 4, Late: 5, Incomplete: 6, Waiting: 7}}}
}

func (f *fakeEvents) Take(body []byte, database string) TakenEvents {
	f.body, f.database = string(body), database
	return f.taken
}

// logBuffer is a log that tests read.
type logBuffer struct {
	mu   sync.Mutex
	text []byte
}

func (b *logBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.text = append(b.text, p...)
	return len(p), nil
}

func (b *logBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return string(b.text)
}

// fakeDeployments takes what is signed by nobody.
type fakeDeployments struct{}

func (fakeDeployments) Take(event, signature string, body []byte) (string, error) {
	if signature != "" {
		return "", Refusal{401, "signature", "signed by somebody else"}
	}
	return "waits for the verdict", nil
}
