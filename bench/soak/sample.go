//go:build linux

package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"text/tabwriter"
	"time"
)

// sample is what tapway takes at one moment.
type sample struct {
	at     time.Duration
	values [len(quantities)]float64
}

// quantity is something that must not grow from the first quarter to the last by more than
// share and slack together.
type quantity struct {
	name  string
	unit  float64
	share float64
	slack float64 // in the same unit as the samples
}

const (
	rss = iota
	heap
	goroutines
	files
	disk
	queued
)

var quantities = [...]quantity{
	rss:        {"memory (RSS), MiB", 1 << 20, 0.20, 16 << 20},
	heap:       {"heap in use, MiB", 1 << 20, 0.25, 8 << 20},
	goroutines: {"goroutines", 1, 0.10, 16},
	files:      {"open files", 1, 0.10, 16},
	disk:       {"disk, MiB", 1 << 20, 0.15, 16 << 20},
	queued:     {"records queued", 1, 0.10, 500},
}

func discard(r io.Reader) (int64, error) { return io.Copy(io.Discard, r) }

// sample asks the kernel and tapway itself.
func (t *target) sample(ctx context.Context) (s sample, err error) {
	proc := fmt.Sprintf("/proc/%d/", t.cmd.Process.Pid)
	status, err := os.ReadFile(proc + "status")
	if err != nil {
		return s, fmt.Errorf("tapway is gone: %w", err)
	}
	for line := range strings.Lines(string(status)) {
		if kib, ok := strings.CutPrefix(line, "VmRSS:"); ok {
			n, err := strconv.ParseFloat(strings.TrimSuffix(strings.TrimSpace(kib), " kB"), 64)
			if err != nil {
				return s, err
			}
			s.values[rss] = n * 1024
		}
	}
	open, err := os.ReadDir(proc + "fd")
	if err != nil {
		return s, err
	}
	s.values[files] = float64(len(open))
	s.values[disk] = diskUse(t.data)
	return s, t.metrics(ctx, &s)
}

// metrics reads what tapway says of itself.
func (t *target) metrics(ctx context.Context, s *sample) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, t.admin+"/metrics", nil)
	if err != nil {
		return err
	}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return err
	}
	found := 0
	for lines := bufio.NewScanner(bytes.NewReader(text)); lines.Scan(); {
		name, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseFloat(value, 64)
		if err != nil {
			continue
		}
		switch {
		case name == "go_memstats_heap_inuse_bytes":
			s.values[heap] = n
		case name == "go_goroutines":
			s.values[goroutines] = n
		case strings.HasPrefix(name, "tapway_ledger_records{") && strings.Contains(name, `state="queued"`):
			s.values[queued] += n
		default:
			continue
		}
		found++
	}
	if found < 3 {
		return fmt.Errorf("the metrics lack something: %.2000s", text)
	}
	return nil
}

// diskUse is what a directory takes, in blocks: files may have holes.
func diskUse(dir string) (n float64) {
	filepath.WalkDir(dir, func(_ string, e fs.DirEntry, err error) error {
		if err != nil || !e.Type().IsRegular() {
			return nil // a file may go while we look
		}
		if info, err := e.Info(); err == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				n += float64(st.Blocks) * 512
			}
		}
		return nil
	})
	return n
}

// judge prints the quarters and compares the first with the last.
func judge(w io.Writer, all []sample) bool {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', tabwriter.AlignRight)
	fmt.Fprintln(table, "median of each quarter\tfirst\tsecond\tthird\tfourth\tmost\tallowed\t\t")
	good := true
	for i, q := range quantities {
		var quarters [4]float64
		most := 0.0
		for n := range quarters {
			quarters[n] = median(all[len(all)*n/4:len(all)*(n+1)/4], i)
		}
		for _, s := range all {
			most = max(most, s.values[i])
		}
		allowed := quarters[0]*(1+q.share) + q.slack
		verdict := "flat"
		if quarters[3] > allowed || i == disk && most > limit {
			verdict, good = "GROWS", false
		}
		fmt.Fprintf(table, "%s\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%.1f\t%s\t\n", q.name,
			quarters[0]/q.unit, quarters[1]/q.unit, quarters[2]/q.unit, quarters[3]/q.unit, most/q.unit, allowed/q.unit, verdict)
	}
	table.Flush()
	return good
}

func median(some []sample, i int) float64 {
	values := make([]float64, len(some))
	for n, s := range some {
		values[n] = s.values[i]
	}
	slices.Sort(values)
	return values[len(values)/2]
}
