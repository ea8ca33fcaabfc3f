package eventtest

import (
	"encoding/base64"
	"encoding/json"
	"errors"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
)

// Front is a front with the form of its events.
type Front int

const (
	REST        Front = iota // REST API, AWS_PROXY
	HTTP1                    // HTTP API, payload 1.0
	HTTP2                    // HTTP API, payload 2.0
	FunctionURL              // Function URL
	ALB                      // load balancer
	ALBMulti                 // load balancer with multi-value headers
)

// Fronts are all of them.
var Fronts = []Front{REST, HTTP1, HTTP2, FunctionURL, ALB, ALBMulti}

func (f Front) String() string {
	return [...]string{"rest", "http-1.0", "http-2.0", "url", "alb", "alb-multi"}[f]
}

// Front is the front as records name it.
func (f Front) Front() tapway.Front {
	switch f {
	case REST:
		return tapway.FrontREST
	case HTTP1, HTTP2:
		return tapway.FrontHTTP
	case FunctionURL:
		return tapway.FrontFunctionURL
	}
	return tapway.FrontALB
}

// Added are the headers that the fronts add, in canonical form.
var Added = []string{"X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto", "X-Amzn-Tls-Cipher-Suite", "X-Amzn-Tls-Version"}

// Dropped are the headers that a REST API keeps to itself, in canonical form.
var Dropped = []string{"Connection", "Content-Length", "Content-Md5", "Expect", "Max-Forwards", "Proxy-Authenticate", "Server", "Te", "Transfer-Encoding", "Trailer", "Upgrade", "Www-Authenticate"}

// ErrRejected is for a request that a front answers itself.
var ErrRejected = errors.New("eventtest: the front refuses the request")

// Trace is the value of the X-Amzn-Trace-Id header that the fronts add.
const Trace = "Root=1-6a5145a8-536f3e792f6be9b44c1f46fa"

// Request is what a client sends, and to which deployment. The zero values that make sense do.
type Request struct {
	Method string         // "" is GET
	Target string         // path and query as in the request line; "" is "/"
	Host   string         // "" is the front's own domain
	Header []tapway.Field // in the client's order and letter case, without Host and Content-Length
	Body   []byte

	ClientIP string // "" is 203.0.113.7
	Cert     string // PEM of a client certificate that the front has verified; not for Function URLs and load balancers
	Plain    bool   // HTTP without TLS; load balancers only

	Stage    string // REST: "" is prod. HTTP APIs: "" is $default
	Base     string // base path of a custom domain, which Host then is: "/shop". REST and HTTP1
	Custom   bool   // Host is a custom domain, also without a base path
	Resource string // REST: the template that matches, without which there are no path parameters: "" is /{proxy+}

	BinaryMediaTypes []string // of a REST API
}

func (r Request) method() string {
	if r.Method == "" {
		return http.MethodGet
	}
	return r.Method
}

func (r Request) target() (path, query string, hasQuery bool) {
	t := r.Target
	if t == "" {
		t = "/"
	}
	return strings.Cut(t, "?")
}

func (r Request) clientIP() string {
	if r.ClientIP == "" {
		return "203.0.113.7"
	}
	return r.ClientIP
}

const (
	apiID  = "a1b2c3d4e5"
	urlID  = "2cxn22odiwguak4feg4jtt7cwm0ziblr"
	region = "eu-west-1"
)

func (r Request) host(f Front) string {
	switch {
	case r.Host != "":
		return r.Host
	case r.Base != "" || r.Custom:
		return "api.example.com"
	case f == FunctionURL:
		return urlID + ".lambda-url." + region + ".on.aws"
	case f == ALB || f == ALBMulti:
		return "balancer-1316758055." + region + ".elb.amazonaws.com"
	}
	return apiID + ".execute-api." + region + ".amazonaws.com"
}

func (r Request) stage(f Front) string {
	switch {
	case r.Stage != "":
		return r.Stage
	case f == REST:
		return "prod"
	}
	return "$default"
}

// Event makes the event for r. It gives ErrRejected for what never reaches a function.
func (f Front) Event(r Request) ([]byte, error) {
	var e map[string]any
	var err error
	switch f {
	case REST:
		e = r.rest()
	case HTTP1:
		e, err = r.http1()
	case HTTP2:
		e, err = r.http2()
	case FunctionURL:
		e = r.functionURL()
	default:
		e = r.alb(f == ALBMulti)
	}
	if err != nil {
		return nil, err
	}
	return json.Marshal(e)
}

// lines are the request's headers with those that every client and front add.
func (r Request) lines(f Front, alter func(string) string) []tapway.Field {
	out := []tapway.Field{{Name: alter("Host"), Value: r.host(f)}}
	port, proto := "443", "https"
	if r.Plain {
		port, proto = "80", "http"
	}
	forwarded := r.clientIP()
	for _, h := range r.Header {
		if http.CanonicalHeaderKey(h.Name) == "X-Forwarded-For" {
			forwarded = h.Value + ", " + forwarded
			continue
		}
		out = append(out, tapway.Field{Name: alter(h.Name), Value: h.Value})
	}
	if len(r.Body) > 0 {
		out = append(out, tapway.Field{Name: alter("Content-Length"), Value: strconv.Itoa(len(r.Body))})
	}
	return append(out, tapway.Field{Name: alter("X-Amzn-Trace-Id"), Value: Trace}, tapway.Field{Name: alter("X-Forwarded-For"), Value: forwarded},
		tapway.Field{Name: alter("X-Forwarded-Port"), Value: port}, tapway.Field{Name: alter("X-Forwarded-Proto"), Value: proto})
}

// last and all are the two kinds of maps that fronts make of repeated names.
func last(lines []tapway.Field) any {
	if len(lines) == 0 {
		return nil
	}
	m := map[string]string{}
	for _, l := range lines {
		m[l.Name] = l.Value
	}
	return m
}

func all(lines []tapway.Field) any {
	if len(lines) == 0 {
		return nil
	}
	m := map[string][]string{}
	for _, l := range lines {
		m[l.Name] = append(m[l.Name], l.Value)
	}
	return m
}

func joined(lines []tapway.Field) map[string]string {
	m := map[string]string{}
	for _, l := range lines {
		if old, ok := m[l.Name]; ok {
			l.Value = old + "," + l.Value
		}
		m[l.Name] = l.Value
	}
	return m
}

// parameters takes a query apart, decoding it or not.
func parameters(query string, decode bool) []tapway.Field {
	var out []tapway.Field
	for part := range strings.SplitSeq(query, "&") {
		if part == "" {
			continue
		}
		name, value, _ := strings.Cut(part, "=")
		if decode {
			name, value = decoded(name), decoded(value)
		}
		out = append(out, tapway.Field{Name: name, Value: value})
	}
	return out
}

func decoded(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return d
	}
	return s
}

// restName is how a REST API spells a header.
func restName(name string) string {
	switch c := http.CanonicalHeaderKey(name); c {
	case "Host", "User-Agent", "Authorization", "X-Amzn-Trace-Id", "X-Forwarded-For", "X-Forwarded-Port", "X-Forwarded-Proto":
		return c
	}
	return name
}

func (r Request) rest() map[string]any {
	path, query, _ := r.target()
	lines := slices.DeleteFunc(r.lines(REST, restName), func(l tapway.Field) bool {
		return slices.Contains(Dropped, http.CanonicalHeaderKey(l.Name))
	})
	resource := r.Resource
	if resource == "" {
		resource = "/{proxy+}"
		if strings.Trim(path, "/") == "" {
			resource = "/"
		}
	}
	contextPath := "/" + r.stage(REST) + path
	if r.Custom || r.Base != "" {
		contextPath = r.Base + path
	}
	collapsed := "/" + strings.TrimLeft(path, "/")
	body, encoded := any(nil), false
	if len(r.Body) > 0 {
		if encoded = r.binary(); encoded {
			body = base64.StdEncoding.EncodeToString(r.Body)
		} else {
			body = string(r.Body) // encoding/json replaces what is no UTF-8
		}
	}
	params := parameters(query, true)
	return map[string]any{
		"resource": resource, "path": r.Base + collapsed, "httpMethod": r.method(),
		"headers": last(lines), "multiValueHeaders": all(lines),
		"queryStringParameters": last(params), "multiValueQueryStringParameters": all(params),
		"pathParameters": pathParameters(resource, collapsed), "stageVariables": nil,
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": apiID, "domainName": r.host(REST), "domainPrefix": strings.Split(r.host(REST), ".")[0],
			"extendedRequestId": "ATfSdF7nPHcErRA=", "httpMethod": r.method(), "path": contextPath, "protocol": "HTTP/1.1",
			"identity":  r.identity(),
			"requestId": "7c2af7db-31f3-42b5-8a6d-9ffc74e3b9e0", "requestTime": "10/Jul/2026:19:19:04 +0000", "requestTimeEpoch": 1783711144836,
			"resourceId": "al6gqb", "resourcePath": resource, "stage": r.stage(REST),
		},
		"body": body, "isBase64Encoded": encoded,
	}
}

func (r Request) identity() map[string]any {
	out := map[string]any{"sourceIp": r.clientIP(), "userAgent": "test", "accessKey": nil, "user": nil}
	if r.Cert != "" {
		out["clientCert"] = r.cert()
	}
	return out
}

// cert is the member clientCert; what is beside the PEM are the documentation's examples.
func (r Request) cert() map[string]any {
	return map[string]any{
		"clientCertPem": r.Cert, "subjectDN": "CN=www.example.com", "issuerDN": "CN=Example issuer", "serialNumber": "a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1:a1",
		"validity": map[string]any{"notBefore": "May 28 12:30:02 2019 GMT", "notAfter": "Aug  5 09:36:04 2021 GMT"},
	}
}

// pathParameters matches a path with a template; a greedy one loses a trailing slash.
func pathParameters(template, path string) any {
	params := map[string]string{}
	rest := strings.TrimSuffix(strings.TrimPrefix(path, "/"), "/")
	for part := range strings.SplitSeq(strings.TrimPrefix(template, "/"), "/") {
		if name, ok := strings.CutSuffix(part, "+}"); ok {
			params[name[1:]] = rest
			break
		}
		var segment string
		segment, rest, _ = strings.Cut(rest, "/")
		if strings.HasPrefix(part, "{") {
			params[strings.Trim(part, "{}")] = segment
		}
	}
	if len(params) == 0 {
		return nil
	}
	return params
}

func (r Request) contentType() string {
	for _, h := range r.Header {
		if strings.EqualFold(h.Name, "Content-Type") {
			t, _, _ := mime.ParseMediaType(h.Value)
			return t
		}
	}
	return ""
}

func (r Request) binary() bool {
	return matches(r.BinaryMediaTypes, r.contentType())
}

func matches(types []string, t string) bool {
	for _, pattern := range types {
		kind, rest, _ := strings.Cut(pattern, "/")
		if pattern == "*/*" || pattern == t || rest == "*" && strings.HasPrefix(t, kind+"/") {
			return true
		}
	}
	return false
}

// textLike is what HTTP APIs and load balancers do not encode.
func (r Request) textLike() bool {
	for _, h := range r.Header {
		if strings.EqualFold(h.Name, "Content-Encoding") {
			return false
		}
	}
	t := r.contentType()
	return strings.HasPrefix(t, "text/") || t == "application/json" || t == "application/javascript" || t == "application/xml"
}

// encodedBody is the body as HTTP APIs, URLs and load balancers give it.
func (r Request) encodedBody() (string, bool) {
	if len(r.Body) == 0 || r.textLike() {
		return string(r.Body), false
	}
	return base64.StdEncoding.EncodeToString(r.Body), true
}

// httpPath is what HTTP APIs make of a path: it is decoded, cut at a question mark, and decoded
// again; what cannot be decoded twice is refused.
func httpPath(path string) (string, error) {
	once, err := url.PathUnescape(path)
	if err != nil {
		return "", ErrRejected
	}
	once, _, _ = strings.Cut(once, "?")
	twice, err := url.PathUnescape(once)
	if err != nil {
		return "", ErrRejected
	}
	return twice, nil
}

func (r Request) http1() (map[string]any, error) {
	raw, query, _ := r.target()
	path, err := httpPath(raw)
	if err != nil {
		return nil, err
	}
	stage := r.stage(HTTP1)
	if stage != "$default" {
		path = "/" + stage + path
	}
	lines, params := r.lines(HTTP1, strings.ToLower), parameters(query, true)
	e := map[string]any{
		"version": "1.0", "resource": "$default", "path": path, "httpMethod": r.method(),
		"headers": last(lines), "multiValueHeaders": all(lines),
		"queryStringParameters": last(params), "multiValueQueryStringParameters": all(params),
		"pathParameters": nil, "stageVariables": nil,
		"requestContext": map[string]any{
			"accountId": "123456789012", "apiId": apiID, "domainName": r.host(HTTP1), "domainPrefix": strings.Split(r.host(HTTP1), ".")[0],
			"httpMethod": r.method(), "path": path, "protocol": "HTTP/1.1", "identity": r.identity(),
			"requestId": "ATfSmjLgPHcESJw=", "resourceId": nil, "resourcePath": "$default", "stage": stage,
		},
		"body": nil, "isBase64Encoded": false,
	}
	if len(r.Body) > 0 {
		e["body"], e["isBase64Encoded"] = r.encodedBody()
	}
	return e, nil
}

func (r Request) http2() (map[string]any, error) {
	raw, _, _ := r.target()
	path, err := httpPath(raw)
	if err != nil {
		return nil, err
	}
	stage := r.stage(HTTP2)
	if stage != "$default" {
		path = "/" + stage + path
	}
	e := r.version2(HTTP2, path, path, stage)
	e["requestContext"].(map[string]any)["accountId"] = "123456789012"
	delete(e["headers"].(map[string]string), "cookie")
	return e, nil
}

func (r Request) functionURL() map[string]any {
	raw, _, _ := r.target()
	decoded, _ := url.PathUnescape(raw)
	e := r.version2(FunctionURL, raw, decoded, "$default")
	c := e["requestContext"].(map[string]any)
	c["accountId"], c["apiId"] = "anonymous", urlID
	delete(c, "authentication")
	h := e["headers"].(map[string]string)
	h["x-amzn-tls-version"], h["x-amzn-tls-cipher-suite"] = "TLSv1.3", "TLS_AES_128_GCM_SHA256"
	return e
}

func (r Request) version2(f Front, raw, path, stage string) map[string]any {
	_, query, _ := r.target()
	lines := r.lines(f, strings.ToLower)
	e := map[string]any{
		"version": "2.0", "routeKey": "$default", "rawPath": raw, "rawQueryString": query, "headers": joined(lines), "isBase64Encoded": false,
		"requestContext": map[string]any{
			"apiId": apiID, "domainName": r.host(f), "domainPrefix": strings.Split(r.host(f), ".")[0],
			"http":      map[string]any{"method": r.method(), "path": path, "protocol": "HTTP/1.1", "sourceIp": r.clientIP(), "userAgent": "test"},
			"requestId": "ATfSmjLgPHcESJw=", "routeKey": "$default", "stage": stage, "time": "10/Jul/2026:19:19:05 +0000", "timeEpoch": 1783711145766,
		},
	}
	if r.Cert != "" {
		e["requestContext"].(map[string]any)["authentication"] = map[string]any{"clientCert": r.cert()}
	}
	var cookies []string
	for _, l := range lines {
		if l.Name == "cookie" {
			cookies = append(cookies, strings.Split(l.Value, "; ")...)
		}
	}
	if cookies != nil {
		e["cookies"] = cookies
	}
	if params := parameters(query, true); len(params) > 0 {
		e["queryStringParameters"] = joined(params)
	}
	if len(r.Body) > 0 {
		e["body"], e["isBase64Encoded"] = r.encodedBody()
	}
	return e
}

func (r Request) alb(multi bool) map[string]any {
	path, query, _ := r.target()
	f := ALB
	if multi {
		f = ALBMulti
	}
	lines, params := r.lines(f, strings.ToLower), parameters(query, false)
	body, encoded := r.encodedBody()
	e := map[string]any{
		"requestContext": map[string]any{"elb": map[string]any{"targetGroupArn": "arn:aws:elasticloadbalancing:" + region + ":123456789012:targetgroup/shop/4efa1ab384b3474d"}},
		"httpMethod":     r.method(), "path": path, "body": body, "isBase64Encoded": encoded,
	}
	if multi {
		e["multiValueHeaders"], e["multiValueQueryStringParameters"] = all(lines), all(params)
	} else {
		e["headers"], e["queryStringParameters"] = last(lines), last(params)
	}
	return e
}
