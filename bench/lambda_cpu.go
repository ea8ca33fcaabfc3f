package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// passer is one function that passes calls on, under measurement.
type passer struct {
	name  string
	start func(e *environment) (*function, error)

	f        *function
	cpu      []float64 // µs per call, one of each round
	rss, hwm float64
}

func pythonAs(name, mode string) *passer {
	return &passer{name: name, start: func(e *environment) (*function, error) {
		return e.run(name, []string{"PYTHONDONTWRITEBYTECODE=1", "MODE=" + mode, "BACKEND=" + e.backend.url(), "QUEUE_URL=http://" + e.sqsAddr + "/000000000000/records"}, *python, "bench/python/runtime.py")
	}}
}

func passers(size int) ([]*passer, error) {
	file, err := filepath.Abs("bench/python/forward-only.yaml")
	if err != nil {
		return nil, err
	}
	const records, forwards = "tapway: forwards, records, sends to SQS", "tapway: forwards only"
	list := []*passer{
		{name: records, start: bootstrap(records)},
		{name: forwards, start: bootstrap(forwards, "TAPWAY_CONFIG="+file)},
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	list = append(list, &passer{name: "*a Go program that only copies*", start: func(e *environment) (*function, error) {
		return e.floor(self, "floor", size)
	}}, &passer{name: "*the system calls of a call alone*", start: func(e *environment) (*function, error) {
		return e.floor(self, "syscalls", size)
	}})
	if *against != "" {
		list = append(list,
			&passer{name: "other build, " + records, start: bootstrapIn(*against, records)},
			&passer{name: "other build, " + forwards, start: bootstrapIn(*against, forwards, "TAPWAY_CONFIG="+file)})
	}
	if *python == "" {
		return list, nil
	}
	list = append(list,
		pythonAs(yardstick, "pool"),
		pythonAs("Python: forwards, a new urllib3 pool per call", "new"))
	if exec.Command(*python, "-c", "import boto3").Run() == nil {
		list = append(list, pythonAs("Python: forwards, records, sends to SQS by boto3", "sqs"))
	} else {
		fmt.Fprintln(os.Stderr, "bench: no boto3: the Python function that sends to SQS is left out")
	}
	return append(list, pythonAs("*Python: the loop, without a handler*", "none")), nil
}

// yardstick is the passer that the others are compared with; without it, the first one is.
const yardstick = "Python: forwards, one urllib3 pool"

// benchCPU measures the CPU time of a function's process per call, side by side with a
// Python function that does the same.
func benchCPU() error {
	if err := needBootstraps(); err != nil {
		return err
	}
	if *python != "" {
		if out, err := exec.Command(*python, "-c", "import urllib3").CombinedOutput(); err != nil {
			return fmt.Errorf("%s has no urllib3 (pip install urllib3): %s", *python, out)
		}
	}
	for _, size := range append(payloads[:len(payloads):len(payloads)], ordinary) {
		list, err := passers(size)
		if err != nil {
			return err
		}
		if err := compareCPU(list, size); err != nil {
			return err
		}
		base := list[max(slices.IndexFunc(list, func(p *passer) bool { return p.name == yardstick }), 0)]
		fmt.Printf("\n## CPU of the function's process per call, REST event, %s\n\n| | CPU µs/call, median (min–max) | %s ÷ it (min–max) | resident MiB | peak MiB |\n|---|---|---|---|---|\n", describe(size), base.name)
		for _, p := range list {
			fmt.Printf("| %s | %.0f (%.0f–%.0f) | %s | %.1f | %.1f |\n", p.name, median(p.cpu), slices.Min(p.cpu), slices.Max(p.cpu), span(ratios(base.cpu, p.cpu)), p.rss, p.hwm)
		}
	}
	return nil
}

// benchOne is benchCPU with all processes on one processor: functions below 1,769 MB have no more than one's time, and
// no processor that sleeps has to be woken.
func benchOne() error {
	self, err := os.Executable()
	if err != nil {
		return err
	}
	cmd := exec.Command("taskset", append(append([]string{"-c", strconv.Itoa(runtime.NumCPU() - 1), self}, os.Args[1:]...), "-only", "cpu")...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("taskset (of util-linux): %w", err)
	}
	return nil
}

func compareCPU(list []*passer, size int) error {
	event, err := eventOf(eventtest.REST, size)
	if err != nil {
		return err
	}
	environments := make([]*environment, len(list))
	for i, p := range list {
		if environments[i], err = newEnvironment(); err != nil {
			return err
		}
		defer environments[i].close()
		if p.f, err = p.start(environments[i]); err != nil {
			return err
		}
		defer p.f.stop()
	}
	number := 3 * callsOf(size)
	for round := range *rounds + 1 {
		for i, p := range list {
			e := environments[i]
			before := p.f.threadTime()
			for range number {
				call := e.call
				if strings.HasPrefix(p.name, "*") {
					call = e.callAny
				}
				if _, err := call(event); err != nil {
					return fmt.Errorf("%s: %w\n%s", p.name, err, p.f.log)
				}
			}
			used := p.f.threadTime() - before
			e.empty()
			if round == 0 { // it warms up
				continue
			}
			p.cpu = append(p.cpu, float64(used.Microseconds())/float64(number))
		}
	}
	for _, p := range list {
		p.rss, p.hwm = p.f.memory()
	}
	return nil
}
