package http1

// Answer makes a whole response of a status, header names and values in turn, and a body, whose
// length it declares: without a map, for what is answered by the thousand. Nothing is sent before
// the handler has returned or flushes. False says that nothing was done, and that WriteHeader and
// Write have to: for HEAD, a long body, a header that Header has begun, one that frames the message.
//
// Whoever calls it answers for it that nobody keeps the request, its context or its body when the
// handler has returned: their memory is used again. The strings in them may be kept. A request
// somebody waits for the end of (its context's Done) is left alone.
func (w *serverResponse) Answer(status int, header []string, body string) bool {
	if w.status != 0 || w.hijacked || w.out == nil || w.err != nil || len(w.header) > 0 || w.isHead || !bodyAllowed(status) || status > 599 || len(body) > cap(w.out.body) {
		return false
	}
	for i := 0; i < len(header); i += 2 {
		switch header[i] {
		case "Content-Length", "Transfer-Encoding", "Trailer", "Connection", "Date":
			return false
		}
	}
	b := append(w.out.head[:0], statusLines(status)...)
	if w.old {
		b[len("HTTP/1.")] = '0'
	}
	for i := 0; i+1 < len(header); i += 2 {
		b = appendField(b, header[i], header[i+1])
	}
	w.out.head, w.out.body = b, append(w.out.body[:0], body...)
	w.status, w.declared, w.written, w.answered = status, int64(len(body)), int64(len(body)), true
	return true
}

// Reason makes phrase the reason phrase of a response with that status (RFC 9112 §4), if it is
// called before WriteHeader. One with control characters in it is not taken.
func (w *serverResponse) Reason(status int, phrase string) {
	for i := range len(phrase) {
		if c := phrase[i]; c < ' ' && c != '\t' || c == 0x7f {
			return
		}
	}
	w.reasonOf, w.reason = status, phrase
}
