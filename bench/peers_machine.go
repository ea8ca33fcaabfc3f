package main

import (
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"time"
)

// machine says in a line what the figures were measured on.
func machine() string {
	parts := []string{fmt.Sprintf("%d cores", runtime.NumCPU())}
	if model := field("/proc/cpuinfo", "model name"); model != "" {
		parts[0] += " (" + model + ")"
	}
	if kib, err := strconv.ParseFloat(strings.TrimSuffix(field("/proc/meminfo", "MemTotal"), " kB"), 64); err == nil {
		parts = append(parts, fmt.Sprintf("%.0f GiB of memory", kib/(1<<20)))
	}
	if kernel, err := os.ReadFile("/proc/sys/kernel/osrelease"); err == nil {
		release, _, _ := strings.Cut(strings.TrimSpace(string(kernel)), "-") // what a distribution adds is left out
		parts = append(parts, "Linux "+release)
	}
	return strings.Join(append(parts, runtime.Version()), ", ")
}

// field is what stands behind a word and a colon in a file of /proc.
func field(name, word string) string {
	text, _ := os.ReadFile(name)
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(line, ":"); ok && strings.TrimSpace(key) == word {
			return strings.TrimSpace(value)
		}
	}
	return ""
}

// commit is the commit that tapway was built from, as far as git knows.
func commit() string {
	out, err := exec.Command("git", "describe", "--always", "--dirty", "--tags").Output()
	if err != nil {
		return ""
	}
	return strings.TrimSpace(string(out))
}

// busy is the time that the machine's cores have worked, or were kept from working by a host.
func busy() (total time.Duration) {
	text, _ := os.ReadFile("/proc/stat")
	line, _, _ := strings.Cut(string(text), "\n")
	for i, f := range strings.Fields(line) {
		if i == 0 || i == 4 || i == 5 || i > 8 { // the word cpu, idle, waiting for a disk, guests (counted before)
			continue
		}
		ticks, _ := strconv.ParseInt(f, 10, 64)
		total += time.Duration(ticks) * (time.Second / 100)
	}
	return total
}

// watchOthers measures how much of the machine others take; the function it returns gives their share, from 0 to 1.
func watchOthers() func() float64 {
	self := &process{cmd: &exec.Cmd{Process: &os.Process{Pid: os.Getpid()}}}
	began, all, ours := time.Now(), busy(), self.treeCPU()
	return func() float64 {
		theirs := (busy() - all) - (self.treeCPU() - ours)
		return min(1, max(0, theirs.Seconds()/(time.Since(began).Seconds()*float64(runtime.NumCPU()))))
	}
}
