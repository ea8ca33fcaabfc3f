// Package proxy is the stage that passes a call on to its backend: the target, the headers
// and the bodies go through as they came, and when there is no backend's answer to pass on
// it answers with a page of its own.
//
// What a newcomer gets wrong: the path is never taken from Request.URL, whose Path is
// already decoded, but from Request.RequestURI; a response that cannot be passed on whole
// ends in panic(http.ErrAbortHandler), so code that must run afterwards is deferred; and
// whatever reads the request's body may still be reading when the handler has returned,
// because a backend may answer before it has read everything.
package proxy
