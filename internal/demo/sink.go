package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"strings"
	"sync/atomic"
	"unicode"
)

// Sink is the demo's destination: it prints one line, of up to 80 columns, for every record
// it receives.
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
		Duration float64 `json:"duration_ms"`
		Overhead float64 `json:"overhead_ms"`
	}
	if err := json.Unmarshal(body, &record); err != nil {
		reply(w, http.StatusBadRequest, map[string]any{"message": "the body is no record: " + err.Error()})
		return
	}
	n := s.received.Add(1)
	if s.Out != nil {
		fmt.Fprintf(s.Out, "  #%-4d %3d %-6s %-26s %8.1f ms  +%.2f ms  %s\n",
			n, record.Status, record.Method, shorten(record.Endpoint, record.Query), record.Duration, record.Overhead, sizeText(len(body)))
	}
	w.WriteHeader(http.StatusNoContent)
}

func shorten(path, query string) string {
	if query != "" {
		path += "?" + query
	}
	// A client chooses its path; a terminal must not obey it.
	shown := []rune(strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return '?'
		}
		return r
	}, path))
	if len(shown) > 26 {
		return string(shown[:25]) + "…"
	}
	return string(shown)
}

func sizeText(n int) string {
	if n < 1<<20 {
		return fmt.Sprintf("%5.1f KiB", float64(n)/(1<<10))
	}
	return fmt.Sprintf("%5.1f MiB", float64(n)/(1<<20))
}
