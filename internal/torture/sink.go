package torture

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/record/recordtest"
)

var quiet = log.New(io.Discard, "", 0)

// tally counts faults by their names.
type tally struct {
	mu sync.Mutex
	n  map[string]int
}

func (t *tally) add(name string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n == nil {
		t.n = map[string]int{}
	}
	t.n[name]++
}

func (t *tally) list() (all []string) {
	t.mu.Lock()
	defer t.mu.Unlock()
	for _, name := range slices.Sorted(maps.Keys(t.n)) {
		all = append(all, fmt.Sprintf("%s %d", name, t.n[name]))
	}
	return all
}

// taken is what a destination keeps of a record.
type taken struct {
	ID           string `json:"id"`
	Endpoint     string `json:"endpoint"`
	Method       string `json:"method"`
	Status       int    `json:"status"`
	BodyInfo     sums   `json:"body_info"`
	ResponseInfo sums   `json:"response_info"`
}

type sums struct {
	Size   int64  `json:"size"`
	SHA256 string `json:"sha256"`
}

// sink is a destination. It keeps what it has answered with 2xx, and what it took although the
// answer got lost.
type sink struct {
	*httptest.Server
	name    string
	format  string // of its bodies: json, ndjson, cloudevents, har
	secrets *secrets
	faults  *tally

	mu       sync.Mutex
	random   *rand.Rand
	share    int               // one in so many deliveries fails; 0: none
	down     bool              // all fail
	got      map[string]string // endpoints by id
	records  map[string][]taken
	problems problems
	bodies   int
}

func newSink(name, format string, share int, seed uint64, s *secrets, faults *tally) *sink {
	k := &sink{
		name: name, format: format, share: share, secrets: s, faults: faults,
		random: rand.New(rand.NewPCG(seed, 3)), got: map[string]string{}, records: map[string][]taken{},
	}
	k.Server = httptest.NewUnstartedServer(k)
	k.Config.ErrorLog = quiet
	k.Start()
	return k
}

// set changes what it does.
func (k *sink) set(f func(*sink)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	f(k)
}

func (k *sink) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	k.mu.Lock()
	fault := -1
	if k.down {
		fault = 0
	} else if k.share > 0 && k.random.IntN(k.share) == 0 {
		fault = k.random.IntN(9)
	}
	k.mu.Unlock()
	if k.failed(w, r, fault) {
		return
	}
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	if err := k.take(r, body); err != nil {
		k.set(func(k *sink) { k.problems.add("a delivery to "+k.name+" is wrong", "%v: %.300s", err, body) })
		w.WriteHeader(http.StatusUnprocessableEntity)
		return
	}
	switch fault {
	case 7:
		k.faults.add("destination takes it, answer lost")
		panic(http.ErrAbortHandler)
	case 8:
		k.faults.add("destination takes it, answer cut")
		w.Header().Set("Content-Length", "100")
		io.WriteString(w, "taken")
	}
}

// failed makes a fault after which nothing has been taken.
func (k *sink) failed(w http.ResponseWriter, r *http.Request, fault int) bool {
	switch fault {
	case 0:
		k.faults.add("destination 503")
		w.WriteHeader(http.StatusServiceUnavailable)
	case 1:
		k.faults.add("destination resets")
		panic(http.ErrAbortHandler)
	case 2:
		k.faults.add("destination 429 Retry-After")
		w.Header().Set("Retry-After", "1")
		w.WriteHeader(http.StatusTooManyRequests)
	case 3:
		k.faults.add("destination hangs")
		io.Copy(io.Discard, r.Body)
		select {
		case <-r.Context().Done():
		case <-time.After(2 * time.Second):
		}
		panic(http.ErrAbortHandler)
	case 4:
		k.faults.add("destination 422")
		w.WriteHeader(http.StatusUnprocessableEntity)
	case 5:
		k.faults.add("destination 302")
		w.Header().Set("Location", "/elsewhere")
		w.WriteHeader(http.StatusFound)
	case 6:
		k.faults.add("destination speaks no HTTP")
		if conn, _, err := http.NewResponseController(w).Hijack(); err == nil {
			io.WriteString(conn, "\x16\x03\x01 no HTTP\r\n")
			conn.Close()
		}
	default:
		return false
	}
	return true
}

// take reads a delivery.
func (k *sink) take(r *http.Request, body []byte) error {
	head := fmt.Appendf(nil, "%s %v", r.RequestURI, r.Header)
	for _, text := range [][]byte{head, body} {
		if where := k.secrets.in(text); where != "" {
			k.set(func(k *sink) { k.problems.add("a secret at "+k.name, "%s", where) })
		}
	}
	got, err := k.parse(body)
	if err != nil {
		return err
	}
	k.mu.Lock()
	defer k.mu.Unlock()
	for _, t := range got {
		if other, ok := k.got[t.ID]; ok && other != t.Endpoint {
			k.problems.add("two records have one id at "+k.name, "%s: %s and %s", t.ID, other, t.Endpoint)
		}
		k.got[t.ID] = t.Endpoint
		k.records[t.Endpoint] = append(k.records[t.Endpoint], t)
	}
	return nil
}

// parse takes a body apart. Records are checked against the schema: all of them at the
// destination that takes all, and some elsewhere, where they are the same.
func (k *sink) parse(body []byte) (got []taken, err error) {
	k.mu.Lock()
	k.bodies++
	check := k.format == "json" || k.bodies%8 == 0
	k.mu.Unlock()
	one := func(text []byte) error {
		var t taken
		if err := json.Unmarshal(text, &t); err != nil {
			return err
		}
		if check {
			if err := recordtest.Check(text); err != nil {
				return err
			}
		}
		if t.ID == "" {
			return errors.New("a record without an id")
		}
		got = append(got, t)
		return nil
	}
	switch k.format {
	case "ndjson":
		for line := range bytes.Lines(body) {
			if err := one(bytes.TrimSuffix(line, []byte("\n"))); err != nil {
				return nil, err
			}
		}
	case "cloudevents":
		var e struct {
			ID, Type string
			Data     json.RawMessage
		}
		if err := json.Unmarshal(body, &e); err != nil {
			return nil, err
		}
		if e.ID == "" || e.Type == "" {
			return nil, errors.New("an event without an id or type")
		}
		return got, one(e.Data)
	case "har":
		return parseHAR(body)
	default:
		return got, one(body)
	}
	return got, nil
}

func parseHAR(body []byte) (got []taken, err error) {
	var h struct {
		Log struct {
			Entries []struct {
				Tapway  struct{ ID string } `json:"_tapway"`
				Request struct{ Method, URL string }
			}
		}
	}
	if err := json.Unmarshal(body, &h); err != nil {
		return nil, err
	}
	for _, e := range h.Log.Entries {
		u, err := url.Parse(e.Request.URL)
		if err != nil {
			return nil, err
		}
		got = append(got, taken{ID: e.Tapway.ID, Endpoint: u.Path, Method: e.Request.Method})
	}
	return got, nil
}

// find gives the records of a path.
func (k *sink) find(path string) []taken {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.records[path]
}

// distinct is how many different records it has.
func (k *sink) distinct() int {
	k.mu.Lock()
	defer k.mu.Unlock()
	return len(k.got)
}
