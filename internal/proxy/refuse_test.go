package proxy

import (
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
