package alarm

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// TestPartsAreScrubbed: also a part of the URL or of a header that is the secret itself stays out of what
// the other end has said, as it was written and decoded.
func TestPartsAreScrubbed(t *testing.T) {
	const query, user, bearer, encoded = "q7f3-key-of-query", "hunter2-pass", "eyJ-token-of-header", "p4th/token+of-path"
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		io.WriteString(w, "no: "+strings.Join([]string{query, user, bearer, encoded, r.Header.Get("Authorization")}, ", "))
	}))
	t.Cleanup(s.Close)
	w := &Webhook{
		URL:    tapway.Secret(strings.Replace(s.URL, "//", "//ops:"+user+"@", 1) + "/hooks/p4th%2Ftoken%2Bof-path?room=7&key=" + query),
		Format: "json", Header: map[string]tapway.Secret{"X-Auth": "Bearer " + bearer}, Transport: http.DefaultTransport,
	}
	_, err := w.Send(t.Context(), &Message{Kind: Fires})
	if err == nil {
		t.Fatal("it was taken")
	}
	for _, secret := range []string{query, user, bearer, encoded, "b3BzOmh1bnRlcjItcGFzcw"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("%q is in: %v", secret, err)
		}
	}
	if !strings.Contains(err.Error(), "403 Forbidden: no: ") {
		t.Errorf("what was said is gone: %v", err)
	}
}
