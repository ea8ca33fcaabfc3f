package access

import (
	"net/http"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// filter asks FilteredPaths about raw paths.
type filter struct{ *FilteredPaths }

func newFilter(paths []string) filter { return filter{NewFilteredPaths(paths, "")} }

func (f filter) blocks(path string) bool { return f.Decide(&Request{Path: path}) != nil }

func TestFilter(t *testing.T) {
	f := newFilter([]string{"/foobar", "/Admin/Area/", "plain", "", "  ", "/%7Etilde"})
	blocked := []string{
		"/foobar", "/foobar/", "/foobar/x", "/FooBar", "/FOOBAR/x", "/%66oobar", "/%2566oobar", "/%252566oobar",
		"//foobar", "///foobar", "/./foobar", "/x/../foobar", "/x/%2e%2e/foobar", "/x%2F..%2Ffoobar", "/x/..;/foobar", "/x/..;a=b/foobar",
		"/../foobar", "/foobar;a=b", "/foobar;a=b/x", "/foobar%3Ba", "/foobar%2Fx", "/foobar%252Fx", "%2Ffoobar", "/foobar%5Cx", `/foobar\x`, `\foobar`,
		"/foobar%00", "/foobar%00.png", "/foobar%3Fx", "/foobar%23x", "/foobar#x", "/foobar.", "/foobar%20", "/foobar%0a/x", "/foobar..", "/%20foobar",
		"/foobar/../other", "/x//../foobar", "/%u002f%66oobar/../../foobar", "/fooba%72;x/", "/ſ/../foobar",
		"/admin/area", "/Admin/Area/x", "/admin//area", "/admin/./area", "/admin/x/../area", "/admin;x/area", "/plain", "/plain/x", "/~tilde", "/%7etilde", "/~TILDE/x",
		"/%" + strings.Repeat("25", 6) + "66oobar", "/%2525252525", // nobody encodes that often
	}
	for _, path := range blocked {
		if !f.blocks(path) {
			t.Errorf("%q is not blocked", path)
		}
	}
	free := []string{
		"/", "", "*", "/foobarx", "/foobar-x", "/foobar_", "/foobar%78", "/foo", "/fooba", "/x/foobar", "/foo/bar", "/foobar%2", "/foobar%zz",
		"/admin", "/admin/", "/admin/areas", "/adminarea", "/area", "/plainly", "/tilde", "/%25", "/100%25", "/a.b/c.d", "/foo.bar", "/foobar,x", "/foobar:x",
	}
	for _, path := range free {
		if f.blocks(path) {
			t.Errorf("%q is blocked", path)
		}
	}
	if newFilter(nil).blocks("/x") || newFilter([]string{""}).blocks("/x") {
		t.Error("an empty filter blocks")
	}
	if all := newFilter([]string{"/"}); !all.blocks("/") || !all.blocks("/x/y") {
		t.Error(`"/" does not block everything`)
	}
}

func TestFilteredPathIsAnswered(t *testing.T) {
	for set, want := range map[string]string{"": "Filtered URL.", "No <way>": `No \u003cway\u003e`} {
		w := newWorld(t, NewFilteredPaths([]string{"/foobar", "/baz"}, set))
		res := w.get(t, "/x/..%2FFooBar?q")
		if res.status != http.StatusForbidden || res.body != `{"message":"`+want+`"}` {
			t.Errorf("%d %s", res.status, res.body)
		}
		if c := w.call; c.Origin != tapway.OriginGateway || c.Error != "filtered path" {
			t.Errorf("%+v", c)
		}
		if res := w.get(t, "/foobarx"); res.status != 200 || w.served != 1 {
			t.Errorf("the neighbour: %d, %d served", res.status, w.served)
		}
	}
}

// A path that normalises to a filtered path or below it is blocked, and so is the same path encoded once more.
func FuzzFilter(f *testing.F) {
	for _, s := range []string{"/foobar", "/x/..%2FFooBar", "/%2566oobar;a=b", `\foobar\..`, "/a/b%00c", "//..;/x ./y", "/%u0066oobar", "/x%c0%af..%e0%80%affoobar", "/ｆoobar", "/foobar%25u002fx"} {
		f.Add(s, "/foobar")
	}
	f.Fuzz(func(t *testing.T, path, filtered string) {
		filter := newFilter([]string{filtered})
		if strings.TrimSpace(filtered) == "" {
			if filter.blocks(path) {
				t.Errorf("an empty filter blocks %q", path)
			}
			return
		}
		target := filter.paths[0]
		normal := Normalise(path)
		if (normal == target || strings.HasPrefix(normal, target+"/")) && !filter.blocks(path) {
			t.Errorf("%q is %q, which %q filters, but passes", path, normal, target)
		}
		for _, c := range normal {
			if 'A' <= c && c <= 'Z' {
				t.Errorf("%q normalises to %q", path, normal)
			}
		}
		if strings.Contains(normal, "//") || strings.Contains(normal, "/../") || strings.Contains(normal, "/./") {
			t.Errorf("%q normalises to %q", path, normal)
		}
		if filter.blocks(path) && strings.HasPrefix(path, "/") {
			if variant := "/x/.." + path; !filter.blocks(variant) {
				t.Errorf("%q is blocked, %q is not", path, variant)
			}
			if variant := "//." + path; !filter.blocks(variant) {
				t.Errorf("%q is blocked, %q is not", path, variant)
			}
		}
	})
}
