package main

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"math/big"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/demo"
)

// A tutorial is run from its first line to its last in a directory of its own, beside what
// `tapway demo` starts. Its blocks:
//
//	yaml NAME, json NAME    is written to the file NAME
//	sh run                  is run by a shell; what the next block without a tag, or text, says must be in the output
//	sh run wait             the same, again and again until it says so, because it tells of what happens meanwhile
//	sh run serve            a `tapway serve` in another terminal, until the end
//	<!-- run: stop -->      no block, but a line that stands for Ctrl-C there
//
// Outputs are compared line by line and in their order: lines may be left out, … stands for
// anything within one, and times, ids and figures of time are not compared. Ports are those of
// the document, whatever they are in the test.
type tutorial struct {
	*testing.T
	dir      string
	env      []string
	actual   *strings.Replacer
	pairs    []string // documented, actual
	gateways []*gateway
}

func TestTutorials(t *testing.T) {
	files, err := filepath.Glob(root + "/docs/tutorials/*.md")
	if err != nil {
		t.Fatal(err)
	}
	ran := 0
	for _, file := range files {
		blocks := blocksOf(t, file)
		var n int
		for _, b := range blocks {
			if b.is("run") {
				n++
			}
		}
		if n == 0 {
			continue
		}
		ran++
		t.Run(strings.TrimSuffix(filepath.Base(file), ".md"), func(t *testing.T) { // one after the other: some have an AWS in the environment
			newTutorial(t).run(blocks)
		})
	}
	if ran < 7 {
		t.Errorf("%d tutorials were run", ran)
	}
}

func newTutorial(t *testing.T) *tutorial {
	for _, tool := range []string{"sh", "curl", "openssl"} {
		if _, err := exec.LookPath(tool); err != nil {
			if os.Getenv("CI") == "" {
				t.Skipf("%s is missing here", tool)
			}
			t.Fatalf("%s is missing", tool)
		}
	}
	w := newGatewayWorld(t) // sets the variables of AWS
	tut := &tutorial{T: t, dir: t.TempDir()}
	bin := filepath.Join(t.TempDir(), "tapway")
	self, err := filepath.Abs(os.Args[0])
	if err != nil {
		t.Fatal(err)
	}
	script := "#!/bin/sh\nexec '" + self + "' \"$@\"\n"
	if err := os.WriteFile(bin, []byte(script), 0o700); err != nil {
		t.Fatal(err)
	}
	tut.env = append(command("").Env, "PATH="+filepath.Dir(bin)+":"+os.Getenv("PATH"))
	api, sink := httptest.NewServer(new(demo.API).Handler()), httptest.NewServer(new(demo.Sink))
	t.Cleanup(api.Close)
	t.Cleanup(sink.Close)
	tut.means("127.0.0.1:8081", api.Listener.Addr().String())
	tut.means("127.0.0.1:8082", sink.Listener.Addr().String())
	tut.means("127.0.0.1/32:8081", strings.Replace(api.Listener.Addr().String(), ":", "/32:", 1))
	tut.means("--api a1b2c3d4e5", "--api "+w.api+" --rate 1000")
	tut.means("a1b2c3d4e5", w.api)
	w.AddFunction("shop-proxy", false)
	return tut
}

// means has a text of the document stand for another one here.
func (t *tutorial) means(documented, actual string) {
	t.pairs = append(t.pairs, documented, actual)
	t.actual = strings.NewReplacer(t.pairs...)
}

// documented is an output as the document would have it.
func (t *tutorial) documented(output string) string {
	for i := 0; i < len(t.pairs); i += 2 {
		output = strings.ReplaceAll(output, t.pairs[i+1], t.pairs[i])
	}
	return strings.ReplaceAll(output, t.dir, "…")
}

func (t *tutorial) run(blocks []block) {
	for i, b := range blocks {
		switch {
		case len(b.tags) == 2 && (b.is("yaml") || b.is("json")):
			write(t.T, t.dir, b.tags[1], t.actual.Replace(b.text))
		case !b.is("run"):
		case b.is("serve"):
			t.serve(b)
		case b.is("stop"):
			g := t.gateways[len(t.gateways)-1]
			t.gateways = t.gateways[:len(t.gateways)-1]
			g.stop(t.T)
		default:
			want := ""
			if i+1 < len(blocks) && (len(blocks[i+1].tags) == 0 || blocks[i+1].is("text")) {
				want = blocks[i+1].text
			}
			t.shell(b, want)
		}
		if t.Failed() {
			return
		}
	}
}

// shell runs a block and compares what it says.
func (t *tutorial) shell(b block, want string) {
	deadline := time.Now().Add(30 * time.Second)
	pause := time.NewTicker(50 * time.Millisecond)
	defer pause.Stop()
	for {
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		cmd := exec.CommandContext(ctx, "sh", "-c", t.actual.Replace(b.text)+"\nstatus=$?; env -0 > .environment; exit $status")
		cmd.Dir, cmd.Env, cmd.WaitDelay = t.dir, t.env, 5*time.Second
		var output bytes.Buffer
		cmd.Stdout, cmd.Stderr = &output, &output
		err := cmd.Run()
		cancel()
		if err != nil && want == "" { // a command may fail for a purpose, but then the document shows how
			t.Fatalf("%s: %v\n%s", b, err, &output)
		}
		got := t.documented(output.String())
		line, ok := contains(got, want)
		if ok {
			t.Logf("%s:\n%s", b, got)
			break
		}
		if !b.is("wait") || time.Now().After(deadline) {
			t.Fatalf("%s: the output lacks the line\n%s\nof\n%s\nIt is\n%s", b, line, want, got)
		}
		<-pause.C
	}
	t.remember()
}

// remember keeps what a block exported for the next one.
func (t *tutorial) remember() {
	text, err := os.ReadFile(filepath.Join(t.dir, ".environment"))
	if err != nil {
		t.Fatal(err)
	}
	t.env = strings.Split(strings.TrimRight(string(text), "\x00"), "\x00")
}

var (
	listenKey = regexp.MustCompile(`(?m)^listen: (127\.0\.0\.1:\d+)`)
	adminKey  = regexp.MustCompile(`(?m)^admin: \{listen: (127\.0\.0\.1:\d+)`)
	fileFlag  = regexp.MustCompile(`-c (\S+)`)
	listenTo  = regexp.MustCompile(`--listen (127\.0\.0\.1:\d+)`)
	adminTo   = regexp.MustCompile(`--admin (127\.0\.0\.1:\d+)`)
)

// serve starts the gateway of a block, on ports that are free.
func (t *tutorial) serve(b block) {
	words := commandsOf(t.actual.Replace(b.text))
	if len(words) != 1 || len(words[0]) < 2 || words[0][0] != "tapway" || words[0][1] != "serve" {
		t.Fatalf("%s: want one tapway serve", b)
	}
	name := "tapway.yaml"
	if m := fileFlag.FindStringSubmatch(b.text); m != nil {
		name = m[1]
	}
	var listen, admin string
	if m, a := listenTo.FindStringSubmatch(b.text), adminTo.FindStringSubmatch(b.text); m != nil && a != nil {
		listen, admin = m[1], a[1]
	} else {
		text := read(t.T, t.dir, name)
		m, a := listenKey.FindStringSubmatch(text), adminKey.FindStringSubmatch(text)
		if m == nil || a == nil {
			t.Fatalf("%s: %s names no listen and no admin.listen", b, name)
		}
		listen, admin = m[1], a[1]
	}
	cmd := command(t.dir, append(words[0][1:], "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0")...)
	cmd.Env = t.env
	g := serveCommand(t.T, cmd)
	t.gateways = append(t.gateways, g)
	t.means(listen, g.addr)
	t.means(admin, g.admin)
}

var (
	// varying is what differs from one run to the next: moments, durations, ids, sizes.
	varying = regexp.MustCompile(`[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[0-9a-f]{4}-[0-9a-f]{12}` +
		`|\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?Z?)?|\d\d:\d\d:\d\d(\.\d+)?|\b\d+(\.\d+)?(ms|µs|s)( ago)?\b|\bnow\b|\d+(\.\d+)? (GiB|MiB|KiB|B)\b`)
	blanks = regexp.MustCompile(`\s+`)
)

func plain(line string) string {
	return strings.TrimSpace(blanks.ReplaceAllString(varying.ReplaceAllString(line, "~"), " "))
}

// contains tells whether the lines of want are in got, in their order, and which is not.
func contains(got, want string) (string, bool) {
	lines := strings.Split(got, "\n")
	for line := range strings.Lines(want) {
		if plain(line) == "" {
			continue
		}
		parts := strings.Split(plain(line), "…")
		for i := range parts {
			parts[i] = regexp.QuoteMeta(strings.TrimSpace(parts[i]))
		}
		pattern := regexp.MustCompile("^" + strings.Join(parts, ".*") + "$")
		for len(lines) > 0 && !pattern.MatchString(plain(lines[0])) {
			lines = lines[1:]
		}
		if len(lines) == 0 {
			return line, false
		}
		lines = lines[1:]
	}
	return "", true
}

func TestContains(t *testing.T) {
	got := "2 calls, 2 recorded\n\nsiem   2   0   1.5 MiB\n08:00:01.123 200  0.8ms GET /a 127.0.0.1\n"
	for want, good := range map[string]bool{
		"":                      true,
		"2 calls, 2 recorded\n": true,
		"2 calls, 1 recorded\n": false,
		"siem 2 0 65.1 MiB\n":   true,
		"siem 2 1 65.1 MiB\n":   false,
		"09:10:11.000 200 12.5ms GET … 127.0.0.1\n": true,
		"09:10:11.000 404 12.5ms GET … 127.0.0.1\n": false,
		"siem … MiB\n2 calls, 2 recorded\n":         false,
		"\n\n2 calls, 2 recorded\n\n\nsiem …\n":     true,
		"2 calls\n": false,
	} {
		if line, ok := contains(got, want); ok != good {
			t.Errorf("%q: %v, %q", want, ok, line)
		}
	}
}

// certificate is a certificate that signed itself, and its key, PEM.
func certificate(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true, DNSNames: []string{"localhost"}}
	der, err := x509.CreateCertificate(rand.Reader, &template, &template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	text, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})), string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: text}))
}
