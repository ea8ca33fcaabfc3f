package lambdaapp

import (
	"maps"
	"net/http"
	"strings"

	"github.com/tapway/tapway/internal/lambdaruntime"
)

const traceHeader = "X-Amzn-Trace-Id"

// traced lets a backend continue the function's X-Ray trace. What arrives goes to the backend as it
// is; a call without any trace gets Lambda's own, and one whose X-Amzn-Trace-Id, as the fronts add it,
// is only the root of Lambda's trace gets the function as its parent. It stands behind the
// capture, because the record's headers are those that arrived.
func traced(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if value := traceFor(r.Header, lambdaruntime.TraceID(r.Context())); value != "" {
			r = r.WithContext(r.Context())
			r.Header = maps.Clone(r.Header)
			r.Header[traceHeader] = []string{value}
		}
		next.ServeHTTP(w, r)
	})
}

// traceFor is the X-Amzn-Trace-Id to send in place of what arrived; "" leaves it as it is.
func traceFor(arrived http.Header, lambda string) string {
	root, parent, sampled := traceFields(lambda)
	if root == "" {
		return ""
	}
	own := "Root=" + root
	switch lines := arrived[traceHeader]; {
	case len(lines) == 0 && len(arrived["Traceparent"]) == 0:
	case len(lines) == 1:
		arrivedRoot, arrivedParent, arrivedSampled := traceFields(lines[0])
		if arrivedRoot != root || arrivedParent != "" || parent == "" {
			return ""
		}
		own = lines[0]
		if arrivedSampled != "" {
			sampled = ""
		}
	default:
		return ""
	}
	if parent != "" {
		own += ";Parent=" + parent
	}
	if sampled != "" {
		own += ";Sampled=" + sampled
	}
	return own
}

// traceFields takes a tracing header apart: Root=1-5759e988-bd862e3fe1be46a994272793;Parent=53995c3f42cd8ad8;Sampled=1.
// What is not formed like that is left out, and so is Lineage, which is for AWS alone.
func traceFields(header string) (root, parent, sampled string) {
	for part := range strings.SplitSeq(header, ";") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		switch {
		case name == "Root" && len(value) == 35 && value[:2] == "1-" && value[10] == '-' && isHex(value[2:10]) && isHex(value[11:]):
			root = value
		case name == "Parent" && len(value) == 16 && isHex(value):
			parent = value
		case name == "Sampled" && (value == "0" || value == "1" || value == "?"):
			sampled = value
		}
	}
	return root, parent, sampled
}

func isHex(s string) bool { return strings.Trim(s, "0123456789abcdef") == "" }

// traceID is the trace of Lambda's header as records have it, 32 hex digits.
func traceID(header string) string {
	root, _, _ := traceFields(header)
	if root == "" {
		return ""
	}
	return root[2:10] + root[11:]
}
