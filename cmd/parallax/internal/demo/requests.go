package demo

import (
	"encoding/base64"
	"fmt"
	"net/http"
	"slices"
)

// Corpus returns requests for every endpoint of go-httpbin that answers within
// moments. Values vary from request to request, as those of real users do.
func Corpus() []Endpoint {
	return slices.Concat(documents(), echoes(), writes(), generated(), caching(), navigation(), access(), slow(), failures(), newcomers())
}

// documents are fixed: what differs was changed by somebody.
func documents() []Endpoint {
	return []Endpoint{
		on("GET /"),
		on("GET /html"),
		on("GET /xml"),
		on("GET /json"),
		on("GET /robots.txt"),
		on("GET /deny"),
		on("GET /encoding/utf8"),
		on("GET /forms/post"),
		on("GET /hostname"),
		all("GET /image/{kind}", "/image/png", "/image/jpeg", "/image/svg", "/image/webp"),
		on("GET /image",
			to("/image", "Accept", "image/png"), to("/image", "Accept", "image/webp"),
			to("/image", "Accept", "image/svg+xml"), to("/image", "Accept", "image/jpeg"),
			to("/image", "Accept", "image/avif").want(http.StatusUnsupportedMediaType)),
	}
}

// echoes answer with what they were asked.
func echoes() []Endpoint {
	return []Endpoint{
		all("GET /get", "/get", "/get?page=2&sort=price", "/get?q=caf%C3%A9", "/get?tag=a&tag=b", "/get?empty="),
		on("GET /headers", to("/headers", "X-Tenant", "north"), to("/headers", "Accept-Language", "de, en;q=0.5")),
		on("GET /ip"),
		on("GET /user-agent", to("/user-agent", "User-Agent", "shop-app/4.2 (iOS)"), to("/user-agent", "User-Agent", "Mozilla/5.0 (X11; Linux)")),
		all("GET /anything/{rest}", "/anything/orders", "/anything/items?limit=10", "/anything/a%20b"),
		on("GET /cookies", to("/cookies", "Cookie", "theme=dark"), to("/cookies", "Cookie", "theme=light; lang=en"), to("/cookies")),
		all("GET /response-headers", "/response-headers?X-Request-Cost=3", "/response-headers?X-A=1&X-A=2"),
		on("GET /dump/request", to("/dump/request"), to("/dump/request?verbose=1")),
		on("GET /gzip"),
		on("GET /deflate"),
		on("HEAD /head"),
		on("OPTIONS /get"),
	}
}

const formType, jsonType = "application/x-www-form-urlencoded", "application/json"

// writes carry bodies of all the kinds that services take.
func writes() []Endpoint {
	multipart, multipartType := upload()
	post := func(target string) []Request {
		return []Request{
			to(target).body(jsonType, `{"order":17,"items":[{"sku":"tea","n":2},{"sku":"mug","n":1}],"total":"23.90"}`),
			to(target).body(jsonType, `{"big":9007199254740993,"small":0.1,"none":null,"list":[]}`),
			to(target).body(formType, "name=Ada+Lovelace&mail=ada%40example.com&n=3"),
			to(target).body(multipartType, multipart),
			to(target).body("text/plain", "a plain note\nof two lines\n"),
			to(target).body("text/csv", "sku,n\ntea,2\n"),
			to(target).body(jsonType, `{"broken":`).want(http.StatusBadRequest),
		}
	}
	return []Endpoint{
		on("POST /post", post("/post")...),
		on("POST /anything", post("/anything")...),
		on("PUT /put", to("/put").body(jsonType, `{"name":"mug","price":7.5}`), to("/put").body(formType, "name=mug&price=7.5")),
		on("PATCH /patch", to("/patch").body(jsonType, `{"price":8}`), to("/patch?dry=1").body(jsonType, `[{"op":"remove","path":"/a"}]`)),
		on("DELETE /delete", to("/delete?id=17"), to("/delete").body(formType, "reason=stale")),
	}
}

// upload is a multipart form with a field and a file. Its boundary is fixed, so
// that every such request is the same.
func upload() (text, contentType string) {
	const boundary = "parallax-demo-boundary"
	part := func(disposition, content string) string {
		return "--" + boundary + "\r\nContent-Disposition: form-data; " + disposition + "\r\n\r\n" + content + "\r\n"
	}
	text = part(`name="title"`, "holiday") + part(`name="photo"; filename="photo.txt"`, "not really a photo") + "--" + boundary + "--\r\n"
	return text, "multipart/form-data; boundary=" + boundary
}

// generated answers are made up by the service: some from a seed, the others
// differ between any two instances, which the secondary shows.
func generated() []Endpoint {
	var seeded, random, ranges, encode, decode []string
	for i := range 8 {
		seeded = append(seeded, fmt.Sprintf("/stream-bytes/%d?seed=%d", 64+i, i))
		random = append(random, fmt.Sprintf("/bytes/%d", 64+i))
		ranges = append(ranges, fmt.Sprintf("/range/%d", 128*(i+1)))
		encode = append(encode, fmt.Sprintf("/base64/encode/value-%d", i))
		decode = append(decode, "/base64/"+base64.URLEncoding.EncodeToString(fmt.Appendf(nil, "order %d", i)))
	}
	return []Endpoint{
		on("GET /uuid"),
		all("GET /bytes/{n}", random...),
		all("GET /stream-bytes/{n}", seeded...),
		all("GET /base64/{operation}/{value}", encode...),
		all("GET /base64/{value}", decode...),
		all("GET /range/{n}", ranges...),
		all("GET /stream/{n}", "/stream/1", "/stream/3"),
	}
}

// caching answers depend on validators.
func caching() []Endpoint {
	return []Endpoint{
		on("GET /cache", to("/cache"), to("/cache", "If-Modified-Since", "Sun, 01 Nov 2026 08:00:00 GMT").want(http.StatusNotModified)),
		all("GET /cache/{seconds}", "/cache/60", "/cache/3600"),
		on("GET /etag/{etag}", to("/etag/v1"), to("/etag/v2", "If-None-Match", `"v2"`).want(http.StatusNotModified)),
	}
}

// navigation answers send the caller elsewhere. The demo does not follow.
func navigation() []Endpoint {
	return []Endpoint{
		all("GET /redirect/{n}", "/redirect/1", "/redirect/3", "/redirect/2?absolute=true").want(http.StatusFound),
		all("GET /relative-redirect/{n}", "/relative-redirect/1", "/relative-redirect/4").want(http.StatusFound),
		all("GET /absolute-redirect/{n}", "/absolute-redirect/1", "/absolute-redirect/4").want(http.StatusFound),
		on("GET /redirect-to", to("/redirect-to?url=/get").want(http.StatusFound), to("/redirect-to?url=/html&status_code=307").want(http.StatusTemporaryRedirect)),
		all("GET /cookies/set", "/cookies/set?theme=dark", "/cookies/set?lang=en").want(http.StatusFound),
		all("GET /cookies/delete", "/cookies/delete?theme=", "/cookies/delete?lang=").want(http.StatusFound),
		all("GET /links/{n}", "/links/3", "/links/7").want(http.StatusFound),
		all("GET /links/{n}/{offset}", "/links/5/0", "/links/5/2", "/links/7/6"),
	}
}

// access answers depend on who asks.
func access() []Endpoint {
	const digest = "/digest-auth/auth/ada/pw"
	basic := func(user, password string) string {
		return "Basic " + base64.StdEncoding.EncodeToString([]byte(user+":"+password))
	}
	return []Endpoint{
		on("GET /basic-auth/{user}/{password}",
			to("/basic-auth/ada/pw", "Authorization", basic("ada", "pw")),
			to("/basic-auth/ada/pw", "Authorization", basic("ada", "wrong")).want(http.StatusUnauthorized)),
		on("GET /hidden-basic-auth/{user}/{password}",
			to("/hidden-basic-auth/ada/pw", "Authorization", basic("ada", "pw")),
			to("/hidden-basic-auth/ada/pw").want(http.StatusNotFound)),
		on("GET /bearer", to("/bearer", "Authorization", "Bearer demo-token"), to("/bearer").want(http.StatusUnauthorized)),
		all("GET /digest-auth/{qop}/{user}/{password}", digest).want(http.StatusUnauthorized),
		all("GET /digest-auth/{qop}/{user}/{password}/{algorithm}", digest+"/SHA-256").want(http.StatusUnauthorized),
	}
}

// slow answers take their time, but not much of it.
func slow() []Endpoint {
	return []Endpoint{
		all("GET /delay/{seconds}", "/delay/0.01", "/delay/0.02"),
		all("GET /drip", "/drip?numbytes=5&duration=20ms&delay=0s", "/drip?numbytes=3&duration=10ms&delay=5ms"),
	}
}

// failures: where the old release answers 5xx there is nothing to compare with.
func failures() []Endpoint {
	var unstable []string
	for seed := range 8 {
		unstable = append(unstable, fmt.Sprintf("/unstable?failure_rate=0.4&seed=%d", seed))
	}
	return []Endpoint{
		on("GET /status/{code}", to("/status/200"), to("/status/204").want(http.StatusNoContent), to("/status/301").want(http.StatusMovedPermanently),
			to("/status/404").want(http.StatusNotFound), to("/status/406").want(http.StatusNotAcceptable), to("/status/418").want(http.StatusTeapot)),
		on("GET /status/500").want(http.StatusInternalServerError),
		on("GET /brotli").want(http.StatusNotImplemented),
		all("GET /unstable", unstable...).want(http.StatusOK, http.StatusInternalServerError).times(2),
		on("GET /no-such-page").want(http.StatusNotFound),
	}
}

// newcomers are known to the new release only.
func newcomers() []Endpoint {
	return []Endpoint{
		on("GET /version").want(http.StatusNotFound),
		all("GET /jsonl", "/jsonl?count=3&duration=10ms&delay=0s").want(http.StatusNotFound),
		all("GET /sse", "/sse?count=3&duration=10ms&delay=0s").want(http.StatusNotFound),
		on("POST /upload", to("/upload").body("text/plain", "a file")).want(http.StatusMethodNotAllowed),
	}
}
