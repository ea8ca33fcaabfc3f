package access

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway"
)

// drip is a body that comes at a pace.
type drip struct {
	text  string
	piece int
	every time.Duration
}

func (d *drip) Read(p []byte) (int, error) {
	if d.text == "" {
		return 0, io.EOF
	}
	time.Sleep(d.every)
	n := copy(p[:min(len(p), d.piece)], d.text)
	d.text = d.text[n:]
	return n, nil
}

// TestDrippingBody: a body that the gate waits for has to come at some pace; a slow one passes, and one byte now and then does not.
func TestDrippingBody(t *testing.T) {
	long := "a=" + strings.Repeat("x", 20_000)
	for _, tt := range []struct {
		name   string
		kind   string // of a form; "" is a webhook
		piece  int
		every  time.Duration
		status int
		within time.Duration
	}{
		{"webhook, a small one after a pause", "", 2, 59 * time.Second, 200, time.Minute},
		{"form, a small one after a pause", urlencoded, 2, 59 * time.Second, 200, time.Minute},
		{"webhook, slowly", "", 500, time.Second, 200, time.Minute},
		{"webhook, after pauses", "", 20_002, 12 * time.Second, 200, time.Minute},
		{"webhook, a little below the pace", "", 330, time.Second, 408, time.Minute},
		{"webhook, a byte now and then", "", 1, 50 * time.Second, 408, time.Minute},
		{"form, slowly", urlencoded, 500, time.Second, 200, time.Minute},
		{"form, a little below the pace", urlencoded, 330, time.Second, 408, time.Minute},
		{"form, a byte now and then", urlencoded, 1, 50 * time.Second, 408, time.Minute},
		{"parts, a byte now and then", "multipart/form-data; boundary=B", 1, 50 * time.Second, 408, time.Minute},
		{"JSON, a byte now and then", "application/json", 1, 50 * time.Second, 408, time.Minute},
		{"text, a byte now and then", "text/plain", 1, 50 * time.Second, 200, 0},
		{"packed, a byte now and then", "packed", 1, 50 * time.Second, 408, time.Minute},
	} {
		synctest.Test(t, func(t *testing.T) {
			w, began, form := formWorld(t), time.Now(), long
			if tt.piece == 2 {
				form = "a="
			}
			r := httptest.NewRequest("POST", "/x", &drip{form, tt.piece, tt.every})
			r.ContentLength = int64(len(form))
			switch tt.kind {
			case "":
				w = newWorld(t, hooks(hook(t, WebhookOptions{Provider: "github"}, githubSecret)))
				r.Header.Set("X-Hub-Signature-256", signed("github", githubSecret, form, 0)[1])
			case "packed":
				r.Header.Set("Content-Type", urlencoded)
				r.Header.Set("Content-Encoding", "gzip")
			default:
				r.Header.Set("Content-Type", tt.kind)
			}
			out := httptest.NewRecorder()
			w.gate.Wrap(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})).ServeHTTP(out, r.WithContext(tapway.WithCall(r.Context(), new(tapway.Call))))
			if took := time.Since(began); out.Code != tt.status || took > tt.within {
				t.Errorf("%s: %d after %v, want %d within %v", tt.name, out.Code, took, tt.status, tt.within)
			}
		})
	}
}
