package lambdaruntime

import (
	"errors"
	"fmt"
	"runtime"
	"strconv"
	"strings"
	"unicode/utf8"
)

const (
	maxFrames     = 32
	maxMessage    = 32 << 10 // bytes of an error's text; the rest is cut off, in the log too
	maxCause      = 8 << 10  // bytes of the X-Ray header
	maxTrailer    = 1800     // bytes of JSON in a trailer: all trailers must fit in 4 KiB, in base64, at net/http servers
	panicType     = "Function.Panic"
	errorTypeName = "Lambda-Runtime-Function-Error-Type"
	errorBodyName = "Lambda-Runtime-Function-Error-Body"
)

// failure is an error as the Runtime API takes it.
type failure struct {
	kind     string // errorType, safe in a header
	message  string
	stack    []frame
	panicked bool
}

type frame struct {
	path  string
	line  int
	label string
}

func failureOf(err error, kind string) *failure {
	var typed interface{ ErrorType() string }
	if errors.As(err, &typed) {
		kind = typed.ErrorType()
	}
	return &failure{kind: safeType(kind), message: cut(err.Error())}
}

func cut(message string) string {
	if len(message) > maxMessage {
		message = strings.ToValidUTF8(message[:maxMessage], "") + "…"
	}
	return message
}

// panicFailure is called by the deferred function that recovered v.
func panicFailure(v any) *failure {
	f := &failure{kind: panicType, message: cut(fmt.Sprint(v)), panicked: true}
	var pcs [maxFrames + 8]uintptr
	n := runtime.Callers(2, pcs[:])
	frames := runtime.CallersFrames(pcs[:n])
	thrown := false // past runtime.gopanic and what called it inside package runtime
	for {
		fr, more := frames.Next()
		inside := strings.HasPrefix(fr.Function, "runtime.")
		if thrown && !inside && len(f.stack) < maxFrames {
			f.stack = append(f.stack, frame{fr.File, fr.Line, fr.Function})
		}
		thrown = thrown || fr.Function == "runtime.gopanic"
		if !more {
			return f
		}
	}
}

// as is another failure that came of f, or of nothing if f is nil; a panic stays one.
func (f *failure) as(kind, message string) *failure {
	g := &failure{kind: kind, message: message}
	if f != nil {
		g.message += ": " + f.message
		g.stack, g.panicked = f.stack, f.panicked
	}
	return g
}

// where is the stack for a log line: "function file:line" from the inside out.
func (f *failure) where() []string {
	lines := make([]string, len(f.stack))
	for i, fr := range f.stack {
		lines[i] = fr.label + " " + fr.path + ":" + strconv.Itoa(fr.line)
	}
	return lines
}

// safeType keeps what AWS allows in an error type and a header can carry.
func safeType(s string) string {
	s = strings.Map(func(r rune) rune {
		if r < utf8.RuneSelf && isWord(byte(r)) {
			return r
		}
		return '_'
	}, s)
	if s == "" {
		return "Function.Error"
	}
	return s[:min(len(s), 128)]
}

// json is the body of /error in at most limit bytes, all of them ASCII: frames are left out
// from the outermost in, then the message is cut. limit must be at least 512.
func (f *failure) json(limit int) []byte {
	message := f.message
	for frames := len(f.stack); ; {
		b := append([]byte(`{"errorMessage":`), quote(message)...)
		b = append(b, `,"errorType":`...)
		b = append(b, quote(f.kind)...)
		if frames > 0 {
			b = append(b, `,"stackTrace":`...)
			b = appendFrames(b, f.stack[:frames])
		}
		b = append(b, '}')
		switch {
		case len(b) <= limit:
			return b
		case frames > 0:
			frames--
		default:
			message = message[:len(message)/2]
		}
	}
}

// cause is the value of Lambda-Runtime-Function-XRay-Error-Cause: what X-Ray shows of the error.
func (f *failure) cause() string {
	message := f.message[:min(len(f.message), 1<<10)]
	for frames := len(f.stack); ; frames-- {
		b := append([]byte(`{"working_directory":"","exceptions":[{"type":`), quote(f.kind)...)
		b = append(b, `,"message":`...)
		b = append(b, quote(message)...)
		b = append(b, `,"stack":`...)
		b = appendFrames(b, f.stack[:frames])
		b = append(b, `}],"paths":[]}`...)
		if len(b) <= maxCause || frames == 0 {
			return string(b)
		}
	}
}

func appendFrames(b []byte, frames []frame) []byte {
	b = append(b, '[')
	for i, fr := range frames {
		if i > 0 {
			b = append(b, ',')
		}
		b = append(b, `{"path":`...)
		b = append(b, quote(fr.path)...)
		b = append(b, `,"line":`...)
		b = strconv.AppendInt(b, int64(fr.line), 10)
		b = append(b, `,"label":`...)
		b = append(b, quote(fr.label)...)
		b = append(b, '}')
	}
	return append(b, ']')
}

// quote writes s as a JSON string of visible ASCII, fit for a header as well as for a body.
func quote(s string) []byte {
	const hex = "0123456789abcdef"
	b := make([]byte, 0, len(s)+2)
	unit := func(u rune) {
		b = append(b, '\\', 'u', hex[u>>12&15], hex[u>>8&15], hex[u>>4&15], hex[u&15])
	}
	b = append(b, '"')
	for _, r := range s {
		switch {
		case r == '"' || r == '\\':
			b = append(b, '\\', byte(r))
		case r == '\n':
			b = append(b, '\\', 'n')
		case r >= ' ' && r < 0x7f:
			b = append(b, byte(r))
		case r > 0xffff:
			r -= 0x10000
			unit(0xd800 + r>>10)
			unit(0xdc00 + r&0x3ff)
		default:
			unit(r)
		}
	}
	return append(b, '"')
}
