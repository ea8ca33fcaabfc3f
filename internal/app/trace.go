package app

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"net/http"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/otlp"
)

// sampler decides which traces are kept, always the same for the same trace: when a record is
// delivered, perhaps by another process, it is known again without being stored.
type sampler struct {
	threshold uint64 // of the last 56 bits of a trace's id, which are random: from here up it is kept
	parent    bool   // a caller that has decided is followed
}

func newSampler(share float64, parent bool) sampler {
	const all = 1 << 56
	return sampler{threshold: all - uint64(math.Round(share*all)), parent: parent}
}

func (s sampler) keeps(p *place) bool {
	if p.came && s.parent && p.decided {
		return p.flags&1 != 0
	}
	return binary.BigEndian.Uint64(p.trace[8:])&(1<<56-1) >= s.threshold
}

// place is where a call stands in a trace, by what came with it.
type place struct {
	trace   otlp.TraceID
	parent  otlp.SpanID
	flags   byte
	came    bool // the trace is the caller's
	decided bool // and so is whether it is sampled
	w3c     bool // it came by traceparent
}

// placeOf reads traceparent (W3C Trace Context §3.2), else X-Amzn-Trace-Id. A call without either
// begins a trace, whose id is that of its record. get gives a header's only value, "" if
// there is none or several.
func placeOf(get func(name string) string, id tapway.ID) place {
	if p, ok := parseTraceparent(get("Traceparent")); ok {
		return p
	}
	if p, ok := parseAmzn(get("X-Amzn-Trace-Id")); ok {
		return p
	}
	return place{trace: otlp.TraceID(id)}
}

func headerValue(h http.Header) func(string) string {
	return func(name string) string {
		if v := h[name]; len(v) == 1 {
			return v[0]
		}
		return ""
	}
}

func parseTraceparent(v string) (p place, ok bool) {
	if len(v) < 55 || v[2] != '-' || v[35] != '-' || v[52] != '-' || v[:2] == "ff" {
		return place{}, false
	}
	if len(v) > 55 && (v[:2] == "00" || v[55] != '-') {
		return place{}, false
	}
	var version, flags [1]byte
	if !unhex(version[:], v[:2]) || !unhex(p.trace[:], v[3:35]) || !unhex(p.parent[:], v[36:52]) || !unhex(flags[:], v[53:55]) {
		return place{}, false
	}
	p.flags, p.came, p.decided, p.w3c = flags[0]&3, true, true, true
	return p, p.trace != otlp.TraceID{} && p.parent != otlp.SpanID{}
}

func parseAmzn(v string) (p place, ok bool) {
	for part := range strings.SplitSeq(v, ";") {
		switch name, value, _ := strings.Cut(strings.TrimSpace(part), "="); name {
		case "Root":
			if len(value) == 35 && value[:2] == "1-" && value[10] == '-' {
				ok = unhex(p.trace[:], value[2:10]+value[11:])
			}
		case "Parent":
			if !unhex(p.parent[:], value) {
				p.parent = otlp.SpanID{}
			}
		case "Sampled":
			p.decided = value == "0" || value == "1"
			if value == "1" {
				p.flags = 1
			}
		}
	}
	p.came = true
	return p, ok && p.trace != otlp.TraceID{}
}

// unhex reads lower-case hex digits that fill dst.
func unhex(dst []byte, s string) bool {
	if len(s) != 2*len(dst) || strings.ContainsAny(s, "ABCDEF") {
		return false
	}
	_, err := hex.Decode(dst, []byte(s))
	return err == nil
}

// callSpan and backendSpan are made of a record's id, in which there is enough chance: whoever has
// the record knows the spans.
func callSpan(id tapway.ID) otlp.SpanID { return otlp.SpanID(id[8:]) }

func backendSpan(id tapway.ID) otlp.SpanID {
	s := callSpan(id)
	s[0] ^= 0xc0 // a UUID has 10 in these bits, so that neither id is zero nor any other call's
	return s
}

func traceparent(trace otlp.TraceID, span otlp.SpanID, flags byte) string {
	b := make([]byte, 0, 55)
	b = hex.AppendEncode(append(b, "00-"...), trace[:])
	b = hex.AppendEncode(append(b, '-'), span[:])
	b = hex.AppendEncode(append(b, '-'), []byte{flags})
	return string(b)
}
