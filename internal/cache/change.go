package cache

import (
	"net/http"
	"net/url"
)

// changeWriter takes out of the cache what a call has changed (RFC 9111 §4.4), before the client
// hears that it has: whoever reads then gets the new answer.
type changeWriter struct {
	http.ResponseWriter
	c                  *Cache
	scheme, host, path string
	over               bool
}

// Unwrap is for http.ResponseController.
func (w *changeWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }

func (w *changeWriter) WriteHeader(status int) {
	if status >= 200 && !w.over {
		w.over = true
		if status < 400 {
			w.invalidate(w.path)
			for _, name := range [...]string{"Location", "Content-Location"} {
				for _, line := range w.Header()[name] {
					w.named(line)
				}
			}
		}
	}
	w.ResponseWriter.WriteHeader(status)
}

func (w *changeWriter) Write(b []byte) (int, error) {
	if !w.over {
		w.WriteHeader(http.StatusOK)
	}
	return w.ResponseWriter.Write(b)
}

// named invalidates what a header names, if it is here. No host may empty another's entries.
func (w *changeWriter) named(text string) {
	u, err := url.Parse(trim(text))
	if err != nil || u.Opaque != "" || u.Scheme != "" && u.Scheme != "http" && u.Scheme != "https" {
		return
	}
	scheme := w.scheme
	if u.Scheme != "" {
		scheme = u.Scheme
	}
	if u.Host != "" && normalHost(scheme, u.Host) != w.host {
		return
	}
	base := &url.URL{Scheme: "http", Host: w.host, Path: w.path}
	if decoded, err := url.PathUnescape(w.path); err == nil {
		base.Path, base.RawPath = decoded, w.path
	}
	w.invalidate(base.ResolveReference(u).EscapedPath())
}

func (w *changeWriter) invalidate(path string) {
	n := w.c.store.invalidate(place{host: w.host, path: path})
	w.c.counts.invalidated.Add(uint64(n))
}
