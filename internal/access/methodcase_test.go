package access

import (
	"net/http"
	"testing"
)

// TestMethodInSmallLetters: "delete" is another method than DELETE, and the same to many frameworks; a rule for DELETE holds for both.
func TestMethodInSmallLetters(t *testing.T) {
	policy := mustPolicy(t, overridePolicy)
	state := newState(t, epoch)
	rules := &Rules{List: []Rule{
		{Match: mustPattern(t, "PUT /x"), APIKey: Required},
		{Match: mustPattern(t, "PATCH /x"), Throttle: state.Throttle("patch", Rate{PerSecond: 1, Burst: 1})},
	}}
	methods := &Methods{Rules: rules, Policy: policy, Forms: &Bodies{Max: MaxForm, Total: 4 * MaxForm, State: state}}
	w := newWorld(t, &PolicyDecider{Policy: policy}, &Keys{Default: Off, Rules: rules}, &Plans{Rules: rules, State: state}, methods)
	w.now = epoch
	for _, tt := range []struct {
		method string
		status int
	}{
		{"GET", 200}, {"get", 200}, {"DELETE", 403}, {"delete", 403}, {"Delete", 403}, {"dELETE", 403}, {"DELETES", 200}, {"delet", 200},
		{"PUT", 403}, {"put", 403}, {"PATCH", 200}, {"patch", 429}, {"pAtCh", 429}, {"purge", 200},
	} {
		if got := w.do(t, tt.method, "/x"); got.status != tt.status {
			t.Errorf("%s: %d, want %d", tt.method, got.status, tt.status)
		}
	}
	// What a body asks for: some frameworks look into one of "post" as well.
	for _, method := range []string{"POST", "post"} {
		for asked, want := range map[string]int{"DELETE": 403, "GET": 200} {
			got, _ := w.ask(t, method, "/x", "_method="+asked, "Content-Type", urlencoded)
			if got.status != want {
				t.Errorf("%s with _method=%s: %d", method, asked, got.status)
			}
		}
	}
	limited := newWorld(t, &Methods{Allowed: []string{"GET"}})
	if got := limited.do(t, "get", "/x"); got.status != http.StatusForbidden {
		t.Errorf("get where GET alone is allowed: %d", got.status)
	}
}
