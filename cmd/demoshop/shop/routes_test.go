package shop_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"parallax/cmd/demoshop/shop"
	"parallax/internal/rig"
)

// story asks every route, for what it is made for and for what goes wrong. In a
// step, {token}, {order} and {cursor} stand for what was answered before.
var story = []struct {
	method, target, body string
	bare                 bool // without a session
	want                 int
}{
	{"GET", "/healthz", "", true, 200},
	{"GET", "/products", "", true, 200},
	{"GET", "/nowhere", "", true, 404},
	{"PUT", "/orders", "", true, 405},
	{"POST", "/customers", `{"email":"ada@example.com","name":"Ada","password":"analytical engine"}`, true, 201},
	{"POST", "/customers", `{"email":"ada@example.com","name":"Ada","password":"analytical engine"}`, true, 409},
	{"POST", "/customers", `{"email":"nobody","name":"","password":"x"}`, true, 422},
	{"POST", "/customers", `{"email":"a@b","name":"\u0000","password":"analytical engine"}`, true, 422},
	{"POST", "/customers", `{"e-mail":"ada@example.com"}`, true, 400},
	{"POST", "/customers", `{"email":`, true, 400},
	{"POST", "/customers", `{} {}`, true, 400},
	{"POST", "/customers", `{"name":"` + strings.Repeat("a", 70_000) + `"}`, true, 413},
	{"POST", "/sessions", `{"email":"ada@example.com","password":"difference engine"}`, true, 401},
	{"POST", "/sessions", `{"email":"nobody@example.com","password":"difference engine"}`, true, 401},
	{"POST", "/sessions", `{"email":"ada@example.com","password":"analytical engine"}`, true, 201},
	{"GET", "/orders", "", true, 401},
	{"GET", "/orders", "", false, 200},
	{"POST", "/orders", order(`{"sku":"P-001","quantity":2},{"sku":"P-009","quantity":1}`), false, 201},
	{"GET", "/orders/{order}", "", false, 200},
	{"GET", "/orders/1", "", false, 404},
	{"GET", "/orders/first", "", false, 404},
	{"POST", "/orders", order(``), false, 422},
	{"POST", "/orders", order(`{"sku":"P-001","quantity":0}`), false, 422},
	{"POST", "/orders", order(`{"sku":"P-001","quantity":1},{"sku":"P-001","quantity":1}`), false, 422},
	{"POST", "/orders", order(`{"sku":"P-NO-SUCH","quantity":1}`), false, 422},
	{"POST", "/orders", order(`{"sku":"P-001","quantity":1},{"sku":"P-SOLD-OUT","quantity":1}`), false, 409},
	{"PATCH", "/orders/{order}", `{"items":[{"sku":"P-009","quantity":3}],"note":"a bell"}`, false, 200},
	{"PATCH", "/orders/{order}", `{"items":[{"sku":"P-009","quantity":3}]}`, false, 200},
	{"PATCH", "/orders/{order}", `{"items":[{"sku":"P-010","quantity":3}]}`, false, 422},
	{"PATCH", "/orders/{order}", `{"address":{"name":"A","street":"B","postcode":"C","city":"D","country":"GB"}}`, false, 200},
	{"PATCH", "/orders/{order}", `{"address":{"name":"A"}}`, false, 422},
	{"PATCH", "/orders/{order}", `{}`, false, 200},
	{"PATCH", "/orders/1", `{}`, false, 404},
	{"POST", "/orders/{order}/pay", `{"method":"card","amount_cents":1}`, false, 422},
	{"POST", "/orders/{order}/pay", `{"method":"shells","amount_cents":1}`, false, 422},
	{"POST", "/orders/{order}/pay", `{"method":"card","amount_cents":{total}}`, false, 200},
	{"POST", "/orders/{order}/pay", `{"method":"card","amount_cents":{total}}`, false, 409},
	{"POST", "/orders/{order}/cancel", "", false, 409},
	{"POST", "/orders", order(`{"sku":"P-002","quantity":1}`), false, 201},
	{"POST", "/orders/{order}/cancel", "", false, 200},
	{"PATCH", "/orders/{order}", `{"note":"too late"}`, false, 409},
	{"POST", "/orders/1/cancel", "", false, 404},
	{"POST", "/orders/1/pay", `{"method":"card","amount_cents":1}`, false, 404},
	{"GET", "/orders?limit=1", "", false, 200},
	{"GET", "/orders?limit=1&cursor={cursor}", "", false, 200},
	{"GET", "/orders?limit=0", "", false, 400},
	{"GET", "/orders?cursor=nonsense", "", false, 400},
	{"DELETE", "/sessions", "", false, 204},
	{"GET", "/orders", "", false, 401},
}

func order(items string) string {
	return `{"items":[` + items + `],"note":"ring","address":{"name":"Ada","street":"St James's Square 12","postcode":"SW1Y","city":"London","country":"GB"},"tags":["gift"]}`
}

// tell lives through the story, and returns what was answered, a step at a time.
func (o *opened) tell() (answers []map[string]any) {
	var token, id, cursor, total string
	for n, step := range story {
		fill := strings.NewReplacer("{order}", id, "{cursor}", cursor, "{total}", total)
		headers := []string{"Idempotency-Key", fmt.Sprint(n)}
		if !step.bare {
			headers = append(headers, "Authorization", "Bearer "+token)
		}
		answer, text := o.ask(step.method, fill.Replace(step.target), fill.Replace(step.body), headers...)
		if answer.StatusCode != step.want {
			o.t.Fatalf("%s %s %.100s: %s %s, want %d", step.method, step.target, step.body, answer.Status, text, step.want)
		}
		seen := map[string]any{"status": answer.Status, "type": answer.Header.Get("Content-Type"), "location": answer.Header.Get("Location")}
		if strings.HasPrefix(answer.Header.Get("Content-Type"), "application/json") {
			var body any
			decoder := json.NewDecoder(strings.NewReader(text))
			decoder.UseNumber()
			if err := decoder.Decode(&body); err != nil {
				o.t.Errorf("%s %s: %q: %v", step.method, step.target, text, err)
			}
			seen["body"] = body
			if fields, ok := body.(map[string]any); ok && answer.StatusCode < 300 {
				keep(&token, fields["token"])
				keep(&cursor, fields["next_cursor"])
				keep(&total, fields["total_cents"])
				if step.method == "POST" && step.target == "/orders" {
					keep(&id, fields["id"])
				}
			}
		}
		answers = append(answers, seen)
	}
	return answers
}

func keep(in *string, value any) {
	if value != nil && value != "" {
		*in = fmt.Sprint(value)
	}
}

// shape is a value with its texts, numbers and truths replaced by what they are.
func shape(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := map[string]any{}
		for name, each := range v {
			out[name] = shape(each)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, each := range v {
			out[i] = shape(each)
		}
		return out
	}
	return fmt.Sprintf("%T", v)
}

// TestRoutesAnswerAlike lives through the story with all versions. With given ids
// their answers are the same; with their own they have the same shape, and ids,
// tokens and cursors of their own.
func TestRoutesAnswerAlike(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	times := cmp.FilterPath(func(p cmp.Path) bool {
		at, ok := p.Last().(cmp.MapIndex)
		return ok && (at.Key().String() == "placed_at" || at.Key().String() == "version")
	}, cmp.Ignore())
	for _, ids := range []string{shop.Own, shop.Given} {
		for _, mark := range []string{"tag", "comments"} {
			with := shop.Options{IDs: ids, Tag: mark == "tag", Comments: mark == "comments"}
			name := ids + mark
			with.Version, with.DSN = shop.Old, database(t, server, "old_"+name)
			was := open(t, with).tell()
			for _, data := range []string{shop.Own, shop.Shared} {
				with.Version, with.Data, with.DSN = shop.New, data, database(t, server, "new_"+name+data)
				is := open(t, with).tell()
				for n, step := range story {
					what := fmt.Sprintf("ids %s, data %s, mark %q: %s %s %.100s", ids, data, mark, step.method, step.target, step.body)
					if diff := cmp.Diff(shape(was[n]), shape(is[n])); diff != "" {
						t.Errorf("%s: shapes differ (-old +new):\n%s", what, diff)
					}
					if diff := cmp.Diff(was[n], is[n], times); ids == shop.Given && diff != "" {
						t.Errorf("%s: answers differ (-old +new):\n%s", what, diff)
					}
				}
				if ids == shop.Own {
					haveTheirOwn(t, data, was, is)
				}
			}
		}
	}
}

// haveTheirOwn wants what versions make up to be different. On shared tables the
// numbers come from one place, and only tokens and cursors are.
func haveTheirOwn(t *testing.T, data string, was, is []map[string]any) {
	t.Helper()
	fields := []string{"token", "next_cursor"}
	if data == shop.Own {
		fields = append(fields, "id", "customer_id")
	}
	seen := map[string]bool{}
	for n := range was {
		a, _ := was[n]["body"].(map[string]any)
		b, _ := is[n]["body"].(map[string]any)
		for _, field := range fields {
			if a[field] == nil || a[field] == "" {
				continue
			}
			seen[field] = true
			if a[field] == b[field] {
				t.Errorf("data %s: both versions answer %s %v", data, field, a[field])
			}
		}
	}
	if len(seen) != len(fields) {
		t.Errorf("data %s: only %v were answered", data, seen)
	}
}

// TestGivenIDsNeedAKey: without anything to compute ids from, a write is refused.
func TestGivenIDsNeedAKey(t *testing.T) {
	t.Parallel()
	server := rig.Postgres(t)
	o := open(t, shop.Options{Version: shop.New, DSN: server.DSN("postgres"), IDs: shop.Given})
	const body = `{"email":"ada@example.com","name":"Ada","password":"analytical engine"}`
	if answer, text := o.ask("POST", "/customers", body); answer.StatusCode != http.StatusBadRequest {
		t.Errorf("%s %s", answer.Status, text)
	}
	if answer, text := o.ask("POST", "/customers", body, "X-Parallax-Exchange", "0190aaaa-bbbb-7ccc-8ddd-eeeeffff0000"); answer.StatusCode != http.StatusCreated {
		t.Errorf("%s %s", answer.Status, text)
	}
}
