package proxy

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

func TestRefuseAnswersWithThePages(t *testing.T) {
	h := New(Settings{AppName: "Shop"})
	var call tapway.Call
	r := httptest.NewRequest("GET", "/", nil)
	r.Header.Set("Accept", "text/html")
	r = r.WithContext(tapway.WithCall(r.Context(), &call))
	w := httptest.NewRecorder()
	h.Refuse(w, r, 400, "Bad request: a header line is folded.", "bad request: a header line is folded")
	if w.Code != 400 || !strings.Contains(w.Body.String(), "a header line is folded") || !strings.Contains(w.Body.String(), "Shop") {
		t.Errorf("page: %d %s", w.Code, w.Body)
	}
	if call.Origin != tapway.OriginGateway || call.Error != "bad request: a header line is folded" || call.ClientIP != "192.0.2.1" {
		t.Errorf("call: %+v", call)
	}
}

// TestResponseMapping: an integration response changes status and header; a status that
// none takes is answered 500 by the gateway.
func TestResponseMapping(t *testing.T) {
	backend := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/odd" {
			w.WriteHeader(http.StatusTeapot)
		}
		io.WriteString(w, "body")
	}))
	defer backend.Close()
	h := New(Settings{Router: routerFunc(func(_ *http.Request, path, _ string, _ bool) (Hop, *Refusal) {
		return Hop{
			Scheme: "http", Host: strings.TrimPrefix(backend.URL, "http://"), Path: path, Backend: &Backend{Transport: NetHTTP(&http.Transport{})},
			Response: func(status int, h http.Header) (int, bool) {
				h.Set("Access-Control-Allow-Origin", "*")
				return 202, status == 200
			},
		}, nil
	})})
	front := httptest.NewServer(h)
	defer front.Close()
	for path, want := range map[string]int{"/": 202, "/odd": 500} {
		resp, err := http.Get(front.URL + path)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != want || want == 202 && (string(body) != "body" || resp.Header.Get("Access-Control-Allow-Origin") != "*") {
			t.Errorf("%s: %d %q %v", path, resp.StatusCode, body, resp.Header)
		}
	}
}
