package main

import (
	"errors"
	"os"
	"path/filepath"
)

// peer is a contender of the run against peers.
type peer struct {
	name     string
	about    string   // what it captures, and where that goes
	needs    []string // names in the list of what could not be had
	captures bool     // both bodies of a call, so far as it does what it says
	counts   bool     // something can be counted when it has run
	passive  bool     // calls go straight to the backend
	files    [][2]string
	start    func(*place) (*runningPeer, error)
	tally    func(p *place, body []byte, bodies int, closely bool) (tally, error)
}

// runningPeer is a peer that runs: its own processes, and a store beside it that is counted apart.
type runningPeer struct {
	main  *process
	store *process
	addr  string
}

func (r *runningPeer) stop() {
	r.main.stop()
	if r.store != nil {
		r.store.stop()
	}
}

// The names of the contenders that the targets speak of.
const (
	nameHTTPUtil = "httputil.ReverseProxy"
	nameBare     = "tapway without capture"
	nameTapway   = "tapway, commit, batches of 100"
	nameCaddy    = "Caddy"
	nameTyk      = "Tyk, detailed_recording"
)

// command is a peer that is one program.
func command(name string, args ...string) func(*place) (*runningPeer, error) {
	return func(p *place) (*runningPeer, error) {
		main, err := p.run(p.listen, name, append([]string(nil), args...)...)
		return &runningPeer{main: main, addr: p.listen}, err
	}
}

// ownRole is this program in another role.
func ownRole(role string) func(*place) (*runningPeer, error) {
	return func(p *place) (*runningPeer, error) {
		main, err := start(role, "http://"+p.backend)
		if err != nil {
			return nil, err
		}
		return &runningPeer{main: main, addr: main.addr}, nil
	}
}

func atSink(p *place, _ []byte, _ int, _ bool) (tally, error) { return sinkTally(p.sink) }

// peerList is every contender; the first is the one that the ratios are of.
func peerList() []peer {
	nginx := func(conf string) func(*place) (*runningPeer, error) {
		return command("nginx", "-p", "{dir}", "-e", "stderr", "-c", "{dir}/"+conf)
	}
	tapway := func(name, file, about string) peer {
		return peer{name: name, about: about, captures: true, counts: true, files: [][2]string{{file, "tapway.yaml"}}, start: command("tapway", "serve", "-c", "{dir}/tapway.yaml"), tally: atSink}
	}
	return []peer{
		{name: nameHTTPUtil, about: "nothing", start: ownRole("httputil")},
		{name: nameBare, about: "nothing: its server, proxy stage and transport alone", start: ownRole("bare")},
		{name: "tapway, every call left out by a rule", about: "nothing", files: [][2]string{{"tapway-plain.yaml", "tapway.yaml"}}, start: command("tapway", "serve", "-c", "{dir}/tapway.yaml")},
		{name: nameCaddy, about: "nothing", needs: []string{"caddy"}, files: [][2]string{{"Caddyfile", "Caddyfile"}}, start: command("caddy", "run", "--config", "{dir}/Caddyfile", "--adapter", "caddyfile")},
		{name: "Traefik", about: "nothing", needs: []string{"traefik"}, files: [][2]string{{"traefik.yaml", "traefik.yaml"}, {"traefik-routes.yaml", "traefik-routes.yaml"}}, start: command("traefik", "--configFile={dir}/traefik.yaml")},
		{name: "HAProxy", about: "nothing", needs: []string{"haproxy"}, files: [][2]string{{"haproxy.cfg", "haproxy.cfg"}}, start: command("haproxy", "-db", "-f", "{dir}/haproxy.cfg")},
		{name: "nginx", about: "nothing", needs: []string{"nginx"}, files: [][2]string{{"nginx.conf", "nginx.conf"}}, start: nginx("nginx.conf")},
		{name: "nginx, mirror", about: "requests only, each sent to the sink as a call", needs: []string{"nginx"}, counts: true, files: [][2]string{{"nginx-mirror.conf", "nginx.conf"}}, start: nginx("nginx.conf"), tally: atSink},
		tapway(nameTapway, "tapway-batch.yaml", "both bodies, in at most 256 MiB, on disk before the answer ends, delivered"),
		tapway("tapway, write, batches of 100", "tapway-write.yaml", "both bodies, in at most 256 MiB, on disk within 10 ms, delivered"),
		tapway("tapway, its defaults", "tapway.yaml", "both bodies, in at most 64 MiB, on disk before the answer ends, delivered one by one"),
		{name: "nginx, Lua", about: "both bodies, in memory, delivered in batches of 100", needs: []string{"nginx", "nginx-lua"}, captures: true, counts: true, files: [][2]string{{"nginx-lua.conf", "nginx.conf"}, {"capture.lua", "capture.lua"}}, start: nginx("nginx.conf"), tally: atSink},
		{name: nameTyk, about: "both bodies, in Redis; to deliver them is another program's work", needs: []string{"tyk", "redis"}, captures: true, counts: true, files: [][2]string{{"tyk.conf", "tyk.conf"}, {"tyk-api.json", "apps/bench.json"}}, start: startTyk, tally: func(p *place, body []byte, bodies int, closely bool) (tally, error) {
			return tykTally(p.redis, body, bodies, closely)
		}},
		{name: "mitmproxy", about: "both bodies, in memory, delivered in batches of 100 by a script", needs: []string{"mitmproxy"}, captures: true, counts: true, files: [][2]string{{"mitmproxy.py", "mitmproxy.py"}}, start: startMitmproxy, tally: atSink},
		{name: "GoReplay", about: "both bodies from the wire, to a file; calls go straight to the backend", needs: []string{"goreplay"}, captures: true, counts: true, passive: true, start: startGoReplay, tally: func(p *place, body []byte, bodies int, closely bool) (tally, error) {
			return goreplayTally(p.dir, body, bodies)
		}},
	}
}

func startTyk(p *place) (*runningPeer, error) {
	if err := os.MkdirAll(filepath.Join(p.dir, "middleware"), 0o755); err != nil {
		return nil, err
	}
	if err := os.WriteFile(filepath.Join(p.dir, "policies.json"), []byte("{}"), 0o644); err != nil {
		return nil, err
	}
	store, err := p.run(p.redis, "redis-server", "--bind", "127.0.0.1", "--port", p.fill("{redis}"), "--save", "", "--appendonly", "no", "--dir", "{dir}")
	if err != nil {
		return nil, err
	}
	main, err := p.run(p.listen, "tyk", "--conf={dir}/tyk.conf")
	if err != nil {
		store.stop()
		return nil, err
	}
	return &runningPeer{main: main, store: store, addr: p.listen}, nil
}

// startMitmproxy runs it with the system's Python, for which Debian's modules are.
func startMitmproxy(p *place) (*runningPeer, error) {
	main, err := p.run(p.listen, "python3", "{root}/usr/bin/mitmdump", "--quiet", "--mode", "reverse:http://{backend}", "--listen-host", "127.0.0.1", "--listen-port", "{port}",
		"--set", "confdir={dir}/mitm", "--set", "flow_detail=0", "--set", "connection_strategy=lazy", "-s", "{dir}/mitmproxy.py")
	return &runningPeer{main: main, addr: p.listen}, err
}

// startGoReplay listens in on the backend's port.
func startGoReplay(p *place) (*runningPeer, error) {
	main, err := p.run("", "goreplay", "--input-raw", "127.0.0.1:{backendport}", "--input-raw-track-response", "--input-raw-buffer-size", "64mb", "--output-file", "{dir}/calls.gor", "--output-file-append")
	if err != nil {
		return nil, err
	}
	return &runningPeer{main: main, addr: p.backend}, nil
}

var errGone = errors.New("it ended while it was measured")
