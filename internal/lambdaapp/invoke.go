package lambdaapp

import (
	"bytes"
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awssign"
	"github.com/tapway/tapway/internal/lambdahttp"
	"github.com/tapway/tapway/internal/lambdaruntime"
)

const (
	// maxFunctionReply is above the 6 MB that Lambda lets a function reply.
	maxFunctionReply = 8 << 20

	// freshFor is how long an idle connection to Lambda is used again. While the environment is frozen a
	// connection may end without anybody noticing, and a call that fails on it must not be made twice.
	freshFor = 5 * time.Second
)

// functions invokes the Lambda functions that attached APIs had as their backends, each with the very event that
// this function was invoked with.
type functions struct {
	config   aws.Config
	endpoint *string // nil: AWS's own
	signer   awssign.Signer
	client   *http.Client
	log      *slog.Logger
	last     atomic.Int64 // end of the last call, in nanoseconds since 1970
}

func newFunctions(config aws.Config, endpoint *string, log *slog.Logger) *functions {
	return &functions{config: config, endpoint: endpoint, log: log, signer: awssign.Signer{Service: "lambda"}, client: &http.Client{
		Transport: &http.Transport{
			Proxy: http.ProxyFromEnvironment, DialContext: (&net.Dialer{Timeout: 3 * time.Second}).DialContext, TLSHandshakeTimeout: 5 * time.Second,
			ForceAttemptHTTP2: true, MaxIdleConnsPerHost: 64, IdleConnTimeout: time.Minute,
		},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}}
}

// to is the way to one function: a round tripper that sends the invocation's event, whatever the request, and
// gives the function's reply as a response. The reply itself goes to the front as it is.
func (f *functions) to(arn string) http.RoundTripper { return &functionWay{f, arn} }

type functionWay struct {
	*functions
	arn string
}

// RoundTrip is http.RoundTripper. What API Gateway answers for itself, because the function or its invocation
// failed, is a response here, and the call says why.
func (w *functionWay) RoundTrip(req *http.Request) (*http.Response, error) {
	ctx := req.Context()
	if req.Body != nil { // it is in the event; the capture hears of it by its being read
		_, err := io.Copy(io.Discard, req.Body)
		req.Body.Close()
		if err != nil {
			return nil, fmt.Errorf("read the request's body: %w", err)
		}
	}
	box, facts := boxOf(ctx), tapway.FactsFrom(ctx)
	if box == nil || facts == nil {
		return nil, errors.New("invoke a function: there is no event")
	}
	if facts.Front != tapway.FrontREST && facts.Front != tapway.FrontHTTP {
		return nil, errors.New("invoke a function: the call came through no API, and the function would not understand its event")
	}
	if w.isOwn(box.arn) {
		w.log.Error("the route table leads to this function itself: attach anew, so that the table has the API's own backends", "function", w.arn)
		return failedAs(req, facts, "the route leads back to tapway"), nil
	}
	status, header, reply, err := w.invoke(ctx, box.event)
	if err != nil {
		return nil, err
	}
	if why := w.failure(status, header, reply); why != "" {
		return failedAs(req, facts, why), nil
	}
	out, err := lambdahttp.DecodeReply(reply, facts.Front == tapway.FrontHTTP && gjson.GetBytes(box.event, "version").String() == "2.0")
	if err != nil { // the front will find the same, and answers for itself
		w.log.Warn("API Gateway will not take a function's reply", "function", w.arn, "error", err)
		res := failedAs(req, facts, "malformed reply of the function")
		facts.Verbatim = &tapway.Verbatim{Status: res.StatusCode, Reply: reply}
		return res, nil
	}
	facts.Verbatim = &tapway.Verbatim{Status: out.Status, Reply: reply}
	return response(req, out.Status, out.Header, out.Body), nil
}

// isOwn reports whether the function is the one that runs here, in whatever version.
func (w *functionWay) isOwn(own string) bool {
	return own != "" && unqualified(own) == unqualified(w.arn)
}

func unqualified(arn string) string {
	if parts := strings.SplitN(arn, ":", 8); len(parts) == 8 {
		return strings.Join(parts[:7], ":")
	}
	return arn
}

// invoke makes the call. It is made once: nobody knows whether a function that did not answer has run. See
// https://docs.aws.amazon.com/lambda/latest/api/API_Invoke.html.
func (w *functionWay) invoke(ctx context.Context, event []byte) (status int, header http.Header, reply []byte, err error) {
	region := strings.Split(w.arn, ":")[3]
	base := "https://lambda." + region + "." + awsbase.Domain(region)
	if w.endpoint != nil {
		base = strings.TrimSuffix(*w.endpoint, "/")
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/2015-03-31/functions/"+url.QueryEscape(w.arn)+"/invocations", bytes.NewReader(event))
	if err != nil {
		return 0, nil, nil, fmt.Errorf("invoke a function: %w", err)
	}
	req.Header.Set("Content-Type", "application/json")
	req.Header.Set("X-Amz-Invocation-Type", "RequestResponse")
	if trace := lambdaruntime.TraceID(ctx); trace != "" {
		req.Header.Set(traceHeader, trace)
	}
	if w.config.Credentials == nil {
		return 0, nil, nil, errors.New("invoke a function: there are no AWS credentials")
	}
	credentials, err := w.config.Credentials.Retrieve(ctx)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("invoke a function: %w", err)
	}
	w.signer.Sign(req, credentials, region, time.Now(), sha256.Sum256(event))
	if time.Now().UnixNano()-w.last.Load() > int64(freshFor) {
		w.client.CloseIdleConnections()
	}
	defer func() { w.last.Store(time.Now().UnixNano()) }()
	res, err := w.client.Do(req)
	if err != nil {
		return 0, nil, nil, fmt.Errorf("invoke %s: %w", w.arn, err)
	}
	defer res.Body.Close()
	reply, err = io.ReadAll(io.LimitReader(res.Body, maxFunctionReply+1))
	switch {
	case err != nil:
		return 0, nil, nil, fmt.Errorf("read the reply of %s: %w", w.arn, err)
	case len(reply) > maxFunctionReply:
		return 0, nil, nil, fmt.Errorf("the reply of %s has more than %d bytes", w.arn, maxFunctionReply)
	}
	return res.StatusCode, res.Header, reply, nil
}

// failure is why an invocation gave no reply of the function, for the record; "" if it did. The log hears more,
// but nothing that the function has written itself.
func (w *functionWay) failure(status int, header http.Header, reply []byte) string {
	kind := header.Get("X-Amzn-Errortype")
	kind, _, _ = strings.Cut(kind, ":")
	switch failed := header.Get("X-Amz-Function-Error"); {
	case status == http.StatusOK && failed == "":
		return ""
	case status == http.StatusOK:
		w.log.Warn("a function failed", "function", w.arn, "kind", failed, "type", errorType(reply))
		return "the function failed"
	case status == http.StatusTooManyRequests:
		w.log.Warn("a function is throttled", "function", w.arn, "error", kind)
		return "the function is throttled"
	case status == http.StatusForbidden:
		w.log.Error("this function may not invoke another: allow its role lambda:InvokeFunction on it", "function", w.arn, "error", kind)
		return "no permission to invoke the function"
	case status == http.StatusNotFound:
		w.log.Error("there is no such function", "function", w.arn, "error", kind)
		return "there is no such function"
	}
	w.log.Error("Lambda did not invoke a function", "function", w.arn, "status", status, "error", kind)
	return "Lambda answered with status " + strconv.Itoa(status)
}

// errorType is the name of a function's error, if it looks like one.
func errorType(reply []byte) string {
	name := gjson.GetBytes(reply, "errorType").String()
	for _, c := range name {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' {
			return ""
		}
	}
	return name[:min(len(name), 80)]
}

// failedAs is API Gateway's answer when it has none of the function. A REST API answers a failed function with
// 502 and everything else with 500, an HTTP API all of it with 500.
func failedAs(req *http.Request, facts *tapway.Facts, why string) *http.Response {
	tapway.CallFrom(req.Context()).Error = why
	status, body := http.StatusInternalServerError, `{"message": "Internal server error"}`
	switch {
	case facts.Front == tapway.FrontHTTP:
		body = `{"message":"Internal Server Error"}`
	case why == "the function failed" || why == "malformed reply of the function":
		status = http.StatusBadGateway
	}
	return response(req, status, http.Header{"Content-Type": {"application/json"}}, []byte(body))
}

func response(req *http.Request, status int, header http.Header, body []byte) *http.Response {
	delete(header, "Content-Length") // the body's own counts
	return &http.Response{
		Status: strconv.Itoa(status) + " " + http.StatusText(status), StatusCode: status, Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
		Header: header, Body: io.NopCloser(bytes.NewReader(body)), ContentLength: int64(len(body)), Request: req,
	}
}
