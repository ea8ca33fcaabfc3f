package record

import (
	"encoding/hex"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/schema"
)

// Version is the version of the format that Append writes and Parse reads.
const Version = 1

// Schema is the JSON Schema (draft 2020-12) that every record satisfies.
func Schema() []byte { return schema.ExchangeV1() }

// Append adds the record of ex to dst. The same exchange always gives the same bytes, and
// there is no line feed among them. It only reads ex. The cost is that of the bodies: they are
// decoded, validated when they claim to be JSON, and hashed unless their sum is known.
func Append(dst []byte, ex *tapway.Exchange) []byte {
	request := render(ex.RequestHeader, &ex.Request)
	response := render(ex.ResponseHeader, &ex.Response)
	dst = slices.Grow(dst, 1024+request.length()+response.length())

	dst = appendText(append(dst, `{"from":`...), ex.From)
	dst = appendText(append(dst, `,"endpoint":`...), ex.Path)
	dst = appendText(append(dst, `,"method":`...), ex.Method)
	dst = request.appendValue(append(dst, `,"body":`...))
	dst = appendHeaders(append(dst, `,"request_headers":`...), ex.RequestHeader)
	dst = response.appendValue(append(dst, `,"response":`...))
	dst = appendHeaders(append(dst, `,"response_headers":`...), ex.ResponseHeader)
	dst = strconv.AppendInt(append(dst, `,"status":`...), int64(min(max(ex.Status, 0), 999)), 10)

	dst = ex.ID.Append(append(dst, `,"version":1,"id":"`...))
	dst = appendTime(append(dst, `","time":"`...), ex.Time)
	dst = appendMillis(append(dst, `","duration_ms":`...), ex.Duration)
	dst = appendMillis(append(dst, `,"overhead_ms":`...), ex.Overhead)
	dst = appendText(append(dst, `,"query":`...), ex.Query)
	dst = appendTextOrNull(append(dst, `,"client_ip":`...), ex.ClientIP)
	dst = appendText(append(dst, `,"front":`...), orElse(string(ex.Front), string(tapway.FrontServer)))
	dst = appendText(append(dst, `,"origin":`...), orElse(string(ex.Origin), string(tapway.OriginGateway)))
	dst = appendTextOrNull(append(dst, `,"route":`...), ex.Route)
	dst = append(request.appendInfo(append(dst, `,"body_info":`...), &ex.Request), '}')
	dst = response.appendInfo(append(dst, `,"response_info":`...), &ex.Response)
	dst = append(dst, `,"first_byte_ms":`...)
	if ex.FirstByte >= time.Microsecond/2 {
		dst = appendMillis(dst, ex.FirstByte)
	} else {
		dst = append(dst, "null"...)
	}
	dst = appendTextOrNull(append(dst, `},"trace_id":`...), ex.TraceID)
	dst = appendAPI(append(dst, `,"api":`...), ex.API)
	dst = append(dst, `,"fidelity":[`...)
	for i, s := range ex.Fidelity {
		if i > 0 {
			dst = append(dst, ',')
		}
		dst = appendText(dst, s)
	}
	dst = appendTextOrNull(append(dst, `],"error":`...), ex.Error)

	dst = appendMillis(append(dst, `,"connect_ms":`...), ex.Connect)
	dst = appendTextOrNull(append(dst, `,"proto":`...), ex.Proto)
	if ex.Access >= time.Microsecond/2 {
		dst = appendMillis(append(dst, `,"access_ms":`...), ex.Access)
	}
	if len(ex.RequestTrailer) > 0 {
		dst = appendHeaders(append(dst, `,"request_trailers":`...), ex.RequestTrailer)
	}
	if len(ex.ResponseTrailer) > 0 {
		dst = appendHeaders(append(dst, `,"response_trailers":`...), ex.ResponseTrailer)
	}
	return append(dst, '}')
}

// FromMessage adds the record of m to dst: made from its frame, or as it came.
func FromMessage(dst []byte, m *tapway.Message) ([]byte, error) {
	if m.Frame == nil {
		return append(dst, m.Record...), nil
	}
	ex := views.Get().(*tapway.Exchange)
	if err := tapway.ViewFrame(m.Frame, ex); err != nil {
		return dst, fmt.Errorf("make the record of %s: %w", m.ID, err)
	}
	dst = Append(dst, ex)
	if lines := [...]tapway.Header{ex.RequestHeader, ex.ResponseHeader, ex.RequestTrailer, ex.ResponseTrailer}; cap(lines[0])+cap(lines[1])+cap(lines[2])+cap(lines[3]) <= maxViewed {
		for _, h := range lines {
			clear(h)
		}
		*ex = tapway.Exchange{RequestHeader: lines[0], ResponseHeader: lines[1], RequestTrailer: lines[2], ResponseTrailer: lines[3]}
		views.Put(ex)
	}
	return dst, nil
}

// views are empty exchanges, kept for the room of their headers: up to maxViewed lines.
var views = sync.Pool{New: func() any { return new(tapway.Exchange) }}

const maxViewed = 256

// Exchange is what m carries. From a frame the bodies alias m.Frame; from a record they
// are what Parse can give back.
func Exchange(m *tapway.Message) (*tapway.Exchange, error) {
	if m.Frame == nil {
		return Parse(m.Record)
	}
	ex, err := tapway.DecodeFrame(m.Frame)
	if err != nil {
		return nil, fmt.Errorf("read the frame of %s: %w", m.ID, err)
	}
	ex.Seq = m.Seq
	return ex, nil
}

func appendAPI(dst []byte, api *tapway.API) []byte {
	if api == nil {
		return append(dst, "null"...)
	}
	dst = appendText(append(dst, `{"id":`...), api.ID)
	dst = appendText(append(dst, `,"stage":`...), api.Stage)
	dst = appendText(append(dst, `,"request_id":`...), api.RequestID)
	return append(dst, '}')
}

// appendInfo leaves the object open for what only one side has.
func (r *rendered) appendInfo(dst []byte, b *tapway.Body) []byte {
	dst = append(append(append(dst, `{"encoding":"`...), r.encoding...), `","size":`...)
	dst = strconv.AppendInt(dst, max(b.Size, 0), 10)
	if sum, ok := sumOf(b); ok {
		dst = hex.AppendEncode(append(dst, `,"sha256":"`...), sum[:])
		dst = append(dst, '"')
	} else {
		dst = append(dst, `,"sha256":null`...)
	}
	dst = strconv.AppendBool(append(dst, `,"truncated":`...), b.Truncated)
	if r.coding != "" {
		dst = appendText(append(dst, `,"content_encoding":`...), r.coding)
		dst = strconv.AppendBool(append(dst, `,"decoded":`...), r.decoded)
	}
	return dst
}

func orElse(s, instead string) string {
	if s == "" {
		return instead
	}
	return s
}

func appendTime(dst []byte, t time.Time) []byte {
	return t.UTC().AppendFormat(dst, "2006-01-02T15:04:05.000Z")
}

// appendMillis writes milliseconds with at most three decimals, rounded to the microsecond.
func appendMillis(dst []byte, d time.Duration) []byte {
	us := int64(max(d, 0)) / 1000
	if max(d, 0)%1000 >= 500 {
		us++
	}
	dst = strconv.AppendInt(dst, us/1000, 10)
	us %= 1000
	if us == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// inOrder gives the positions of h's lines sorted by name, repeated names in the order they
// were sent. It fills room if that is large enough.
func inOrder(h tapway.Header, room []int32) []int32 {
	order := room[:0]
	for i := range h {
		order = append(order, int32(i))
	}
	if len(order) > cap(room) {
		slices.SortStableFunc(order, func(a, b int32) int { return strings.Compare(h[a].Name, h[b].Name) })
		return order
	}
	// Few lines: insertion sort is stable and makes no call per comparison.
	for i := 1; i < len(order); i++ {
		for j := i; j > 0 && h[order[j]].Name < h[order[j-1]].Name; j-- {
			order[j], order[j-1] = order[j-1], order[j]
		}
	}
	return order
}

// appendHeaders writes one object, sorted by name so that equal headers give equal bytes.
func appendHeaders(dst []byte, h tapway.Header) []byte {
	var room [64]int32
	order := inOrder(h, room[:])
	dst = append(dst, '{')
	for i := 0; i < len(order); {
		name := h[order[i]].Name
		if i > 0 {
			dst = append(dst, ',')
		}
		end := i + 1
		for end < len(order) && h[order[end]].Name == name {
			end++
		}
		dst = append(appendText(dst, name), ':')
		if end == i+1 {
			dst = appendText(dst, h[order[i]].Value)
		} else {
			dst = appendText(dst, joined(h, order[i:end], separator(name)))
		}
		i = end
	}
	return append(dst, '}')
}

// separator joins the lines of a repeated header. Cookies contain commas, so theirs is one
// that no header line can contain (RFC 9110 §5.3).
func separator(name string) string {
	if strings.EqualFold(name, "Set-Cookie") {
		return "\n"
	}
	return ", "
}

func joined(h tapway.Header, lines []int32, sep string) string {
	var b strings.Builder
	for i, at := range lines {
		if i > 0 {
			b.WriteString(sep)
		}
		b.WriteString(h[at].Value)
	}
	return b.String()
}
