package tapway

import (
	"net/http"
	"testing"
)

func TestTarget(t *testing.T) {
	tests := []struct {
		method, uri string
		path, query string
		hasQuery    bool
		ok          bool
	}{
		{"GET", "/a?b", "/a", "b", true, true},
		{"GET", "/a?", "/a", "", true, true},
		{"GET", "http://h/a%2F?b", "/a%2F", "b", true, true},
		{"GET", "HTTPS://h:1//a", "//a", "", false, true},
		{"GET", "http://h", "/", "", false, true},
		{"GET", "http://h?x", "/", "x", true, true},
		{"OPTIONS", "http://h", "*", "", false, true},
		{"OPTIONS", "http://h/", "/", "", false, true},
		{"OPTIONS", "*", "*", "", false, true},
		{"GET", "*", "*", "", false, false},
		{"GET", "ftp://h/a", "", "", false, false},
		{"GET", "a/b", "", "", false, false},
		{"GET", "/a b", "/a b", "", false, false},
		{"GET", "/a\x7f", "/a\x7f", "", false, false},
		{"GET", "/a?b\tc", "/a", "b\tc", true, false},
		{"GET", "/ü", "/ü", "", false, true},
	}
	for _, tt := range tests {
		path, query, hasQuery, ok := Target(&http.Request{Method: tt.method, RequestURI: tt.uri})
		if path != tt.path || query != tt.query || hasQuery != tt.hasQuery || ok != tt.ok {
			t.Errorf("%s %s: %q %q %v %v, want %q %q %v %v", tt.method, tt.uri, path, query, hasQuery, ok, tt.path, tt.query, tt.hasQuery, tt.ok)
		}
	}
}
