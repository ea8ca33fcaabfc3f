package app

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/tapway/tapway/internal/otlp/otlptest"
)

// promtool gives Prometheus's own checker. Where there is none the test is left out, except
// where TAPWAY_PROMTOOL=required says that there must be one.
func promtool(t *testing.T) func(stdin string, args ...string) {
	t.Helper()
	path, err := exec.LookPath("promtool")
	if err != nil {
		if os.Getenv("TAPWAY_PROMTOOL") == "required" {
			t.Fatal("no promtool here: it is in Debian's package prometheus")
		}
		t.Skip("no promtool here: it is in Debian's package prometheus")
	}
	return func(stdin string, args ...string) {
		t.Helper()
		cmd := exec.CommandContext(t.Context(), path, args...)
		cmd.Dir, cmd.Stdin = "../../deploy/prometheus", strings.NewReader(stdin)
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("promtool %s: %v\n%s", strings.Join(args, " "), err, out)
		}
	}
}

// TestPrometheusRules are checked by Prometheus's own tool, and so are their unit tests and the
// example of its configuration.
func TestPrometheusRules(t *testing.T) {
	run := promtool(t)
	run("", "check", "rules", "tapway.rules.yaml")
	run("", "test", "rules", "tests.yaml")
	run("", "check", "config", "prometheus.yaml")
}

// panel is what this test asks of one of the dashboard's.
type panel struct {
	ID         int
	Type       string
	Title      string
	GridPos    struct{ H, W, X, Y int }
	Datasource struct{ Type, UID string }
	Targets    []struct {
		RefID      string
		Expr       string
		Datasource struct{ Type, UID string }
	}
}

type dashboard struct {
	UID, Title    string
	SchemaVersion int
	Templating    struct {
		List []struct{ Name, Type string }
	}
	Panels []panel
}

func readDashboard(t *testing.T) dashboard {
	t.Helper()
	text, err := os.ReadFile("../../deploy/grafana/tapway.json")
	if err != nil {
		t.Fatal(err)
	}
	var d dashboard
	if err := json.Unmarshal(text, &d); err != nil {
		t.Fatal(err)
	}
	return d
}

// expressions are the dashboard's, with Grafana's variables filled in.
func (d *dashboard) expressions() (out []string) {
	fill := strings.NewReplacer("$__rate_interval", "5m", "$instance", ".*")
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			out = append(out, fill.Replace(target.Expr))
		}
	}
	return out
}

// TestDashboardShape: it is what Grafana imports, with no panel on top of another.
func TestDashboardShape(t *testing.T) {
	d := readDashboard(t)
	if d.SchemaVersion < 36 || d.UID == "" || d.Title == "" {
		t.Errorf("schema %d, uid %q, title %q", d.SchemaVersion, d.UID, d.Title)
	}
	if v := d.Templating.List; len(v) < 1 || v[0].Name != "datasource" || v[0].Type != "datasource" {
		t.Errorf("there is no variable for the data source: %v", v)
	}
	ids, taken := map[int]bool{}, map[[2]int]string{}
	for _, p := range d.Panels {
		if p.ID == 0 || ids[p.ID] || p.Title == "" {
			t.Errorf("panel %d %q: its id is not its own, or it has no title", p.ID, p.Title)
		}
		ids[p.ID] = true
		g := p.GridPos
		if g.W < 1 || g.H < 1 || g.X < 0 || g.X+g.W > 24 {
			t.Errorf("%s: it lies outside of the grid: %+v", p.Title, g)
		}
		for x := g.X; x < g.X+g.W; x++ {
			for y := g.Y; y < g.Y+g.H; y++ {
				if other := taken[[2]int{x, y}]; other != "" {
					t.Fatalf("%s lies on %s", p.Title, other)
				}
				taken[[2]int{x, y}] = p.Title
			}
		}
		if p.Type == "row" {
			continue
		}
		if p.Datasource.Type != "prometheus" || p.Datasource.UID != "${datasource}" || len(p.Targets) == 0 {
			t.Errorf("%s: data source %v, %d targets", p.Title, p.Datasource, len(p.Targets))
		}
		refs := map[string]bool{}
		for _, target := range p.Targets {
			if target.Expr == "" || target.RefID == "" || refs[target.RefID] || target.Datasource.UID != "${datasource}" {
				t.Errorf("%s: target %+v", p.Title, target)
			}
			refs[target.RefID] = true
		}
	}
}

// TestDashboardExpressions: Prometheus can read every one. Its tool only reads rules, so each is
// made one.
func TestDashboardExpressions(t *testing.T) {
	run := promtool(t)
	d := readDashboard(t)
	type rule struct {
		Record string `json:"record"`
		Expr   string `json:"expr"`
	}
	var rules []rule
	for i, expr := range d.expressions() {
		if strings.Contains(expr, "$") {
			t.Errorf("%s has a variable that this test does not know", expr)
		}
		rules = append(rules, rule{fmt.Sprintf("tapway:panel_%d", i), expr})
	}
	text, err := json.Marshal(map[string]any{"groups": []any{map[string]any{"name": "dashboard", "rules": rules}}}) // which is YAML too
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "dashboard.yaml")
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	run("", "check", "rules", path)
}

var (
	metricName = regexp.MustCompile(`\b(?:tapway|process)_[a-z0-9_]+`)
	ofSeries   = regexp.MustCompile(`_(bucket|count|sum)$`)
)

// TestMetricsOfDashboard: every metric that the dashboard, the rules and their tests name is in
// /metrics after some traffic.
func TestMetricsOfDashboard(t *testing.T) {
	named := map[string]bool{}
	d := readDashboard(t)
	texts := d.expressions()
	for _, file := range []string{"tapway.rules.yaml", "tests.yaml"} {
		text, err := os.ReadFile(filepath.Join("../../deploy/prometheus", file))
		if err != nil {
			t.Fatal(err)
		}
		var rules struct {
			Groups []struct {
				Rules []struct{ Expr string }
			}
			Tests []struct {
				InputSeries []struct{ Series string } `yaml:"input_series"`
			}
		}
		if err := yaml.Unmarshal(text, &rules); err != nil {
			t.Fatal(err)
		}
		for _, g := range rules.Groups {
			for _, r := range g.Rules {
				texts = append(texts, r.Expr)
			}
		}
		for _, one := range rules.Tests {
			for _, s := range one.InputSeries {
				texts = append(texts, s.Series)
			}
		}
	}
	for _, text := range texts {
		for _, name := range metricName.FindAllString(text, -1) {
			named[name] = true
		}
	}
	if len(named) < 25 {
		t.Fatalf("only %d metrics are named: %v", len(named), named)
	}

	text := liveMetrics(t)
	there := map[string]bool{}
	for line := range strings.Lines(text) {
		if name, _, ok := strings.Cut(strings.TrimPrefix(line, "# TYPE "), " "); ok && strings.HasPrefix(line, "# TYPE ") {
			there[name] = true
		}
	}
	for _, desc := range []*prometheus.Desc{descOutbox, descOutAge, descReach} { // only with an SQS queue
		name, _, _ := strings.Cut(strings.TrimPrefix(desc.String(), `Desc{fqName: "`), `"`)
		there[name] = true
	}
	for _, name := range slices.Sorted(maps.Keys(named)) {
		if !there[name] && !there[ofSeries.ReplaceAllString(name, "")] {
			t.Errorf("%s is not in /metrics", name)
		}
	}
}

// liveMetrics is /metrics of a tapway that has everything a metric can tell of.
func liveMetrics(t *testing.T) string {
	t.Helper()
	c, backend := otlptest.New(t), newSeen(t, 200)
	w := newWorld(t, `
routes:
  - {match: "ANY /a", backend: "`+backend.URL+`"}
capture: {rules: [{if: "method == 'DELETE'", sample: 0}]}
destinations: [{name: sink, url: "{sink}"}, {name: picky, url: "{sink}", if: "status == 500"}]
access: {throttle: {rate: 1, burst: 3}}
access_log: {path: `+filepath.Join(t.TempDir(), "access.log")+`}
telemetry: {metrics: false, otlp: {endpoint: "`+c.URL+`"}, traces: {sample: 1}}
`)
	for _, method := range []string{"GET", "DELETE", "GET", "GET", "GET"} {
		tracedCall(t, method, w.url+"/a", nil)
	}
	await(t, func() bool { return !w.app.destinations.pending() })
	if l := w.checkLedger(); l.Dropped["sampled"] != 1 {
		t.Fatalf("%+v", l)
	}
	return scrape(t, w, "text/plain")
}

// TestMetricNames: /metrics follows Prometheus's conventions: its own linter finds nothing.
func TestMetricNames(t *testing.T) {
	text := liveMetrics(t)
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 4 || f[1] != "TYPE" || !strings.HasPrefix(f[2], "tapway_") {
			continue
		}
		if total := strings.HasSuffix(f[2], "_total"); total != (f[3] == "counter") {
			t.Errorf("%s is a %s", f[2], f[3])
		}
		if strings.Contains(f[2], "milli") || strings.HasSuffix(f[2], "_ms") || strings.Contains(f[2], "_count") {
			t.Errorf("%s has no base unit, or a suffix of Prometheus's own", f[2])
		}
	}
	promtool(t)(text, "check", "metrics")
}

// TestAccessLogOfCalls: every call has its line, redacted, with the rule that refused it; and a
// reload opens the file anew.
func TestAccessLogOfCalls(t *testing.T) {
	backend, path := newSeen(t, 200), filepath.Join(t.TempDir(), "access.log")
	w := newWorld(t, "backend: "+backend.URL+"\naccess: {throttle: {rate: 0.001, burst: 1}}\naccess_log: {path: "+path+", format: json}\n")
	tracedCall(t, "GET", w.url+"/a?token=hidden", http.Header{"User-Agent": {"agent \"1\""}})
	tracedCall(t, "GET", w.url+"/b", nil)
	record := w.sink.next(t, 0)
	if other := w.sink.next(t, 1); record["endpoint"] != "/a" { // deliveries may overtake each other
		record = other
	}
	await(t, func() bool { n, _ := w.app.accessLog.Lines(); return n == 2 })
	if err := os.Rename(path, path+".old"); err != nil {
		t.Fatal(err)
	}
	_, _ = w.app.Reload() // there is no file to read again, but that is no reason to go on writing into the old one
	await(t, func() bool { _, err := os.Stat(path); return err == nil })
	tracedCall(t, "GET", w.url+"/c", nil)
	w.stop()
	var got []map[string]any
	for _, name := range []string{path + ".old", path} {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var one map[string]any
			if err := json.Unmarshal([]byte(line), &one); err != nil {
				t.Fatalf("%q: %v", line, err)
			}
			got = append(got, one)
		}
	}
	if len(got) != 3 {
		t.Fatalf("%d lines", len(got))
	}
	for key, want := range map[string]any{"id": record["id"], "path": "/a", "query": "token=[REDACTED]", "status": 200.0, "origin": "backend", "rule": "", "user_agent": `agent "1"`, "request_bytes": 5.0} {
		if got[0][key] != want {
			t.Errorf("%s is %v, want %v", key, got[0][key], want)
		}
	}
	if got[1]["rule"] != "plan" || got[1]["status"] != 429.0 || got[1]["origin"] != "gateway" || got[2]["path"] != "/c" {
		t.Errorf("%v", got[1:])
	}
}
