package attach

import (
	"errors"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestRestoreIntoNew: a deleted API is made again with another id, also where that was
// interrupted.
func TestRestoreIntoNew(t *testing.T) {
	for _, kind := range []Kind{REST, HTTP} {
		t.Run(string(kind), func(t *testing.T) {
			w := newWorld(t)
			api := w.build(kind, 3)
			w.furnish(t, api, kind)
			w.deployAll(t, api, kind)
			w.AddMapping("shop.example.com", "v1", api, "prod")
			b := w.backup(t, api)
			before, known := w.content(t, api, kind, nil)
			path := "/restapis/" + api
			if kind == HTTP {
				path = "/v2/apis/" + api
			}
			w.call(t, "DELETE", path, nil, nil)
			if _, err := w.clients.PlanRestore(t.Context(), b, api, pruning, nil); !errors.Is(err, ErrNoAPI) || !strings.Contains(err.Error(), "--new") {
				t.Fatalf("of a deleted API: %v", err)
			}
			p, err := w.clients.PlanRestore(t.Context(), b, "", RestoreOptions{}, nil)
			if err != nil || len(p.Steps) < 5 || !strings.Contains(strings.Join(p.Left, "\n"), "domain shop.example.com/v1 leads to stage prod of API "+api) {
				t.Fatalf("%+v, %v", p, err)
			}
			id, err := w.clients.CreateFrom(t.Context(), b)
			if err != nil {
				t.Fatal(err)
			}
			if _, err := w.restore(t, b, id, pruning); err != nil {
				t.Fatal(err)
			}
			w.restored(t, b, id)
			after, _ := w.content(t, id, kind, known)
			after["tags"] = strings.NewReplacer(" "+TagRestored+":"+api, "", TagRestored+":"+api+" ", "").Replace(after["tags"])
			for name := range before { // the new API's creation date, and the old one's URL
				before[name] = strings.ReplaceAll(before[name], api, "API")
			}
			same(t, before, after, "made anew")

			other := w.build(kind, 3)
			if _, err := w.clients.PlanRestore(t.Context(), b, other, pruning, nil); err == nil || !strings.Contains(err.Error(), "not of "+other) {
				t.Errorf("into somebody else's API: %v", err)
			}
		})
	}
}

// TestRestoreAttached: a restore would take tapway off without its knowing.
func TestRestoreAttached(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	b := w.backup(t, api)
	before, known := w.content(t, api, REST, nil)
	r, st := w.attached(t, api, "prod", w.viaFunction())
	if _, err := w.clients.PlanRestore(t.Context(), b, api, RestoreOptions{}, nil); err == nil || !strings.Contains(err.Error(), "detach it first") {
		t.Fatalf("while attached: %v", err)
	}
	p, err := w.restore(t, b, api, RestoreOptions{Force: true})
	if err != nil || len(p.Steps) == 0 {
		t.Fatalf("%+v, %v", p, err)
	}
	after, _ := w.content(t, api, REST, known)
	delete(before, "tags") // tapway's says still where its state is
	delete(after, "tags")
	same(t, before, after, "restored by force")
	detach(t, r, st, DetachOptions{})
	if b = w.backup(t, api); b.API.Tags[TagState] != "" {
		t.Fatal("detached, and the tag is there still")
	}
}

// TestRestoreOldBackup: files of the first format have the working copy only, and work.
func TestRestoreOldBackup(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	b := w.backup(t, api)
	before, known := w.content(t, api, REST, nil)
	b.Format, b.Parts, b.Info, b.Groups, b.Users = 1, nil, nil, nil, nil
	store := &Store{Path: filepath.Join(t.TempDir(), "old.json")}
	if err := store.SaveBackup(t.Context(), b); err != nil {
		t.Fatal(err)
	}
	old, err := store.LoadBackup(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	w.try("DELETE", w.nthMethod(api, 0), nil)
	p, err := w.restore(t, old, api, RestoreOptions{})
	if err != nil || len(p.Steps) != 1 || len(p.Left) != 1 || !strings.Contains(p.Left[0], "older version") {
		t.Fatalf("%+v, %v", p, err)
	}
	after, _ := w.content(t, api, REST, known)
	same(t, before, after, "restored")

	b.Format = 3
	if err := os.WriteFile(store.Path, []byte(indented(b)), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := store.LoadBackup(t.Context()); err == nil || !strings.Contains(err.Error(), "format 3") {
		t.Errorf("of a later version: %v", err)
	}
}

// TestRestoreBeside: without --prune additional things stay and are named, also where one
// stands in the way.
func TestRestoreBeside(t *testing.T) {
	w := newWorld(t)
	var made struct{ ID, RootResourceID string }
	w.call(t, "POST", "/restapis", map[string]any{"name": "shop"}, &made)
	at := "/restapis/" + made.ID
	var id struct{ ID string }
	w.call(t, "POST", at+"/resources/"+made.RootResourceID, map[string]any{"pathPart": "{id}"}, &id)
	b := w.backup(t, made.ID)
	w.call(t, "DELETE", at+"/resources/"+id.ID, nil, nil)
	w.call(t, "POST", at+"/resources/"+made.RootResourceID, map[string]any{"pathPart": "{name}"}, nil)
	p, err := w.restore(t, b, made.ID, RestoreOptions{})
	if err != nil || len(p.Steps) != 0 || len(p.Extra) != 1 || len(p.Left) != 1 || !strings.Contains(p.Left[0], "/{id} cannot be made beside /{name}") {
		t.Fatalf("%+v, %v", p, err)
	}
	w.restored(t, b, made.ID)
}

func TestSettingPath(t *testing.T) {
	for key, want := range map[string]string{"*/*": "/*/*", "users/{id}/GET": "/~1users~1{id}/GET", "~1users/GET": "/~1users/GET", "/GET": "/~1/GET", "a~b/GET": "/~1a~0b/GET"} {
		if got := settingPath(key); got != want {
			t.Errorf("%s: %s, want %s", key, got, want)
		}
	}
}

// TestAsk: what is sent is what was meant, and an error says which permission is missing.
func TestAsk(t *testing.T) {
	w := newWorld(t)
	api := w.pets(t)
	arn := "arn:aws:apigateway:us-east-1::/restapis/" + api
	if _, err := w.clients.ask(t.Context(), "PUT", []string{"tags", arn}, nil, map[string]any{"tags": map[string]string{"a": "b c"}}); err != nil {
		t.Fatal(err)
	}
	if w.REST(api).Tags["a"] != "b c" {
		t.Fatal(w.REST(api).Tags)
	}
	if _, err := w.clients.ask(t.Context(), "DELETE", []string{"tags", arn}, url.Values{"tagKeys": {"a"}}, nil); err != nil || w.REST(api).Tags["a"] != "" {
		t.Fatalf("%v, %v", w.REST(api).Tags, err)
	}
	if _, err := w.clients.ask(t.Context(), "GET", []string{"restapis", "none"}, nil, nil); !notFound(err) || codeOf(err) != "NotFoundException" {
		t.Errorf("%v", err)
	}
}
