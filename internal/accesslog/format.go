package accesslog

import (
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/jsonstring"
)

// Format is the form of a line.
type Format uint8

const (
	Combined Format = iota // Apache's: common and the Referer and User-Agent
	Common                 // host ident user [time] "request" status bytes
	JSON                   // one object
)

// ParseFormat reads common, combined or json; "" is combined.
func ParseFormat(s string) (Format, error) {
	switch s {
	case "", "combined":
		return Combined, nil
	case "common":
		return Common, nil
	case "json":
		return JSON, nil
	}
	return 0, fmt.Errorf("%q is no format of an access log: write common, combined or json", s)
}

// Append adds the line of a call to dst, its line feed included. The exchange must have been redacted.
func (f Format) Append(dst []byte, ex *tapway.Exchange, rule string) []byte {
	if f == JSON {
		return appendJSON(dst, ex, rule)
	}
	dst = appendToken(dst, ex.ClientIP)
	dst = append(dst, " - - ["...)
	dst = ex.Time.AppendFormat(dst, "02/Jan/2006:15:04:05 -0700")
	dst = append(dst, `] "`...)
	dst = appendEscaped(dst, ex.Method)
	dst = append(dst, ' ')
	dst = appendTarget(dst, ex)
	dst = append(dst, ' ')
	dst = appendEscaped(dst, ex.Proto)
	dst = append(dst, `" `...)
	if ex.Status == 0 {
		dst = append(dst, "499"...) // as nginx has it: the client left before there was a status
	} else {
		dst = strconv.AppendInt(dst, int64(ex.Status), 10)
	}
	dst = append(dst, ' ')
	if ex.ResponseSize == 0 {
		dst = append(dst, '-')
	} else {
		dst = strconv.AppendInt(dst, ex.ResponseSize, 10)
	}
	if f == Combined {
		for _, name := range [...]string{"Referer", "User-Agent"} {
			dst = append(dst, ` "`...)
			if v := ex.RequestHeader.Get(name); v != "" {
				dst = appendEscaped(dst, v)
			} else {
				dst = append(dst, '-')
			}
			dst = append(dst, '"')
		}
	}
	return append(dst, '\n')
}

func appendTarget(dst []byte, ex *tapway.Exchange) []byte {
	dst = appendEscaped(dst, ex.Path)
	if ex.Query != "" {
		dst = appendEscaped(append(dst, '?'), ex.Query)
	}
	return dst
}

// appendToken is appendEscaped for where there are no quotes: blanks are escaped too.
func appendToken(dst []byte, s string) []byte {
	if s == "" {
		return append(dst, '-')
	}
	start := len(dst)
	dst = appendEscaped(dst, s)
	if strings.IndexByte(s, ' ') >= 0 {
		text := strings.ReplaceAll(string(dst[start:]), " ", `\x20`)
		dst = append(dst[:start], text...)
	}
	return dst
}

// appendEscaped writes s as Apache does: quotes and backslashes behind a backslash, and every byte
// that is no printable ASCII as \xhh.
func appendEscaped(dst []byte, s string) []byte {
	const digits = "0123456789abcdef"
	for i := range len(s) {
		switch c := s[i]; {
		case c == '"' || c == '\\':
			dst = append(dst, '\\', c)
		case c < ' ' || c > '~':
			dst = append(dst, '\\', 'x', digits[c>>4], digits[c&15])
		default:
			dst = append(dst, c)
		}
	}
	return dst
}

func appendJSON(dst []byte, ex *tapway.Exchange, rule string) []byte {
	dst = append(dst, `{"time":"`...)
	dst = ex.Time.UTC().AppendFormat(dst, time.RFC3339Nano)
	dst = append(dst, `","id":"`...)
	if !ex.ID.IsZero() {
		dst = ex.ID.Append(dst)
	}
	dst = append(dst, '"')
	for _, f := range [...]struct{ name, value string }{
		{"client_ip", ex.ClientIP}, {"method", ex.Method}, {"host", ex.From}, {"path", ex.Path}, {"query", ex.Query}, {"proto", ex.Proto},
		{"route", ex.Route}, {"origin", string(ex.Origin)}, {"rule", rule}, {"error", ex.Error}, {"trace_id", ex.TraceID},
		{"referer", ex.RequestHeader.Get("Referer")}, {"user_agent", ex.RequestHeader.Get("User-Agent")},
	} {
		dst = append(append(append(dst, `,"`...), f.name...), `":`...)
		if !utf8.ValidString(f.value) {
			f.value = strings.ToValidUTF8(f.value, "\uFFFD")
		}
		dst = jsonstring.Append(dst, f.value)
	}
	for _, f := range [...]struct {
		name  string
		value int64
	}{{"status", int64(ex.Status)}, {"request_bytes", ex.RequestSize}, {"response_bytes", ex.ResponseSize}} {
		dst = append(append(append(dst, `,"`...), f.name...), `":`...)
		dst = strconv.AppendInt(dst, f.value, 10)
	}
	for _, f := range [...]struct {
		name  string
		value time.Duration
	}{{"duration_ms", ex.Duration}, {"overhead_ms", ex.Overhead}, {"connect_ms", ex.Connect}, {"first_byte_ms", ex.FirstByte}} {
		dst = append(append(append(dst, `,"`...), f.name...), `":`...)
		dst = strconv.AppendFloat(dst, float64(f.value.Microseconds())/1000, 'f', -1, 64)
	}
	return append(dst, '}', '\n')
}
