package access

import (
	"net/http"
	"net/http/httptest"
	"slices"
	"testing"
)

// answeringSpy is a holder that sees responses and withholds a header.
type answeringSpy struct{ holdingSpy }

func (s *answeringSpy) Answer(r *Request, w http.ResponseWriter) (http.ResponseWriter, func()) {
	*s.log = append(*s.log, s.name+" wraps")
	r.Withhold("Accept-Encoding")
	return w, func() { *s.log = append(*s.log, s.name+" has all of it") }
}

// TestAnswerer: who sees responses hears of the end of those that came whole, before the call is
// ended, and what is withheld from the backend stays the client's in the record.
func TestAnswerer(t *testing.T) {
	for name, tt := range map[string]struct {
		backend http.HandlerFunc
		refuse  *Refusal
		want    []string
	}{
		"whole":   {func(http.ResponseWriter, *http.Request) {}, nil, []string{"a", "b", "a wraps", "b wraps", "b has all of it", "a has all of it", "b ends true", "a ends true"}},
		"broken":  {func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }, nil, []string{"a", "b", "a wraps", "b wraps", "b ends true", "a ends true"}},
		"refused": {nil, Forbidden("b"), []string{"a", "b", "a ends false"}},
	} {
		var log []string
		spies := []Decider{
			&answeringSpy{holdingSpy{spy{Authentication, "a", nil, &log}}},
			&answeringSpy{holdingSpy{spy{Filter, "b", tt.refuse, &log}}},
		}
		gate := new(Gate)
		gate.Set(NewChain(Options{}, spies...))
		in := httptest.NewRequest("GET", "/", nil)
		in.Header.Set("Accept-Encoding", "br")
		func() {
			defer func() {
				if p := recover(); p != nil && p != http.ErrAbortHandler {
					panic(p)
				}
			}()
			gate.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				if r.Header.Get("Accept-Encoding") != "" {
					t.Errorf("%s: the backend gets what was withheld", name)
				}
				tt.backend(w, r)
			})).ServeHTTP(httptest.NewRecorder(), in)
		}()
		if !slices.Equal(log, tt.want) {
			t.Errorf("%s: %q, want %q", name, log, tt.want)
		}
	}
}
