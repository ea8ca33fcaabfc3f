// Command bench measures tapway against its yardsticks in one interleaved run and prints
// the table of docs/benchmarks.md. Run it with `make bench`.
//
// What a newcomer gets wrong: everything runs on the machine's own cores, load generator
// and backend included, so absolute figures say little; quote the ratios, which are taken
// within a round, and the CPU time, which is that of the measured process alone. Every
// server is a process of its own: this program starts itself in other roles (roles.go).
package main

import (
	"flag"
	"fmt"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"time"
)

var (
	rounds   = flag.Int("rounds", 5, "interleaved rounds; medians are printed")
	seconds  = flag.Float64("seconds", 2, "length of one measurement")
	conns    = flag.Int("connections", 64, "client connections")
	only     = flag.String("only", "", "comma-separated parts: proxy, latency, pipeline, queue, delivery, memory, access, cache, history, console; with -lambda: added, one (cpu on one processor), cpu, slow, init")
	bodySize = flag.Int("bytes", 1<<10, "body of a call and of its answer in the part pipeline: 1024, 10240 or 102400")
	backlog  = flag.Int("backlog", 1_000_000, "records of the large backlog")
	peers    = flag.String("peer", "", "other proxies to measure too, name=command with {backend}, {listen} and {port}, separated by ;")
	profiles = flag.String("profile", "", "an existing directory for the CPU profiles of every tapway started, numbered in their order")
	dataRoot = flag.String("data", "", "where data directories go (default: the system's temporary directory); it should be a real disk")
)

func main() {
	if len(os.Args) > 1 && strings.HasPrefix(os.Args[1], "role:") {
		if err := runRole(strings.TrimPrefix(os.Args[1], "role:"), os.Args[2:]); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
			os.Exit(1)
		}
		return
	}
	flag.Parse()
	interrupted := make(chan os.Signal, 1)
	signal.Notify(interrupted, os.Interrupt)
	go func() {
		<-interrupted
		stopAll()
		os.Exit(1)
	}()
	err := run()
	stopAll()
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// part is a part of the run that can be asked for by name.
type part struct {
	name string
	run  func() error
}

func run() error {
	parts := []part{
		{"proxy", benchProxy}, {"latency", benchLatency}, {"pipeline", benchPipeline},
		{"queue", benchQueue}, {"delivery", benchDelivery}, {"memory", benchMemory}, {"access", benchAccess}, {"cache", benchCache}, {"history", benchHistory}, {"console", benchConsole},
	}
	what := fmt.Sprintf("%d rounds of %.1f s, %d connections", *rounds, *seconds, *conns)
	if *peersHad != "" {
		return benchPeers()
	}
	if *lambda {
		parts, what = lambdaParts, fmt.Sprintf("%d rounds of %d calls", *rounds, *calls)
	}
	fmt.Printf("%s, %d cores, %s; %s; medians\n", runtime.Version(), runtime.NumCPU(), time.Now().UTC().Format("2006-01-02"), what)
	wanted := strings.Split(*only, ",")
	for _, p := range parts {
		if *only != "" && !slices.Contains(wanted, p.name) {
			continue
		}
		if err := p.run(); err != nil {
			return fmt.Errorf("%s: %w", p.name, err)
		}
	}
	return nil
}

// median of at least one figure.
func median(v []float64) float64 {
	s := slices.Sorted(slices.Values(v))
	if len(s) == 0 {
		return 0
	}
	if len(s)%2 == 1 {
		return s[len(s)/2]
	}
	return (s[len(s)/2-1] + s[len(s)/2]) / 2
}

// ratios are a's figures by b's, round by round.
func ratios(a, b []float64) []float64 {
	out := make([]float64, min(len(a), len(b)))
	for i := range out {
		out[i] = a[i] / b[i]
	}
	return out
}

func span(v []float64) string {
	return fmt.Sprintf("%.2f (%.2f–%.2f)", median(v), slices.Min(v), slices.Max(v))
}
