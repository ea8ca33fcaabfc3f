package attach

import (
	"slices"
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
	w := newWorld(t)
	o := viaURL()
	if way == "lambda" {
		o = w.viaFunction()
	}
	api, stage := w.example(t, kind)
	before := w.snapshot(api, stage)
	for _, resume := range []bool{true, false} {
		for at, whole := 1, false; !whole; at++ {
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

// example makes a small API with routes of several kinds, nothing undeployed.
func (w *world) example(t fataler, kind Kind) (api, stage string) {
	t.Helper()
	for seed := uint64(1); ; seed++ {
		other := newWorld(t)
		build := func(w *world) string {
			if kind == REST {
				return w.BuildREST(&fixed{seed}, 5)
			}
			return w.BuildHTTP(&fixed{seed}, 4)
		}
		id := build(other)
		a, err := other.clients.Read(t.Context(), id, "", nil)
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range a.stageNames() {
			s, _ := a.stage(name)
			if s.AutoDeploy {
				continue
			}
			a := other.read(t, id, name)
			drift, err := a.Drift(nil)
			if err != nil {
				t.Fatal(err)
			}
			lambda, url := other.plan(t, a, other.viaFunction()), other.plan(t, a, viaURL())
			if len(drift) == 0 && len(lambda.Changes) >= 2 && len(url.Changes) >= 2 && slices.ContainsFunc(url.Changes, func(c Change) bool { return len(c.Before) > 0 }) {
				return build(w), name
			}
		}
	}
}
