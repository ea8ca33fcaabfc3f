package attach

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/attach/apitest"
)

func TestStoreInAFile(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "state.json")
	s, err := OpenStore(path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, ErrNoState) {
		t.Errorf("before: %v", err)
	}
	a := restAPI(`{"type":"HTTP_PROXY","httpMethod":"GET","uri":"https://b.example.com/?a=<b>&c=1e400"}`, "")
	st := NewState(a, must(MakePlan(a, viaURL())), "tapway test", s.Location(), time.Now())
	for _, phase := range []Phase{Attaching, Attached} {
		st.Phase = phase
		if err := s.Save(t.Context(), st); err != nil {
			t.Fatal(err)
		}
	}
	got, err := s.Load(t.Context())
	if err != nil || got.Phase != Attached || string(compact(got)) != string(compact(st)) {
		t.Errorf("%v\n%s\n%s", err, compact(got), compact(st))
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("%v, %v", info, err)
	}
	if left, err := os.ReadDir(dir); err != nil || len(left) != 1 {
		t.Errorf("%v, %v", left, err)
	}
	at := s.Location() // what the tag says leads here again
	again, err := OpenStore(at, nil)
	if err != nil || again.Path != path || len(at) > 256 || tagSafe(at) != at {
		t.Errorf("%q: %+v, %v", at, again, err)
	}
	if _, err := OpenStore("file://another-machine/no/such/file.json", nil); err == nil || !strings.Contains(err.Error(), `on the machine "another-machine"`) {
		t.Errorf("another machine: %v", err)
	}
	for name, text := range map[string]string{"damaged": `{"format":1`, "of another kind": `{"format":1}`, "newer": strings.Replace(string(compact(st)), `"format":1`, `"format":2`, 1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := s.Load(t.Context()); err == nil || errors.Is(err, ErrNoState) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestAbandonedFiles: what a killed process was writing goes with the next one that is written, and
// nothing else does.
func TestAbandonedFiles(t *testing.T) {
	dir := t.TempDir()
	long, now := time.Now().Add(-2*time.Hour), time.Now()
	for name, at := range map[string]time.Time{
		".tapway-123": long, ".tapway-456": now, ".tapway-export-123": long, ".tapway-doctor-9": long, ".tapway-": now, "tapway-123": long, ".tapway-12a": long,
	} {
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte("half"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, ".tapway-789"), 0o700); err != nil {
		t.Fatal(err)
	}
	if err := WriteFile(filepath.Join(dir, "state.json"), []byte("{}")); err != nil {
		t.Fatal(err)
	}
	list, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var left []string
	for _, e := range list {
		left = append(left, e.Name())
	}
	if want := []string{".tapway-", ".tapway-12a", ".tapway-456", ".tapway-789", ".tapway-doctor-9", ".tapway-export-123", "state.json", "tapway-123"}; !slices.Equal(left, want) {
		t.Errorf("left: %q\nwant: %q", left, want)
	}
}

func TestStoreInABucket(t *testing.T) {
	blobs := memory{}
	open := func(name string) (tapway.BlobStore, error) {
		if name != "b" {
			t.Errorf("bucket %q", name)
		}
		return blobs, nil
	}
	s, err := OpenStore("s3://b/dir/state.json", open)
	if err != nil || s.Location() != "s3://b/dir/state.json" || s.String() != s.Location() {
		t.Fatalf("%+v, %v", s, err)
	}
	if _, err := s.Load(t.Context()); !errors.Is(err, ErrNoState) {
		t.Errorf("before: %v", err)
	}
	a := restAPI(`{"type":"HTTP_PROXY","httpMethod":"GET","uri":"https://b.example.com/"}`, "")
	if err := s.Save(t.Context(), NewState(a, must(MakePlan(a, viaURL())), "t", s.Location(), time.Now())); err != nil {
		t.Fatal(err)
	}
	if st, err := s.Load(t.Context()); err != nil || st.Before.ID != "a1b2" || blobs["dir/state.json"] == nil {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"s3://b", "s3://b/", "s3:///k", "s3://b/dir/"} {
		if _, err := OpenStore(bad, open); err == nil || !strings.Contains(err.Error(), "s3://BUCKET/KEY") {
			t.Errorf("%s: %v", bad, err)
		}
	}
}

// TestNothingWithoutState: where the state cannot be saved, nothing is changed.
func TestNothingWithoutState(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	a := w.read(t, api, "prod")
	r := w.runner()
	r.Store = &Store{Path: filepath.Join(t.TempDir(), "no", "such", "dir.json")}
	w.Forget()
	fails(t, r.Attach(t.Context(), w.state(a, w.plan(t, a, w.viaFunction()), r)), "save the state")
	if n := w.Count(""); n > 0 {
		t.Errorf("%d calls were made", n)
	}
}

// full is a bucket that takes n more objects.
type full struct {
	memory
	n *int
}

func (f full) Put(ctx context.Context, key string, body []byte) error {
	if *f.n--; *f.n < 0 {
		return errors.New("no space")
	}
	return f.memory.Put(ctx, key, body)
}

// TestStateCannotBeSaved: wherever saving begins to fail, the API is as before.
func TestStateCannotBeSaved(t *testing.T) {
	for _, kind := range []Kind{REST, HTTP} {
		failures := 0
		for n, whole := 0, false; !whole; n++ {
			w := newWorld(t)
			api, stage := w.example(t, kind)
			before := w.snapshot(api, stage)
			a := w.read(t, api, stage)
			r := w.runner()
			left := n
			r.Store.Blobs = full{w.blobs, &left}
			err := r.Attach(t.Context(), w.state(a, w.plan(t, a, w.viaFunction()), r))
			if whole = err == nil; whole {
				continue
			}
			failures++
			fails(t, err, "no space")
			w.same(t, before, api, stage, fmt.Sprintf("after %d saves", n))
		}
		if failures < 3 {
			t.Errorf("%s: only %d saves: the test proves little", kind, failures)
		}
	}
}

// TestStateBeforeTag: whoever sees the tag finds the state, and the tag is there before any
// route is changed.
func TestStateBeforeTag(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	r, _ := w.attached(t, api, "prod", w.viaFunction())
	var changes []string
	for _, c := range w.Calls() {
		if c.Changes() {
			changes = append(changes, c.Op)
		}
	}
	want := []string{"TagResource", "AddPermission", "PutIntegration", "PutIntegration", "CreateDeployment", "UpdateStage"}
	if !slices.Equal(changes, want) {
		t.Errorf("calls %v, want %v", changes, want)
	}
	if at := w.REST(api).Tags[TagState]; at != r.Store.Location() {
		t.Errorf("the tag says %q", at)
	}
}

func TestStatus(t *testing.T) {
	for _, c := range []struct {
		name string
		do   func(w *world, api string)
		says string // "": nothing
	}{
		{"untouched", func(*world, string) {}, ""},
		{"changed", func(w *world, api string) {
			w.edit(api, "POST", "/orders", func(i *apitest.Integration) { i.TimeoutInMillis = 60 })
		}, "POST /orders was changed in the working copy: the next deployment takes it off"},
		{"undone and deployed", func(w *world, api string) {
			before := apitest.Integration{Type: "HTTP_PROXY", HTTPMethod: "POST", URI: "https://orders.example.com/v1/orders", TimeoutInMillis: 3000, PassthroughBehavior: "WHEN_NO_MATCH", ConnectionType: "INTERNET",
				Responses: map[string]*apitest.IntegrationResponse{"200": {StatusCode: "200"}}}
			w.edit(api, "POST", "/orders", func(i *apitest.Integration) { before.CacheNamespace = i.CacheNamespace; *i = before })
			if _, err := w.Deploy(api, "prod"); err != nil {
				panic(err)
			}
		}, "POST /orders was undone"},
		{"rolled back", func(w *world, api string) {
			old := ""
			for id, d := range w.REST(api).Deployments {
				if !strings.HasPrefix(d.Description, "tapway") {
					old = id
				}
			}
			if _, err := w.Call("PATCH", "/restapis/"+api+"/stages/prod", map[string]any{"patchOperations": []map[string]string{{"op": "replace", "path": "/deploymentId", "value": old}}}); err != nil {
				panic(err)
			}
		}, "stage prod does not serve it"},
		{"permission gone", func(w *world, api string) {
			if _, err := w.Call("DELETE", "/2015-03-31/functions/tapway/policy/tapway-"+api, nil); err != nil {
				panic(err)
			}
		}, "may not call the function any more"},
		{"tag gone", func(w *world, api string) {
			w.EditREST(api, func(a *apitest.RestAPI) { delete(a.Tags, TagState) })
		}, "tag tapway:state is gone"},
		{"stage gone", func(w *world, api string) {
			if _, err := w.Call("DELETE", "/restapis/"+api+"/stages/prod", nil); err != nil {
				panic(err)
			}
		}, "stage prod is gone"},
	} {
		w := newWorld(t)
		api := w.pets(t)
		r, st := w.attached(t, api, "prod", w.viaFunction())
		c.do(w, api)
		before := w.Dump()
		s, err := r.Status(t.Context(), st)
		if err != nil {
			t.Errorf("%s: %v", c.name, err)
			continue
		}
		if s.Good != (c.says == "") || !strings.Contains(strings.Join(s.Problems, "\n"), c.says) || len(s.Routes) != 2 {
			t.Errorf("%s: %+v", c.name, s)
		}
		if d := apitest.Diff(before, w.Dump()); d != "" {
			t.Errorf("%s: looking changed something:\n%s", c.name, d)
		}
	}
}

// FuzzLoad: a damaged state is an error, never a panic, in whatever is done with it.
func FuzzLoad(f *testing.F) {
	a := restAPI(`{"type":"HTTP_PROXY","httpMethod":"GET","uri":"https://b.example.com/"}`, "")
	p := must(MakePlan(a, viaURL()))
	f.Add([]byte(compact(NewState(a, p, "t", "file://h/x", time.Unix(0, 0)))))
	f.Add([]byte(`{"format":1,"id":"x","before":{"kind":"HTTP","routes":[{"routeId":"r","target":"integrations/1"}]},"plan":{"changes":[{"route_id":"r","before":{}}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		s := Store{Blobs: memory{"k": text}, Key: "k", URL: "s3://b/k"}
		st, err := s.Load(t.Context())
		if err != nil {
			return
		}
		current, err := st.Before.current()
		if err != nil {
			return
		}
		for i := range st.Plan.Changes {
			ch := &st.Plan.Changes[i]
			if v, err := st.judge(ch, current[ch.place()]); err == nil && (v == foreign || v == missing) {
				st.conflict(ch, current[ch.place()], v)
			}
			st.wantURI(ch)
		}
		if _, err := st.Before.Judge(); err != nil {
			return
		}
		if _, err := st.Before.Drift(st.touches()); err != nil {
			return
		}
		st.Plan.Public()
		st.Plan.ServerConfig()
		for _, form := range []string{"terraform", "cloudformation"} {
			if err := Emit(new(strings.Builder), form, st.Plan); err != nil {
				return
			}
		}
	})
}
