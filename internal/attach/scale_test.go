package attach

import (
	"context"
	"errors"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// TestPacer: calls are spread evenly, and those that AWS limits more, more.
func TestPacer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		p := NewPacer(5)
		at := func(op string, want time.Duration) {
			t.Helper()
			if err := p.Wait(t.Context(), op); err != nil || time.Since(began) != want {
				t.Errorf("%s at %v, want %v (%v)", op, time.Since(began), want, err)
			}
		}
		at("GetStages", 0)
		at("GetStages", 200*time.Millisecond)
		at("GetResources", 400*time.Millisecond)
		at("GetResources", time.Second)
		at("GetStage", 1200*time.Millisecond)
		at("CreateDeployment", 1400*time.Millisecond)
		at("CreateDeployment", 6600*time.Millisecond) // more than 5 s after the first
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := p.Wait(ctx, "GetStage"); !errors.Is(err, context.Canceled) {
			t.Errorf("cancelled: %v", err)
		}
		if err := new(Pacer).Wait(t.Context(), "x"); err != nil {
			t.Errorf("the zero pacer: %v", err)
		}
	})
}

// TestThreeHundredRoutes: within AWS's own rates, without a single 429, and in the time that
// the rate takes.
func TestThreeHundredRoutes(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.clients = w.connect(t, 0, NewPacer(5))
		api := w.BuildREST(&fixed{7}, 300)
		before := w.snapshot(api, "prod")
		w.Limits = apitest.DocumentedLimits()
		w.Forget()
		began := time.Now()
		var said []string
		a, err := w.clients.Read(t.Context(), api, "prod", func(what string, done, total int) { said = append(said, what) })
		if err != nil {
			t.Fatal(err)
		}
		a.Account = w.Account
		routes, err := a.Judge()
		if err != nil || len(routes) < 300 {
			t.Fatalf("%d routes, %v", len(routes), err)
		}
		r := w.runner()
		st := w.state(a, w.plan(t, a, viaURL()), r)
		n := len(st.Plan.Changes)
		if n < 50 {
			t.Fatalf("%d changes", n)
		}
		if err := r.Attach(t.Context(), st); err != nil {
			t.Fatal(err)
		}
		took := time.Since(began)
		if floor, ceiling := time.Duration(n)*400*time.Millisecond, time.Duration(n)*400*time.Millisecond+20*time.Second; took < floor || took > ceiling {
			t.Errorf("%d routes took %v, want between %v and %v", n, took, floor, ceiling)
		}
		w.isAttached(t, st)
		detach(t, r, st, DetachOptions{})
		for _, c := range w.Calls() {
			if e, ok := errors.AsType[*apitest.Error](c.Err); ok && e.Status == http.StatusTooManyRequests {
				t.Errorf("%s was answered 429", c.Op)
			}
		}
		w.Limits = nil
		w.same(t, before, api, "prod", "detached")
		if len(said) < 3 {
			t.Errorf("progress: %q", said)
		}
	})
}

// TestSharedAllowance: somebody else uses up the account's rate; calls answered 429 are made
// again, more slowly.
func TestSharedAllowance(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		w.clients = w.connect(t, 20, NewPacer(50))
		api := w.pets(t)
		before := w.snapshot(api, "prod")
		w.Limits = map[string]apitest.Rate{"": {PerSecond: 1, Burst: 1}}
		r, st := w.attached(t, api, "prod", w.viaFunction())
		detach(t, r, st, DetachOptions{})
		refused := 0
		for _, c := range w.Calls() {
			if c.Err != nil {
				refused++
			}
		}
		if refused == 0 {
			t.Error("no call was refused: the test proves nothing")
		}
		w.Limits = nil
		w.same(t, before, api, "prod", "detached")
	})
}

// TestLostAnswers: the SDK repeats calls whose answer is lost. What was made twice by that
// must be gone after a detach.
func TestLostAnswers(t *testing.T) {
	for _, kind := range []Kind{REST, HTTP} {
		synctest.Test(t, func(t *testing.T) {
			w := newWorld(t)
			w.clients = w.connect(t, 3, nil)
			api, stage := w.example(t, kind)
			before := w.snapshot(api, stage)
			seen := map[string]int{}
			w.Before = func(op string, r *http.Request) *apitest.Fault {
				if key := op + r.URL.Path; r.Method != http.MethodGet {
					if seen[key]++; seen[key] == 1 {
						return &apitest.Fault{After: true, Err: apitest.Broken.Err}
					}
				}
				return nil
			}
			r, st := w.attached(t, api, stage, w.viaFunction())
			w.isAttached(t, st)
			if seen["AddPermission/2015-03-31/functions/"+w.arn+"/policy"] < 2 {
				t.Errorf("calls: %v", seen)
			}
			detach(t, r, st, DetachOptions{})
			w.Before = nil
			w.same(t, before, api, stage, "detached")
		})
	}
}

// TestDenied: an error says which permission is missing, and what prints the policy.
func TestDenied(t *testing.T) {
	for op, action := range map[string]string{
		"GetRestApi": "apigateway:GET", "GetResources": "apigateway:GET", "TagResource": "apigateway:PUT", "AddPermission": "lambda:AddPermission",
		"PutIntegration": "apigateway:PUT", "CreateDeployment": "apigateway:POST", "UpdateStage": "apigateway:PATCH",
	} {
		for _, message := range []string{"Access denied", "User: arn:aws:iam::123456789012:user/x is not authorized to perform: " + action + " on resource: arn:aws:it"} {
			w := newWorld(t)
			api := w.pets(t)
			before := w.snapshot(api, "prod")
			r := w.runner()
			w.Before = func(name string, _ *http.Request) *apitest.Fault {
				if name == op {
					return &apitest.Fault{Err: &apitest.Error{Status: http.StatusForbidden, Code: "AccessDeniedException", Message: message}}
				}
				return nil
			}
			a, err := w.clients.Read(t.Context(), api, "prod", nil)
			if err == nil {
				a.Account = w.Account
				err = r.Attach(t.Context(), w.state(a, w.plan(t, a, w.viaFunction()), r))
				if !isUndone(err) {
					t.Errorf("%s: %v", op, err)
				}
			}
			var denied *DeniedError
			if !errors.As(err, &denied) || denied.Action != action || strings.Contains(message, "resource") != (denied.Resource == "arn:aws:it") {
				t.Errorf("%s: %v", op, err)
			}
			fails(t, err, "the permission "+action)
			fails(t, err, "--print-policy")
			w.Before = nil
			w.same(t, before, api, "prod", op+" denied")
		}
	}
}

// TestInterruptedByTheUser: Ctrl-C takes everything back.
func TestInterruptedByTheUser(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	before := w.snapshot(api, "prod")
	a := w.read(t, api, "prod")
	r := w.runner()
	ctx, cancel := context.WithCancel(t.Context())
	w.Before = func(op string, _ *http.Request) *apitest.Fault {
		if op == "PutIntegration" {
			cancel()
		}
		return nil
	}
	err := r.Attach(ctx, w.state(a, w.plan(t, a, w.viaFunction()), r))
	if !isUndone(err) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	w.same(t, before, api, "prod", "stopped")
}
