package compare

// VolatileHeader is a header that says something about the moment, the
// connection or the machine and not about the answer. Presence says that it is
// still compared whether both answers have it.
type VolatileHeader struct {
	Name     string // in lower case
	Presence bool
	Reason   string
}

// Volatile is the built-in catalogue of headers whose values are not compared. A
// rule with compare: true takes a header out of it.
var Volatile = []VolatileHeader{
	{Name: "age", Reason: "time spent in caches"},
	{Name: "alt-svc", Reason: "names the machine"},
	{Name: "cf-ray", Reason: "made anew for each request"},
	{Name: "connection", Reason: "about the connection"},
	{Name: "content-encoding", Reason: "bodies are decoded before they are compared"},
	{Name: "content-length", Reason: "follows from the body, which is compared itself"},
	{Name: "date", Reason: "the clock"},
	{Name: "etag", Presence: true, Reason: "made up by each leg for itself"},
	{Name: "expires", Presence: true, Reason: "the clock"},
	{Name: "grpc-encoding", Reason: "messages are decoded before they are compared"},
	{Name: "keep-alive", Reason: "about the connection"},
	{Name: "last-modified", Presence: true, Reason: "the clock of the machine that wrote the resource"},
	{Name: "nel", Reason: "names the machine"},
	{Name: "proxy-connection", Reason: "about the connection"},
	{Name: "report-to", Reason: "names the machine"},
	{Name: "server", Reason: "names the software"},
	{Name: "server-timing", Reason: "the clock"},
	{Name: "traceparent", Reason: "made anew for each request"},
	{Name: "tracestate", Reason: "made anew for each request"},
	{Name: "transfer-encoding", Reason: "about the connection"},
	{Name: "via", Reason: "names the machine"},
	{Name: "x-amz-cf-id", Reason: "made anew for each request"},
	{Name: "x-amzn-requestid", Reason: "made anew for each request"},
	{Name: "x-amzn-trace-id", Reason: "made anew for each request"},
	{Name: "x-b3-spanid", Reason: "made anew for each request"},
	{Name: "x-b3-traceid", Reason: "made anew for each request"},
	{Name: "x-cache", Reason: "state of a cache"},
	{Name: "x-cloud-trace-context", Reason: "made anew for each request"},
	{Name: "x-correlation-id", Reason: "made anew for each request"},
	{Name: "x-envoy-upstream-service-time", Reason: "the clock"},
	{Name: "x-powered-by", Reason: "names the software"},
	{Name: "x-request-id", Reason: "made anew for each request"},
	{Name: "x-response-time", Reason: "the clock"},
	{Name: "x-runtime", Reason: "the clock"},
	{Name: "x-served-by", Reason: "names the machine"},
	{Name: "x-timer", Reason: "the clock"},
}

// volatileHeader returns the catalogue's entry for a name in lower case.
func volatileHeader(name string) *VolatileHeader {
	for i := range Volatile {
		if Volatile[i].Name == name {
			return &Volatile[i]
		}
	}
	return nil
}
