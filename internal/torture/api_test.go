package torture

import (
	"crypto/sha256"
	"encoding/hex"
	"math/rand/v2"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// newTestAPI is an API of every kind.
func newTestAPI(t *testing.T, b behind) *api {
	t.Helper()
	w := &world{o: Options{Dir: t.TempDir(), Seed: 1, Log: t.Logf}, secrets: newSecrets(1)}
	w.backend = newBackend(w.secrets, &w.faults)
	t.Cleanup(w.backend.Close)
	a, err := w.newAPI(life{no: 3, behind: &b})
	if err != nil {
		t.Fatal(err)
	}
	return a
}

var everyAPI = map[string]behind{"REST": {}, "HTTP": {http: true}, "HTTP that deploys by itself": {http: true, auto: true}}

// TestAPILeadsToBackend: what is made is deployed, and clients' calls go to the backend.
func TestAPILeadsToBackend(t *testing.T) {
	for name, b := range everyAPI {
		a := newTestAPI(t, b)
		if d := a.differs(); d != "" {
			t.Errorf("%s: it differs at once: %s", name, d)
		}
		if stray := a.strays(a.w.backend.Listener.Addr().String()); stray != "" {
			t.Errorf("%s: %s", name, stray)
		}
		if stray := a.strays(tapwayHost); stray == "" {
			t.Errorf("%s: it leads to tapway", name)
		}
		a.open("127.0.0.1:1")
		resp, err := http.Get("http://" + a.front.host() + "/a/1?size=10&reply=text&status=201&seed=5")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		a.close()
		if resp.StatusCode != 201 || resp.Header.Get(wayHeader) != wayBackend {
			t.Errorf("%s: %s, way %q", name, resp.Status, resp.Header.Get(wayHeader))
		}
	}
}

// TestAPIIsNotAsBefore: whatever an attach could leave behind is seen.
func TestAPIIsNotAsBefore(t *testing.T) {
	call := func(method, path string, in object) func(*testing.T, *api) {
		return func(t *testing.T, a *api) {
			if _, err := a.server.Call(method, strings.ReplaceAll(path, "API", a.id), in); err != nil {
				t.Fatal(err)
			}
		}
	}
	const arn = "arn:aws:apigateway:us-east-1::"
	for _, tt := range []struct {
		name, api string
		change    func(*testing.T, *api)
	}{
		{"a tag", "REST", call("PUT", "/tags/"+url.PathEscape(arn+"/restapis/")+"API", object{"tags": map[string]string{"tapway:state": "file"}})},
		{"a route", "REST", func(_ *testing.T, a *api) {
			a.server.EditREST(a.id, func(r *apitest.RestAPI) { r.Method("ANY", "/{proxy+}").Integration.URI = "https://" + tapwayHost })
		}},
		{"a response", "REST", func(_ *testing.T, a *api) {
			a.server.EditREST(a.id, func(r *apitest.RestAPI) { r.Method("GET", "/orders").Integration.Responses = nil })
		}},
		{"a deployment that is live", "REST", call("POST", "/restapis/API/deployments", object{"stageName": stageName})},
		{"a deployment", "REST", call("POST", "/restapis/API/deployments", object{})},
		{"a tag", "HTTP", call("POST", "/v2/tags/"+url.PathEscape(arn+"/apis/")+"API", object{"tags": map[string]string{"tapway:state": "file"}})},
		{"an integration", "HTTP", call("POST", "/v2/apis/API/integrations", object{"integrationType": "HTTP_PROXY", "integrationMethod": "ANY", "integrationUri": "https://x.test"})},
		{"a deployment", "HTTP", call("POST", "/v2/apis/API/deployments", object{"description": "tapway 12: attach"})},
		{"a route", "HTTP that deploys by itself", call("POST", "/v2/apis/API/routes", object{"routeKey": "GET /x"})},
	} {
		a := newTestAPI(t, everyAPI[tt.api])
		tt.change(t, a)
		if a.differs() == "" {
			t.Errorf("%s of an API of kind %s is not seen", tt.name, tt.api)
		}
	}
}

// TestJudgeCommand: what a command on an API has not kept to is seen.
func TestJudgeCommand(t *testing.T) {
	for _, tt := range []struct {
		name     string
		kind     string
		was, now string
		result   result
		problem  string
	}{
		{"refused", doAttach, "attached", "attached", result{code: 1}, ""},
		{"failed for no reason", doAttach, "", "attaching", result{code: 1}, "nothing was in its way"},
		{"failed with a reason", doAttach, "", "attaching", result{code: 1, disturbed: true}, ""},
		{"killed", doAttach, "", "attaching", result{code: -1, disturbed: true, killed: true}, ""},
		{"did nothing", doAttach, "", "attached", result{}, "it is not attached"},
		{"taken back", doAttach, "", "detached", result{code: 1, disturbed: true, out: "the API is as it was"}, ""},
		{"taken back, it says", doAttach, "", "undoing", result{code: 1, disturbed: true, out: "the API is as it was"}, "not as it was"},
		{"detached", doDetach, "attached", "detached", result{}, ""},
		{"detached what was not attached", doDetach, "", "", result{}, "nothing was in its way"},
		{"half detached", doDetach, "attached", "detaching", result{}, "not as it was"},
		{"looked", doStatus, "attached", "attached", result{}, ""},
		{"found fault", doStatus, "attached", "attached", result{code: 1}, "nothing was in its way"},
		{"looked at what was interrupted", doStatus, "attaching", "attaching", result{code: 1}, ""},
		{"looked and changed", doStatus, "attached", "detached", result{}, "it changed the state"},
		{"broke down", doStatus, "attached", "attached", result{code: 2, disturbed: true, out: "panic: no"}, "it broke down"},
	} {
		a := newTestAPI(t, behind{})
		a.judge(step{kind: tt.kind}, tt.was, tt.now, tt.result)
		if said := strings.Join(a.w.problems.all(), "\n"); (said == "") != (tt.problem == "") || !strings.Contains(said, tt.problem) {
			t.Errorf("%s: %s", tt.name, said)
		}
	}
	a := newTestAPI(t, behind{})
	a.judge(step{kind: doStatus}, "", "", result{out: "the secret is " + a.secret})
	if said := a.w.problems.all(); len(said) != 1 || !strings.Contains(said[0], "a secret in the output") {
		t.Errorf("%q", said)
	}
}

// TestSecretBesideTheState: the secret of an attach is in its file and in the saved state, which only
// their owner can read, and nowhere else.
func TestSecretBesideTheState(t *testing.T) {
	for name, mode := range map[string]os.FileMode{"tapway-x.json": 0o600, ".tapway-1": 0o600, "plan.json": 0o600, "tapway-y.json": 0o644} {
		a := newTestAPI(t, behind{})
		path := filepath.Join(a.dir, name)
		if err := os.WriteFile(path, []byte(a.secret), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		if err := a.takeOff(); err != nil {
			t.Fatal(err)
		}
		if good, said := mode == 0o600 && name != "plan.json", a.w.problems.all(); good != (len(said) == 0) {
			t.Errorf("%s: %q", name, said)
		}
	}
}

// TestAnswers: through an API a client gets the answer that it gets without tapway.
func TestAnswers(t *testing.T) {
	s := newSecrets(1)
	query := func(fault string) url.Values {
		return url.Values{"seed": {"9"}, "size": {"1000"}, "reply": {"gzip"}, "status": {"201"}, "fault": {fault}}
	}
	_, body := s.answer(rand.New(rand.NewPCG(9, 2)), "gzip", 1000)
	sum := sha256.Sum256(body)
	right := call{path: "/a/1", method: "POST", status: 201, got: int64(len(body)), sumGot: hex.EncodeToString(sum[:])}
	for _, tt := range []struct {
		name    string
		change  func(*call)
		fault   string
		outside bool
		broke   bool
		own     int // how many of its own answers are counted
		problem string
	}{
		{name: "right", change: func(c *call) { c.way = wayBackend }},
		{name: "right, slow", change: func(c *call) { c.way = wayTapway }, fault: backendSlow},
		{name: "another status", change: func(c *call) { c.way, c.status = wayTapway, 200 }, problem: "status 200, want 201"},
		{name: "without the secret", change: func(c *call) { c.way, c.status = wayTapway, 403 }, problem: "status 403"},
		{name: "shorter", change: func(c *call) { c.way = wayBackend; c.got-- }, problem: "bytes"},
		{name: "another body", change: func(c *call) { c.way, c.sumGot = wayBackend, "00" }, problem: "sum 00"},
		{name: "HEAD", change: func(c *call) { c.way, c.method = wayBackend, "HEAD" }, problem: "want 0"},
		{name: "to fail", change: func(c *call) { c.way, c.status = wayBackend, 502 }, fault: backendReset},
		{name: "broken off", change: func(c *call) { c.way, c.status = wayBackend, 400 }, broke: true},
		{name: "too late", change: func(c *call) { c.way, c.status, c.ended = wayTapway, 504, c.began.Add(proxyTimeout) }, own: 1},
		{name: "too late too early", change: func(c *call) { c.way, c.status, c.ended = wayTapway, 504, c.began.Add(proxyTimeout-1) }, problem: "status 504"},
		{name: "too late past it", change: func(c *call) { c.way, c.status, c.ended = wayBackend, 504, c.began.Add(proxyTimeout) }, problem: "status 504"},
		{name: "no room", change: func(c *call) { c.way, c.status, c.excused = wayTapway, 503, "disk full" }, own: 1},
		{name: "no reason", change: func(c *call) { c.way, c.status = wayTapway, 503 }, problem: "status 503"},
		{name: "backend not reached", change: func(c *call) { c.way, c.status = wayTapway, 502 }, own: 1},
		{name: "its own error", change: func(c *call) { c.way, c.status = wayTapway, 500 }, problem: "status 500"},
		{name: "no API", change: func(c *call) { c.status = 500 }},
		{name: "outside, refused", change: func(c *call) { c.status = 403 }, outside: true},
		{name: "outside, let in", change: func(*call) {}, outside: true, problem: "not refused"},
	} {
		var n notes
		c := &client{calls: &calls{}, secrets: s, problem: n.problem, outside: tt.outside, keep: func(c *call) string { return c.excused }}
		one := right
		tt.change(&one)
		c.check(&one, query(tt.fault), tt.broke)
		if said := n.String(); (said == "") != (tt.problem == "") || !strings.Contains(said, tt.problem) {
			t.Errorf("%s: %s", tt.name, said)
		}
		if c.own[one.status] != tt.own {
			t.Errorf("%s: %v", tt.name, c.own)
		}
	}
}

// TestPastTapway: a call that an API led past tapway has no record anywhere, unless an earlier try of it
// was led there.
func TestPastTapway(t *testing.T) {
	for _, tt := range []struct {
		name    string
		record  bool
		led     bool
		dead    map[string]bool
		leaked  int64
		own     int
		problem string
	}{
		{name: "no record"},
		{name: "a record", record: true, problem: "has a record"},
		{name: "a record of an earlier try", record: true, led: true},
		{name: "a dead letter", dead: map[string]bool{"/a/1": true}, problem: "dead letter"},
		{name: "the secret", leaked: 1, problem: "reached the backend"},
		{name: "not reached", own: 5},
		{name: "not reached too often", own: 6, problem: "too often"},
	} {
		w := &world{o: Options{Log: t.Logf}, backend: &backend{}}
		w.calls.end(&call{path: "/a/1", way: wayBackend})
		if _, ended := w.calls.count(); ended != 0 {
			t.Errorf("%s: it is to have a record", tt.name)
		}
		k := &sink{name: "calm", records: map[string][]taken{}}
		if tt.record {
			k.records["/a/1"] = []taken{{ID: "1"}}
		}
		if tt.led {
			w.led.add("/a/1")
		}
		w.sinks = []*sink{k}
		w.backend.leaked.Store(tt.leaked)
		for range tt.own {
			w.calls.answered(http.StatusBadGateway)
		}
		w.judgeAPI(tt.dead)
		if said := strings.Join(w.problems.all(), "\n"); (said == "") != (tt.problem == "") || !strings.Contains(said, tt.problem) {
			t.Errorf("%s: %s", tt.name, said)
		}
	}
}
