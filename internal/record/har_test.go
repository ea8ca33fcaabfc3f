package record

import (
	"bytes"
	"encoding/json"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// archive is HAR 1.2 as far as its readers insist on it.
type archive struct {
	Log struct {
		Version string
		Creator struct{ Name, Version string }
		Entries []struct {
			StartedDateTime time.Time
			Time            float64
			Request         struct {
				Method, URL, HTTPVersion      string
				Cookies, Headers, QueryString []pair
				PostData                      *struct {
					MimeType, Text string
					Params         []pair
					Encoding       string `json:"_encoding"`
				}
				HeadersSize, BodySize *int
			}
			Response struct {
				Status                  int
				StatusText, HTTPVersion string
				Cookies, Headers        []pair
				Content                 struct {
					Size, Compression                 int
					MimeType, Text, Encoding, Comment string
				}
				RedirectURL           *string
				HeadersSize, BodySize *int
				Error                 string `json:"_error"`
			}
			Cache   *struct{}
			Timings map[string]float64
		}
	}
}

type pair struct {
	Name, Value, Path, Domain, Expires string
	HTTPOnly, Secure                   bool
}

func sequence(err error, exs ...*tapway.Exchange) iter.Seq2[*tapway.Exchange, error] {
	return func(yield func(*tapway.Exchange, error) bool) {
		for _, ex := range exs {
			if !yield(ex, nil) {
				return
			}
		}
		if err != nil {
			yield(nil, err)
		}
	}
}

func TestHAR(t *testing.T) {
	first := example()
	first.Connect = 2 * time.Millisecond
	first.Query = "a=b%20c&a=d+e&x&bad=%zz&"
	first.RequestHeader = append(first.RequestHeader, tapway.Field{Name: "Cookie", Value: "s=1; t=2"})
	first.ResponseHeader = append(first.ResponseHeader,
		tapway.Field{Name: "Set-Cookie", Value: "s=1; Path=/a; Domain=example.com; Secure; HttpOnly; Expires=Wed, 21 Oct 2026 07:28:00 GMT"},
		tapway.Field{Name: "Set-Cookie", Value: "[REDACTED]"}, tapway.Field{Name: "Location", Value: "/new"})
	second := example()
	second.Front, second.Path, second.Status, second.Error = "", "*", 0, "client went away"
	second.RequestHeader = tapway.Header{{Name: "Content-Type", Value: "application/x-www-form-urlencoded"}}
	second.Request = body("name=a+b&password=%5BREDACTED%5D")
	second.ResponseHeader = tapway.Header{{Name: "Content-Encoding", Value: "gzip"}, {Name: "Content-Type", Value: "text/css"}}
	second.Response = body(gzipped(strings.Repeat("x", 1000)))
	third := example()
	third.Request, third.Response = body("\xff\x00"), body("\xff\x01")

	var out bytes.Buffer
	if err := HAR(&out, sequence(nil, first, second, third)); err != nil {
		t.Fatal(err)
	}
	var har archive
	if err := json.Unmarshal(out.Bytes(), &har); err != nil {
		t.Fatalf("%v in %s", err, out.Bytes())
	}
	if har.Log.Version != "1.2" || har.Log.Creator.Name != "tapway" || len(har.Log.Entries) != 3 {
		t.Fatalf("log: %+v", har.Log)
	}
	for i, e := range har.Log.Entries {
		sum := 0.0
		for name, ms := range e.Timings {
			if name != "ssl" { // it is part of connect
				sum += max(ms, 0)
			}
		}
		if diff := sum - e.Time; diff > 0.0005 || diff < -0.0005 {
			t.Errorf("entry %d: timings make %v, time is %v", i, sum, e.Time)
		}
		if e.Cache == nil || e.Request.HeadersSize == nil || e.Request.BodySize == nil || e.Response.HeadersSize == nil || e.Response.BodySize == nil || e.Response.RedirectURL == nil {
			t.Errorf("entry %d lacks what HAR demands: %+v", i, e)
		}
	}

	one := har.Log.Entries[0]
	if one.Request.URL != "https://a1b2c3.execute-api.eu-west-1.amazonaws.com/api/v1/users?a=b%20c&a=d+e&x&bad=%zz&" {
		t.Errorf("url %s", one.Request.URL)
	}
	wantQuery := []pair{{Name: "a", Value: "b c"}, {Name: "a", Value: "d e"}, {Name: "x"}, {Name: "bad", Value: "%zz"}}
	if len(one.Request.QueryString) != 4 {
		t.Fatalf("query %+v", one.Request.QueryString)
	}
	for i, q := range one.Request.QueryString {
		if q != wantQuery[i] {
			t.Errorf("query %+v, want %+v", q, wantQuery[i])
		}
	}
	if len(one.Request.Cookies) != 2 || one.Request.Cookies[1].Name != "t" {
		t.Errorf("cookies %+v", one.Request.Cookies)
	}
	wantCookie := pair{"s", "1", "/a", "example.com", "2026-10-21T07:28:00Z", true, true}
	if len(one.Response.Cookies) != 1 || one.Response.Cookies[0] != wantCookie {
		t.Errorf("set cookies %+v", one.Response.Cookies)
	}
	if one.Request.PostData == nil || one.Request.PostData.Text != string(first.Request.Bytes) || *one.Response.RedirectURL != "/new" {
		t.Errorf("entry %+v", one)
	}

	two := har.Log.Entries[1]
	if !strings.HasPrefix(two.Request.URL, "http://") || !strings.HasSuffix(two.Request.URL, ".com/*?a=b&a=c") || two.Response.Status != 0 || two.Response.Error != "client went away" {
		t.Errorf("entry %+v", two)
	}
	if p := two.Request.PostData.Params; len(p) != 2 || p[0].Value != "a b" || p[1].Value != "[REDACTED]" {
		t.Errorf("params %+v", p)
	}
	if c := two.Response.Content; c.Size != 1000 || c.Compression != 1000-len(second.Response.Bytes) || c.Text != strings.Repeat("x", 1000) {
		t.Errorf("content %+v", c)
	}
	three := har.Log.Entries[2]
	if three.Request.PostData.Encoding != "base64" || three.Response.Content.Encoding != "base64" || three.Response.Content.Text != "/wE=" {
		t.Errorf("entry %+v", three)
	}
}

// Half an export must not be taken for a whole one.
func TestHARBroken(t *testing.T) {
	broken := errors.New("damaged segment")
	var out bytes.Buffer
	if err := HAR(&out, sequence(broken, example())); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
	if json.Valid(out.Bytes()) || !bytes.Contains(out.Bytes(), []byte("/api/v1/users")) {
		t.Errorf("out %s", out.Bytes())
	}
	if err := HAR(brokenWriter{broken}, sequence(nil, example())); !errors.Is(err, broken) {
		t.Errorf("error %v", err)
	}
}

type brokenWriter struct{ err error }

func (w brokenWriter) Write([]byte) (int, error) { return 0, w.err }

func TestHAREmpty(t *testing.T) {
	var out bytes.Buffer
	if err := HAR(&out, sequence(nil)); err != nil || !json.Valid(out.Bytes()) {
		t.Errorf("%v %s", err, out.Bytes())
	}
}
