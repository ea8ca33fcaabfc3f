package proxy

import (
	"crypto/tls"
	"io"
	"net/http"
	"net/http/httptrace"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"github.com/tapway/tapway"
)

// The query parameters that Settings.Debug listens to, exactly so spelt.
const (
	dumpParameter  = "dump_request=y"
	traceParameter = "trace_connection=y"
)

// maxDump is how much of a body a dump shows.
const maxDump = 64 << 10

func hasParameter(query, parameter string) bool {
	_, found := cutParameter(query, parameter)
	return found
}

// cutParameter takes every occurrence of a parameter out of a raw query and leaves all
// other bytes alone.
func cutParameter(query, parameter string) (rest string, found bool) {
	if !strings.Contains(query, parameter) {
		return query, false
	}
	var kept []string
	for one := range strings.SplitSeq(query, "&") {
		if one == parameter {
			found = true
			continue
		}
		kept = append(kept, one)
	}
	if !found {
		return query, false
	}
	return strings.Join(kept, "&"), true
}

// dump answers with the request as it arrived, redacted as a record of it would be.
func (p *pass) dump(path, query string) {
	ex := &tapway.Exchange{
		Meta: tapway.Meta{
			ID: p.call.ID, Time: p.call.Start, Front: p.call.Front, Origin: originGateway, Proto: p.in.Proto, From: p.in.Host,
			Method: p.in.Method, Path: path, Query: query, Route: p.call.Route, ClientIP: p.call.ClientIP,
		},
		RequestHeader: tapway.Header(nil).AppendHTTP(p.in.Header),
		PathParams:    p.call.Params,
	}
	if p.in.Body != nil {
		body, err := io.ReadAll(io.LimitReader(p.in.Body, maxDump+1))
		if err != nil {
			p.answer(requestMalformed)
			return
		}
		ex.Request = tapway.Body{Bytes: body, Size: int64(len(body))}
		if len(body) > maxDump {
			ex.Request.Bytes, ex.Request.Truncated = body[:maxDump], true
		}
	}
	ex.RequestTrailer = tapway.Header(nil).AppendHTTP(p.in.Trailer)
	p.Redact(ex)

	text := dumpText(ex)
	p.call.Origin = originGateway
	h := p.w.Header()
	h.Set("Cache-Control", "no-store")
	h.Set("Content-Type", "text/plain; charset=utf-8")
	h.Set("Content-Length", strconv.Itoa(len(text)))
	h.Set("X-Content-Type-Options", "nosniff")
	p.w.WriteHeader(http.StatusOK)
	if p.in.Method != http.MethodHead {
		_, _ = p.w.Write([]byte(text))
	}
}

// dumpText looks like the request on the wire, with what tapway knows about it below.
func dumpText(ex *tapway.Exchange) string {
	var b strings.Builder
	b.WriteString(ex.Method + " " + ex.Path)
	if ex.Query != "" {
		b.WriteString("?" + ex.Query)
	}
	b.WriteString(" " + ex.Proto + "\nHost: " + ex.From + "\n")
	dumpHeader(&b, ex.RequestHeader)
	b.WriteByte('\n')
	switch body := ex.Request; {
	case body.Withheld:
		b.WriteString("[body withheld by redaction]\n")
	case len(body.Bytes) > 0 && (ex.RequestHeader.Has("Content-Encoding") && !body.Decoded || !utf8.Valid(body.Bytes)):
		b.WriteString("[" + strconv.Itoa(len(body.Bytes)) + " bytes that are not text]\n")
	case len(body.Bytes) > 0:
		b.Write(body.Bytes)
		b.WriteByte('\n')
	}
	if ex.Request.Truncated {
		b.WriteString("[cut off here]\n")
	}
	dumpHeader(&b, ex.RequestTrailer)
	b.WriteString("\n--\nid: " + ex.ID.String() + "\nclient: " + ex.ClientIP + "\nroute: " + ex.Route + "\n")
	return b.String()
}

func dumpHeader(b *strings.Builder, h tapway.Header) {
	h = slices.Clone(h)
	slices.SortStableFunc(h, func(x, y tapway.Field) int { return strings.Compare(x.Name, y.Name) })
	for _, f := range h {
		b.WriteString(f.Name + ": " + f.Value + "\n")
	}
}

// probe takes the times of how one backend's call was made. Its hooks run on any goroutine,
// even after the call.
type probe struct {
	mu                                sync.Mutex
	dnsStart, connectStart, tlsStart  time.Time
	dns, connect, handshake           time.Duration
	wrote, firstByte                  time.Time
	reused                            bool
	dnsFailed, connectFailed, tlsFail bool
}

// hook adds the probe to a trace that is not in use yet.
func (t *probe) hook(trace *httptrace.ClientTrace) {
	do := func(f func()) {
		t.mu.Lock()
		defer t.mu.Unlock()
		f()
	}
	trace.GotConn = func(i httptrace.GotConnInfo) { do(func() { t.reused = i.Reused }) }
	trace.DNSStart = func(httptrace.DNSStartInfo) { do(func() { t.dnsStart = time.Now() }) }
	trace.DNSDone = func(i httptrace.DNSDoneInfo) {
		do(func() { t.dns, t.dnsFailed = time.Since(t.dnsStart), i.Err != nil })
	}
	trace.ConnectStart = func(string, string) { do(func() { t.connectStart = time.Now() }) }
	trace.ConnectDone = func(_, _ string, err error) {
		do(func() { t.connect, t.connectFailed = time.Since(t.connectStart), err != nil })
	}
	trace.TLSHandshakeStart = func() { do(func() { t.tlsStart = time.Now() }) }
	trace.TLSHandshakeDone = func(_ tls.ConnectionState, err error) {
		do(func() { t.handshake, t.tlsFail = time.Since(t.tlsStart), err != nil })
	}
	trace.WroteRequest = func(httptrace.WroteRequestInfo) { do(func() { t.wrote = time.Now() }) }
	trace.GotFirstResponseByte = func() { do(func() { t.firstByte = time.Now() }) }
}

// log writes the one line of the trace. The route stands for the path, which may hold what
// nobody should read.
func (t *probe) log(p *pass, start, end time.Time, err error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	since := func(at time.Time) float64 {
		if at.IsZero() {
			return 0
		}
		return milliseconds(at.Sub(start))
	}
	result := "ok"
	if err != nil {
		result = reasonOf(err)
	}
	p.Log.Info("connection trace", "id", p.call.ID, "route", p.hop.Route, "backend", p.hop.Host, "result", result, "reused", t.reused,
		"dns_ms", milliseconds(t.dns), "dns_failed", t.dnsFailed,
		"connect_ms", milliseconds(t.connect), "connect_failed", t.connectFailed,
		"tls_ms", milliseconds(t.handshake), "tls_failed", t.tlsFail,
		"dialled_ms", milliseconds(p.call.Connect), "sent_ms", since(t.wrote), "first_byte_ms", since(t.firstByte), "head_ms", milliseconds(end.Sub(start)))
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }
