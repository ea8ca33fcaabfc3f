package deploy

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/attach"
)

// Call is the one call that a deployment is tried with.
type Call struct {
	URL    string
	Header http.Header // sent besides; nil: none

	// TraceID is sent as a W3C traceparent; the call's record has it as its trace_id.
	TraceID string
}

// Answer is what came back.
type Answer struct {
	Status    string        // "200 OK"
	RequestID string        // of API Gateway; "" without one
	FromAPI   string        // x-amzn-errortype: API Gateway answered by itself; "" if it did not say so
	Took      time.Duration // to the first byte
}

// APIURL is where an API is called by its own address.
func APIURL(a *attach.API) string {
	domain := "amazonaws.com"
	if Partition(a.Region) == "aws-cn" {
		domain += ".cn"
	}
	base := fmt.Sprintf("https://%s.execute-api.%s.%s", a.ID, a.Region, domain)
	if a.Stage != "" && a.Stage != "$default" {
		base += "/" + a.Stage
	}
	return base
}

// CallPath chooses what to call: an attached route that is a GET, or takes any method, without
// parameters; else below a greedy one. ok is false when there is none.
func CallPath(p *attach.Plan) (path string, ok bool) {
	greedy := ""
	for _, c := range p.Changes {
		method, at, found := strings.Cut(c.Route, " ")
		if !found && c.Route == "$default" {
			greedy = "/"
		}
		if !found || method != "GET" && method != "ANY" {
			continue
		}
		switch head, _, isGreedy := strings.Cut(at, "{proxy+}"); {
		case !strings.Contains(at, "{"):
			return at, true
		case isGreedy && !strings.Contains(head, "{") && greedy == "":
			greedy = head + "tapway-test"
		}
	}
	return greedy, greedy != ""
}

// NewCall is a call with a trace of its own.
func NewCall(to string, header http.Header) (*Call, error) {
	u, err := url.Parse(to)
	if err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return nil, fmt.Errorf("the test call: %q is not a URL", to)
	}
	id := make([]byte, 16)
	rand.Read(id)
	return &Call{URL: to, Header: header, TraceID: hex.EncodeToString(id)}, nil
}

// Do makes the call. Its answer is what the API says, be it an error: that is the API's affair.
func (c *Call) Do(ctx context.Context, client *http.Client) (*Answer, error) {
	ctx, cancel := context.WithTimeout(ctx, 35*time.Second) // API Gateway gives up after 29 or 30
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, c.URL, nil)
	if err != nil {
		return nil, fmt.Errorf("the test call: %w", err)
	}
	for name, values := range c.Header {
		req.Header[name] = values
	}
	req.Header.Set("User-Agent", "tapway-deploy")
	req.Header.Set("Traceparent", "00-"+c.TraceID+"-"+c.TraceID[:16]+"-01")
	began := time.Now()
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("the test call: %w", err)
	}
	defer resp.Body.Close()
	a := &Answer{Status: resp.Status, Took: time.Since(began), FromAPI: resp.Header.Get("X-Amzn-Errortype")}
	for _, name := range []string{"X-Amzn-Requestid", "Apigw-Requestid", "X-Amz-Apigw-Id"} {
		if a.RequestID == "" {
			a.RequestID = resp.Header.Get(name)
		}
	}
	_, _ = io.Copy(io.Discard, io.LimitReader(resp.Body, 10<<20))
	return a, nil
}
