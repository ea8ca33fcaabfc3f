package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/tapway/tapway/internal/lambdahttp/eventtest"
)

// passer is one function that passes calls on, under measurement.
type passer struct {
	name  string
	start func(e *environment) (*function, error)

	f        *function
	cpu      []float64 // µs per call, one of each round
	calls    int
	used     time.Duration // of all rounds: the kernel counts in 1/100 s
	rss, hwm float64
}

func pythonAs(name, mode string) *passer {
	return &passer{name: name, start: func(e *environment) (*function, error) {
		return e.run(name, []string{"PYTHONDONTWRITEBYTECODE=1", "MODE=" + mode, "BACKEND=" + e.backend.url(), "QUEUE_URL=http://" + e.sqsAddr + "/000000000000/records"}, *python, "bench/python/runtime.py")
	}}
}

func passers() ([]*passer, error) {
	file, err := filepath.Abs("bench/python/forward-only.yaml")
	if err != nil {
		return nil, err
	}
	list := []*passer{
		{name: "tapway: forwards, records, sends to SQS", start: bootstrap("tapway")},
		{name: "tapway: forwards only", start: bootstrap("tapway, forwards only", "TAPWAY_CONFIG="+file)},
		pythonAs("Python: forwards, one urllib3 pool", "pool"),
		pythonAs("Python: forwards, a new urllib3 pool per call", "new"),
	}
	if exec.Command(*python, "-c", "import boto3").Run() == nil {
		list = append(list, pythonAs("Python: forwards, records, sends to SQS by boto3", "sqs"))
	} else {
		fmt.Fprintln(os.Stderr, "bench: no boto3: the Python function that sends to SQS is left out")
	}
	return append(list, pythonAs("*Python: the loop, without a handler*", "none")), nil
}

// benchCPU measures the CPU time of a function's process per call, side by side with a
// Python function that does the same.
func benchCPU() error {
	if err := needBootstraps(); err != nil {
		return err
	}
	if out, err := exec.Command(*python, "-c", "import urllib3").CombinedOutput(); err != nil {
		return fmt.Errorf("%s has no urllib3 (pip install urllib3): %s", *python, out)
	}
	for _, size := range payloads {
		list, err := passers()
		if err != nil {
			return err
		}
		if err := compareCPU(list, size); err != nil {
			return err
		}
		fmt.Printf("\n## CPU of the function's process per call, REST event, %d KiB\n\n| | CPU µs/call | one urllib3 pool ÷ it (min–max) | resident MiB | peak MiB |\n|---|---|---|---|---|\n", size>>10)
		for _, p := range list {
			fmt.Printf("| %s | %.0f | %s | %.1f | %.1f |\n", p.name, float64(p.used.Microseconds())/float64(p.calls), span(ratios(list[2].cpu, p.cpu)), p.rss, p.hwm)
		}
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
	number := 3 * callsOf(size) // the kernel counts CPU in 1/100 s
	for round := range *rounds + 1 {
		for i, p := range list {
			e := environments[i]
			before := p.f.cpu()
			for range number {
				if _, err := e.call(event); err != nil {
					return fmt.Errorf("%s: %w\n%s", p.name, err, p.f.log)
				}
			}
			used := p.f.cpu() - before
			e.empty()
			if round == 0 { // it warms up
				continue
			}
			p.calls, p.used = p.calls+number, p.used+used
			p.cpu = append(p.cpu, float64(used.Microseconds())/float64(number))
		}
	}
	for _, p := range list {
		p.rss, p.hwm = p.f.memory()
	}
	return nil
}
