package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/admin"
)

// TestSearch: through the running process and on the data directory alone.
func TestSearch(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "")
	g := serve(t, w.dir)
	for n := range 12 {
		g.calls(t, fmt.Sprintf("/users/%d", n))
	}
	g.calls(t, "/fail")
	settled(t, w.dir)
	for _, offline := range []bool{false, true} {
		if offline {
			g.stop(t)
		}
		for _, tt := range []struct{ want, args string }{
			{"/fail", "status >= 500"},
			{"/users/7", `response_body contains '"path":"/users/7"'`},
			{"/users/11 /users/10", `body contains "/users/1" && path != "/users/1"`},
			{"", `body contains "nowhere"`},
			{"/users/0 /users/1", `path startsWith "/users/"|--oldest|--limit|2`},
			{"/users/2 /users/3", `path startsWith "/users/"|--oldest|--limit|2|--after|2`},
			{"/users/1 /users/0", "|--before|3"},
			{"/fail", "|--limit|1|--since|1h"},
			{"/fail", "status == 500 or status == 501|--since|2020-01-01T00:00:00Z|--until|2100-01-01"},
			{"", "|--until|1h"},
		} {
			args := strings.Split(tt.args, "|")
			if args[0] == "" {
				args = args[1:]
			}
			var got []string
			for _, s := range jsonLines[admin.Summary](t, must(t, w.dir, append([]string{"search", "--json"}, args...)...)) {
				got = append(got, s.Path)
			}
			if strings.Join(got, " ") != tt.want {
				t.Errorf("offline %v: tapway search %s: %v, want %s", offline, tt.args, got, tt.want)
			}
		}
		out, errOut, code := execute(t, w.dir, "search", "method == GET", "--limit", "5")
		if code != 0 || strings.Count(out, "\n") != 5 || !strings.Contains(out, "/users/11") || !strings.Contains(errOut, "5 records; go on with --before 9\n") {
			t.Errorf("offline %v: exit %d:\n%s%s", offline, code, out, errOut)
		}
	}
	fails(t, w.dir, 2, `--since: "soon" is neither`, "search", "--since", "soon")
	fails(t, w.dir, 2, `--until: "1h)" is neither`, "search", "--until", "1h)")
	fails(t, w.dir, 2, "unknown field", "search", "bdy contains 'x'")
	fails(t, w.dir, 2, "--limit: -1 is not a number", "search", "--limit", "-1")
}
