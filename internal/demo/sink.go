package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
)

// Sink is the demo's destination: it prints one line for every record it receives.
type Sink struct {
	Out      io.Writer // nil: prints nothing
	received atomic.Int64
}

// Received is how many records have come.
func (s *Sink) Received() int64 { return s.received.Load() }

func (s *Sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		reply(w, http.StatusOK, map[string]any{"message": "POST records here", "received": s.Received()})
		return
	}
	body, err := io.ReadAll(http.MaxBytesReader(w, r.Body, 64<<20))
	if err != nil {
		reply(w, http.StatusBadRequest, map[string]any{"message": "the record broke off"})
		return
	}
	var record struct {
		ID       string  `json:"id"`
		Method   string  `json:"method"`
		Endpoint string  `json:"endpoint"`
		Query    string  `json:"query"`
		Status   int     `json:"status"`
		Origin   string  `json:"origin"`
		Duration float64 `json:"duration_ms"`
		Overhead float64 `json:"overhead_ms"`
	}
	if err := json.Unmarshal(body, &record); err != nil {
		reply(w, http.StatusBadRequest, map[string]any{"message": "the body is no record: " + err.Error()})
		return
	}
	n := s.received.Add(1)
	if s.Out != nil {
		fmt.Fprintf(s.Out, "  record %-4d %3d %-6s %-34s %8.1f ms (tapway %.2f)  %s, %d bytes\n",
			n, record.Status, record.Method, shorten(record.Endpoint, record.Query), record.Duration, record.Overhead, record.Origin, len(body))
	}
	w.WriteHeader(http.StatusNoContent)
}

func shorten(path, query string) string {
	if query != "" {
		path += "?" + query
	}
	// A client chooses its path; a terminal must not obey it.
	path = strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return '?'
		}
		return r
	}, path)
	if len(path) > 34 {
		return path[:31] + "..."
	}
	return path
}
