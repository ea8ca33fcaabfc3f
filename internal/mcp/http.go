package mcp

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
)

// ServeHTTP is the transport "Streamable HTTP" without sessions and streams: each POST holds one
// message and gets its answer as JSON. Whoever mounts it checks the token, the Host and the
// Origin.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodPost {
		w.Header().Set("Allow", http.MethodPost) // no stream of the server's own, no session to end
		http.Error(w, "POST one message", http.StatusMethodNotAllowed)
		return
	}
	if v := r.Header.Get("MCP-Protocol-Version"); v != "" && !slices.Contains(protocols, v) {
		http.Error(w, "this revision of the protocol is not spoken here", http.StatusBadRequest)
		return
	}
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxMessage))
	if err != nil {
		http.Error(w, "the message cannot be read, or is too long", http.StatusBadRequest)
		return
	}
	m, answer := parse(raw)
	status := http.StatusBadRequest
	if answer == nil {
		if answer, status = s.answer(r.Context(), m), http.StatusOK; answer == nil {
			w.WriteHeader(http.StatusAccepted)
			return
		}
	}
	b, err := json.Marshal(answer)
	if err != nil {
		http.Error(w, "the answer cannot be written", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Cache-Control", "no-store")
	w.WriteHeader(status)
	w.Write(append(b, '\n'))
}
