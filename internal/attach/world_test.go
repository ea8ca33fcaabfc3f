package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"pgregory.net/rapid"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach/apitest"
)

const testSecret = "0123456789abcdef0123"

// world is an account with a tapway function, and a client of it.
type world struct {
	*apitest.Server
	clients *Clients
	arn     string
	blobs   memory // a bucket for states
	names   int
}

// memory is a bucket.
type memory map[string][]byte

func (m memory) Put(_ context.Context, key string, body []byte) error {
	m[key] = slices.Clone(body)
	return nil
}

func (m memory) Get(_ context.Context, key string) ([]byte, error) {
	body, ok := m[key]
	if !ok {
		return nil, tapway.ErrNotFound
	}
	return body, nil
}

func (m memory) Delete(_ context.Context, key string) error {
	delete(m, key)
	return nil
}

// fataler is a *testing.T or a *rapid.T.
type fataler interface {
	Helper()
	Fatal(args ...any)
	Fatalf(format string, args ...any)
	Errorf(format string, args ...any)
	Context() context.Context
}

func newWorld(t fataler) *world {
	t.Helper()
	w := &world{Server: apitest.New(), blobs: memory{}}
	w.arn = w.AddFunction("tapway", false)
	w.clients = w.connect(t, 1, nil)
	return w
}

func (w *world) connect(t fataler, attempts int, pacer *Pacer) *Clients {
	t.Helper()
	c, err := NewClients(w.config(), nil, pacer, attempts)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func (w *world) config() aws.Config {
	return aws.Config{Region: w.Region, BaseEndpoint: aws.String("http://apitest.invalid"), HTTPClient: w.Client(),
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
}

// runner has a store of its own.
func (w *world) runner() *Runner {
	w.names++
	key := fmt.Sprintf("state-%d.json", w.names)
	return &Runner{Clients: w.clients, Pause: time.Millisecond, Store: &Store{Blobs: w.blobs, Key: key, URL: "s3://states/" + key}}
}

func (w *world) read(t fataler, api, stage string) *API {
	t.Helper()
	a, err := w.clients.Read(t.Context(), api, stage, nil)
	if err != nil {
		t.Fatal(err)
	}
	a.Account = w.Account
	return a
}

func (w *world) viaFunction() Options {
	return Options{Function: &Function{ARN: w.arn, TimeoutMS: 30000}, IncludeDrift: true, MayInvoke: true}
}

func viaURL() Options {
	return Options{URL: "https://tapway.example.com/in", Secret: testSecret, IncludeDrift: true}
}

func (w *world) plan(t fataler, a *API, o Options) *Plan {
	t.Helper()
	p, err := MakePlan(a, o)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func (w *world) state(a *API, p *Plan, r *Runner) *State {
	return NewState(a, p, "tapway test", r.Store.Location(), time.Now())
}

// attached attaches without any fault.
func (w *world) attached(t fataler, api, stage string, o Options) (*Runner, *State) {
	t.Helper()
	a := w.read(t, api, stage)
	r := w.runner()
	st := w.state(a, w.plan(t, a, o), r)
	if err := r.Attach(t.Context(), st); err != nil {
		t.Fatal(err)
	}
	return r, st
}

// snapshot is what must be the same at the end.
type snapshot struct {
	settled     []byte
	export      []byte
	deployments []string
}

func (w *world) snapshot(api, stage string) snapshot {
	s := snapshot{settled: w.Settled(), export: w.Export(api, stage)}
	if a := w.REST(api); a != nil {
		for id := range a.Deployments {
			s.deployments = append(s.deployments, id)
		}
		slices.Sort(s.deployments)
	}
	return s
}

// same fails unless everything is as in the snapshot: the complete state, the export to the
// byte (but for the moment in an HTTP API that deploys by itself), and the deployments.
func (w *world) same(t fataler, before snapshot, api, stage, when string) {
	t.Helper()
	now := w.snapshot(api, stage)
	if d := apitest.Diff(before.settled, now.settled); d != "" {
		t.Fatalf("%s: the state differs:\n%s", when, d)
	}
	if w.REST(api) != nil && string(before.export) != string(now.export) {
		t.Fatalf("%s: the export differs:\n%s", when, apitest.Diff(before.export, now.export))
	}
	was, err := CanonicalExport(before.export)
	if err != nil {
		t.Fatal(err)
	}
	is, err := CanonicalExport(now.export)
	if err != nil {
		t.Fatal(err)
	}
	if string(was) != string(is) {
		t.Fatalf("%s: the export differs:\n%s\n%s", when, was, is)
	}
	if !slices.Equal(before.deployments, now.deployments) {
		t.Fatalf("%s: deployments %v, before %v", when, now.deployments, before.deployments)
	}
}

// isAttached fails unless every changed route leads to tapway in the stage.
func (w *world) isAttached(t fataler, st *State) {
	t.Helper()
	doc, err := object(w.Export(st.Before.ID, st.Before.Stage))
	if err != nil {
		t.Fatal(err)
	}
	ops := exported(doc, asIs)
	for _, ch := range st.Plan.Changes {
		op, _ := ops[ch.Route].(map[string]any)
		in, _ := op["x-amazon-apigateway-integration"].(map[string]any)
		uri, _ := in["uri"].(string)
		if !strings.Contains(uri, "tapway") {
			t.Fatalf("%s leads to %q", ch.Route, uri)
		}
	}
}

// load gives the state as another process would find it.
func load(t fataler, r *Runner) *State {
	t.Helper()
	st, err := r.Store.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return st
}

func detach(t fataler, r *Runner, st *State, o DetachOptions) *Report {
	t.Helper()
	report, err := r.Detach(t.Context(), st, o)
	if err != nil {
		t.Fatal(err)
	}
	return report
}

// drawn makes a rapid.T a source of numbers.
type drawn struct{ t *rapid.T }

func (d drawn) IntN(n int) int { return rapid.IntRange(0, n-1).Draw(d.t, "n") }

// fixed is a source of numbers for tests that want one API.
type fixed struct{ n uint64 }

func (f *fixed) IntN(n int) int {
	f.n = f.n*6364136223846793005 + 1442695040888963407
	return int(f.n>>33) % n
}

func isUndone(err error) bool { return errors.As(err, new(*UndoneError)) }
func isStuck(err error) bool  { return errors.As(err, new(*StuckError)) }

func unmarshal(text []byte, out any) error { return json.Unmarshal(text, out) }

type rawJSON = json.RawMessage
