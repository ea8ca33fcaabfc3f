// Package capture is the http middleware that makes the exchange: it tees request and response
// as they pass, and when the response has ended it redacts the exchange and enqueues it.
//
// What a newcomer gets wrong: the exchange is enqueued before the response ends, not after. A
// response of known length keeps back its last bytes, one without a body its head, until
// Enqueue has returned; any other ends when the handler returns, which is later still. So a
// client that has a whole response has a record. This leans on the server not ending a
// response before its handler returns, as net/http does.
//
// It reads nothing by itself either: a request's body is recorded as far as the next stage has
// read it, which for a call refused at once is not at all.
//
// Nothing that fails in here changes a response, unless Recorder.Refuse says so. Memory is
// bounded: bodies are kept up to a limit, all calls share a budget, and what does not fit
// into it waits in encrypted temporary files. Neither that memory nor those files hold a call
// up for longer than a moment: its record is then stored without bodies, not dropped.
package capture
