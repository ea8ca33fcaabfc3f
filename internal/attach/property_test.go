package attach

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	"pgregory.net/rapid"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// TestAnyAPIAnyFault: whatever the API, the way and the fault, and wherever it strikes, after
// a detach everything is as it was.
func TestAnyAPIAnyFault(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newWorld(t)
		n := rapid.IntRange(1, 6).Draw(t, "routes")
		var api string
		if rapid.Bool().Draw(t, "REST") {
			api = w.BuildREST(drawn{t}, n)
		} else {
			api = w.BuildHTTP(drawn{t}, n)
		}
		a, err := w.clients.Read(t.Context(), api, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		stages := a.stageNames()
		if len(stages) == 0 {
			t.Skip("no stage")
		}
		stage := rapid.SampledFrom(stages).Draw(t, "stage")
		a = w.read(t, api, stage)
		o := viaURL()
		if rapid.Bool().Draw(t, "function") {
			o = w.viaFunction()
		}
		if a.Kind == REST && rapid.IntRange(0, 3).Draw(t, "canary") == 0 {
			o.CanaryPercent = 10
		}
		p := w.plan(t, a, o)
		if len(p.Stops()) > 0 {
			t.Skip(p.Stops()[0].Code)
		}
		before := w.snapshot(api, stage)
		r := w.runner()
		faulted := func(label string, most int) {
			fault := rapid.SampledFrom([]*apitest.Fault{apitest.Cut, apitest.Lost, apitest.Broken, apitest.Refused}).Draw(t, label)
			w.Before = apitest.FailNth(rapid.IntRange(1, most).Draw(t, label+" at"), fault, rapid.Bool().Draw(t, label+" once"))
		}
		faulted("fault", 12+4*len(p.Changes))
		err = r.Attach(t.Context(), w.state(a, p, r))
		w.Before = nil
		switch {
		case isUndone(err):
			w.same(t, before, api, stage, "undone after "+err.Error())
			return
		case isStuck(err):
			if rapid.Bool().Draw(t, "resume") {
				st := load(t, r)
				st.Phase = Attaching // as if the process had died before it began to undo
				if err := r.Attach(t.Context(), st); err != nil {
					t.Fatal("resumed: ", err)
				}
				err = nil
			}
		case err != nil:
			t.Fatal(err)
		}
		if err == nil && o.CanaryPercent == 0 {
			w.isAttached(t, load(t, r))
		}
		if err == nil && o.CanaryPercent > 0 && rapid.Bool().Draw(t, "promote") {
			st := load(t, r)
			if err := r.Promote(t.Context(), st); err != nil {
				t.Fatal(err)
			}
			w.isAttached(t, st)
		}
		faulted("detach fault", 12+8*len(p.Changes))
		_, err = r.Detach(t.Context(), load(t, r), DetachOptions{})
		w.Before = nil
		if err != nil {
			detach(t, r, load(t, r), DetachOptions{})
		}
		w.same(t, before, api, stage, "detached")
		if st := load(t, r); st.Phase != Detached {
			t.Fatalf("phase %s", st.Phase)
		}
	})
}

// TestInterruptedAtEveryCall: a process that dies at any call, whether that took effect or
// not, leaves a state from which the attach can be finished and undone.
func TestInterruptedAtEveryCall(t *testing.T) {
	for _, kind := range []Kind{REST, HTTP} {
		for _, way := range []string{"lambda", "url"} {
			for name, fault := range map[string]*apitest.Fault{"cut": apitest.Cut, "lost": apitest.Lost} {
				t.Run(string(kind)+" "+way+" "+name, func(t *testing.T) {
					t.Parallel()
					everyCall(t, kind, way, fault)
				})
			}
		}
	}
}

func everyCall(t *testing.T, kind Kind, way string, fault *apitest.Fault) {
	fresh := func() (w *world, api, stage string, o Options, before snapshot) {
		w = newWorld(t)
		api, stage = w.example(t, kind)
		if o = viaURL(); way == "lambda" {
			o = w.viaFunction()
		}
		return w, api, stage, o, w.snapshot(api, stage)
	}
	for _, resume := range []bool{true, false} {
		for at, whole := 1, false; !whole; at++ {
			w, api, stage, o, before := fresh()
			r := w.runner()
			a := w.read(t, api, stage)
			st := w.state(a, w.plan(t, a, o), r)
			w.Before = apitest.FailNth(at, fault, false)
			err := r.Attach(t.Context(), st)
			w.Before = nil
			if whole = err == nil; !whole && !isStuck(err) {
				t.Fatalf("call %d: %v", at, err)
			}
			if st = load(t, r); resume {
				st.Phase = Attaching
				if err := r.Attach(t.Context(), st); err != nil {
					t.Fatalf("call %d, resumed: %v", at, err)
				}
				w.isAttached(t, st)
			}
			detach(t, r, load(t, r), DetachOptions{})
			w.same(t, before, api, stage, "attach interrupted")
		}
	}
	for at, whole := 1, false; !whole; at++ {
		w, api, stage, o, before := fresh()
		r, _ := w.attached(t, api, stage, o)
		w.Before = apitest.FailNth(at, fault, false)
		_, err := r.Detach(t.Context(), load(t, r), DetachOptions{})
		w.Before = nil
		if whole = err == nil; !whole {
			detach(t, r, load(t, r), DetachOptions{})
		}
		w.same(t, before, api, stage, "detach interrupted")
	}
}

func (w *world) build(kind Kind, seed uint64) string {
	if kind == REST {
		return w.BuildREST(&fixed{seed}, 5)
	}
	return w.BuildHTTP(&fixed{seed}, 4)
}

// TestBrokenOffTwice: an attach that broke off at any call, with no way to take it back, and
// then a detach that broke off at any call: the next detach leaves the API as it was, and so
// does the end of the attach and a detach. Routes have integration responses here, which are
// calls of their own.
func TestBrokenOffTwice(t *testing.T) {
	for _, way := range []string{"lambda", "url"} {
		for _, resume := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s resume=%v", way, resume), func(t *testing.T) {
				t.Parallel()
				brokenOffTwice(t, way, resume)
			})
		}
	}
}

func brokenOffTwice(t *testing.T, way string, resume bool) {
	for first, whole := 1, false; !whole; first++ {
		for second, end := 1+first%3, false; !end; second += 3 { // not every pair, but every neighbour of one
			w := newWorld(t)
			api, o := w.stock(t), viaURL()
			if way == "lambda" {
				o = w.viaFunction()
			}
			before, a, r := w.snapshot(api, "prod"), w.read(t, api, "prod"), w.runner()
			st := w.state(a, w.plan(t, a, o), r)
			w.Before = apitest.FailNth(first, apitest.Cut, false)
			whole = r.Attach(t.Context(), st) == nil
			w.Before = apitest.FailNth(second, apitest.Cut, false)
			_, err := r.Detach(t.Context(), load(t, r), DetachOptions{})
			w.Before = nil
			if end = err == nil; errors.As(err, new(*ConflictError)) {
				t.Fatalf("calls %d and %d: %v", first, second, err)
			}
			if st = load(t, r); resume && st.Phase != Detached {
				st.Phase = Attaching
				if err := r.Attach(t.Context(), st); err != nil {
					t.Fatalf("calls %d and %d, resumed: %v", first, second, err)
				}
				w.isAttached(t, st)
			}
			detach(t, r, load(t, r), DetachOptions{})
			w.same(t, before, api, "prod", fmt.Sprintf("broken off at calls %d and %d", first, second))
		}
	}
}

// example makes a small API with two routes or more for either way, nothing undeployed, and
// a stage that does not deploy by itself.
func (w *world) example(t fataler, kind Kind) (api, stage string) {
	t.Helper()
	found := examples[kind]()
	if found.stage == "" {
		t.Fatal("no seed makes such an API")
	}
	return w.build(kind, found.seed), found.stage
}

type example struct {
	seed  uint64
	stage string
}

var examples = map[Kind]func() example{REST: findExample(REST), HTTP: findExample(HTTP)}

// findExample looks for a seed, once.
func findExample(kind Kind) func() example {
	return sync.OnceValue(func() example {
		for seed := range uint64(10000) {
			w := &world{Server: apitest.New()}
			w.arn = w.AddFunction("tapway", false)
			w.clients = must(NewClients(w.config(), nil, nil, 1))
			id := w.build(kind, seed)
			for _, name := range must(w.clients.Read(context.Background(), id, "", nil)).stageNames() {
				a := must(w.clients.Read(context.Background(), id, name, nil))
				a.Account = w.Account
				s, _ := a.stage(name)
				if s.AutoDeploy || len(must(a.Drift(nil))) > 0 {
					continue
				}
				if len(must(MakePlan(a, w.viaFunction())).Changes) >= 2 && len(must(MakePlan(a, viaURL())).Changes) >= 2 {
					return example{seed, name}
				}
			}
		}
		return example{}
	})
}
