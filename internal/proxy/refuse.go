package proxy

import (
	"net/http"

	"github.com/tapway/tapway"
)

// Refuse answers a call that never got as far as ServeHTTP, such as a request the server
// could not read or a filtered path, with the same pages. Message is for the client, reason
// for the record.
func (h *Handler) Refuse(w http.ResponseWriter, r *http.Request, status int, message, reason string) {
	p := &pass{state: h.state.Load(), w: w, in: r, call: tapway.CallFrom(r.Context())}
	p.knowPeer()
	p.answer(page{status: status, message: message, reason: reason})
}
