package app

import (
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
)

// TestPauseOutlivesRestart: what an operator has paused stays paused until it is resumed, over
// restarts and a damaged file; what was resumed stays resumed.
func TestPauseOutlivesRestart(t *testing.T) {
	sink := newSink(t)
	dir := t.TempDir() + "/data"
	yaml := "data: " + dir + "\nbackend: " + httpBackend(t, http.HandlerFunc(hello)) + "\ndestinations:\n" +
		"  - {name: siem, url: \"" + sink.URL + "\"}\n  - {name: lake, url: \"" + sink.URL + "\"}\n"
	live := func(w *world, name string) admin.Destination {
		t.Helper()
		for _, d := range w.app.destinations.live() {
			if d.Name() == name {
				return d
			}
		}
		t.Fatalf("no destination %s", name)
		return nil
	}
	is := func(w *world, name, reason string) {
		t.Helper()
		s := live(w, name).State()
		if (s.State == "paused") != (reason != "") || !strings.Contains(s.Reason, reason) {
			t.Errorf("%s is %s: %q, want %q", name, s.State, s.Reason, reason)
		}
	}
	call := func(w *world) {
		t.Helper()
		resp, err := http.Get(w.url + "/x")
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
	}

	w := newWorldIn(t, yaml)
	live(w, "siem").Pause("by an operator")
	call(w)
	until(t, "lake to have its record", func() bool { return w.line("lake").Delivered == 1 })
	w.stop()

	w = newWorldIn(t, yaml)
	is(w, "siem", "by an operator")
	is(w, "lake", "")
	call(w)
	until(t, "lake to have its record", func() bool { return w.line("lake").Delivered == 2 })
	if l := w.line("siem"); l.Queued != 2 || l.Delivered != 0 {
		t.Errorf("the paused one: %+v", l)
	}
	live(w, "siem").Resume()
	until(t, "siem to have its records", func() bool { return w.line("siem").Delivered == 2 })
	w.stop()

	w = newWorldIn(t, yaml)
	is(w, "siem", "")
	w.stop()

	if err := os.WriteFile(dir+"/pauses.json", []byte("{\"siem"), 0o600); err != nil {
		t.Fatal(err)
	}
	w = newWorldIn(t, yaml)
	is(w, "siem", "cannot be told")
	is(w, "lake", "cannot be told")
	if !strings.Contains(w.log.String(), "every destination is paused") {
		t.Error("the log does not say so")
	}
	live(w, "lake").Resume()
	w.stop()
	w = newWorldIn(t, yaml)
	is(w, "siem", "cannot be told")
	is(w, "lake", "")
}

// The pause of a destination that was removed and forgotten does not come back with its name.
func TestPauseIsForgotten(t *testing.T) {
	dir := t.TempDir() + "/data"
	with := "data: " + dir + "\nbackend: http://127.0.0.1:9\ndestinations: [{name: siem, url: \"http://127.0.0.1:9\"}]\n"
	without := "data: " + dir + "\nbackend: http://127.0.0.1:9\n"
	w := newWorldIn(t, with)
	w.app.PauseAll("by an operator")
	w.stop()
	w = newWorldIn(t, without)
	w.stop()
	w = newWorldIn(t, with) // only removed for a while
	if s := w.app.destinations.live()[0].State(); s.State != "paused" {
		t.Errorf("it is %s", s.State)
	}
	w.stop()
	w = newWorldIn(t, without)
	if err := w.app.queue.(*diskEngine).Forget(t.Context(), "siem"); err != nil {
		t.Fatal(err)
	}
	w.stop()
	w = newWorldIn(t, without)
	w.stop()
	w = newWorldIn(t, with)
	if s := w.app.destinations.live()[0].State(); s.State == "paused" {
		t.Error("it is paused still")
	}
}

// A destination that said 410 is tried again when its URL is another, also after reloads that
// changed something else.
func TestGonePauseOverReloads(t *testing.T) {
	gone := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusGone) }))
	t.Cleanup(gone.Close)
	sink := newSink(t)
	w := newWorldIn(t, "data: "+t.TempDir()+"/data\nbackend: "+httpBackend(t, http.HandlerFunc(hello))+
		"\ndestinations: [{name: siem, url: \""+gone.URL+"\"}]\n")
	resp, err := http.Get(w.url + "/x")
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	ds := w.app.destinations
	state := func() admin.DestinationState { return ds.live()[0].State() }
	until(t, "it to be paused", func() bool { return state().State == "paused" })
	change := func(edit func(*config.Destination)) {
		t.Helper()
		c := ds.all[0].config
		edit(&c)
		plan, err := ds.plan([]config.Destination{c}, ds.all[0].way)
		if err != nil {
			t.Fatal(err)
		}
		ds.apply(plan)
	}
	for range 2 {
		change(func(c *config.Destination) { c.Concurrency++ })
		if s := state(); s.State != "paused" || s.Reason != "410 Gone" {
			t.Errorf("after a reload: %+v", s)
		}
	}
	change(func(c *config.Destination) { c.URL = sink.URL })
	until(t, "its record to be delivered", func() bool { return w.line("siem").Delivered == 1 })
}
