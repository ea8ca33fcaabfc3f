package main

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strings"
	"time"
)

// variants are programs with ever more linked, up to the bootstrap itself.
var variants = []struct{ name, pkg string }{
	{"the Runtime API's client alone", "./bench/variant/runtime"},
	{"+ SQS client", "./bench/variant/sqs"},
	{"+ S3 client", "./bench/variant/s3"},
	{"+ configuration (YAML)", "./bench/variant/config"},
	{"the bootstrap", ""},
}

// What the bootstrap and its zip may have, in bytes: Lambda loads them at every cold start.
const (
	maxBootstrap = 12 << 20
	maxZip       = 5_000_000
)

// checkSizes fails when a build has outgrown them.
func checkSizes() error {
	for _, arch := range []string{"arm64", "amd64"} {
		for name, limit := range map[string]int64{"lambda-" + arch + "/bootstrap": maxBootstrap, "tapway-lambda-" + arch + ".zip": maxZip} {
			info, err := os.Stat(filepath.Join(*bootstraps, name))
			if err != nil {
				return err
			}
			if info.Size() >= limit {
				return fmt.Errorf("%s has %d bytes, the limit is %d: find out what was linked by `go build -ldflags=-dumpdep`, or by cmd/tapway-lambda's test", name, info.Size(), limit)
			}
		}
	}
	return nil
}

// benchInit measures what is paid at every cold start: size, and process start to /next.
func benchInit() error {
	if err := needBootstraps(); err != nil {
		return err
	}
	if err := checkSizes(); err != nil {
		return err
	}
	dir, remove, err := tempData()
	if err != nil {
		return err
	}
	defer remove()
	files := make([]map[string]string, len(variants)) // by architecture
	for i, v := range variants {
		files[i] = map[string]string{}
		for _, arch := range []string{"arm64", "amd64"} {
			if files[i][arch], err = variant(dir, v.pkg, arch); err != nil {
				return err
			}
		}
	}
	times, cpus := make([][]float64, len(variants)), make([][]float64, len(variants))
	for n := range 6 * *rounds {
		for i, v := range variants {
			if files[i][runtime.GOARCH] == "" {
				return fmt.Errorf("no bootstrap for %s", runtime.GOARCH)
			}
			took, cpu, err := coldStart(v.name, files[i][runtime.GOARCH])
			if err != nil {
				return err
			}
			if n >= *rounds { // the first ones bring the files into memory
				times[i], cpus[i] = append(times[i], took), append(cpus[i], cpu)
			}
		}
	}
	fmt.Printf("\n## Cold start: process start → first /next, GOMAXPROCS=1, and size stripped\n\n| | init ms, p50 (min–max) | CPU ms | arm64 bytes | amd64 bytes |\n|---|---|---|---|---|\n")
	for i, v := range variants {
		fmt.Printf("| %s | %.1f (%.1f–%.1f) | %.1f | %s | %s |\n", v.name, median(times[i]), slices.Min(times[i]), slices.Max(times[i]), median(cpus[i]),
			size(files[i]["arm64"]), size(files[i]["amd64"]))
	}
	fmt.Printf("| the zip file | | | %s | %s |\n", size(filepath.Join(*bootstraps, "tapway-lambda-arm64.zip")), size(filepath.Join(*bootstraps, "tapway-lambda-amd64.zip")))
	return nil
}

// variant builds a program as the bootstrap is built; pkg "" is the bootstrap, which is there.
func variant(dir, pkg, arch string) (string, error) {
	if pkg == "" {
		return filepath.Join(*bootstraps, "lambda-"+arch, "bootstrap"), nil
	}
	out := filepath.Join(dir, arch+"-"+filepath.Base(pkg))
	args := append([]string{"build", "-ldflags", "-s -w -buildid=", "-o", out}, strings.Fields(*buildWith)...)
	cmd := exec.Command("go", append(args, pkg)...)
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOOS=linux", "GOARCH="+arch)
	if text, err := cmd.CombinedOutput(); err != nil {
		return "", fmt.Errorf("build %s: %w\n%s", pkg, err, text)
	}
	return out, nil
}

// coldStart runs a program until it asks for its first event.
func coldStart(name, file string) (ms, cpu float64, err error) {
	var began time.Time
	var ran *exec.Cmd
	start := func(e *environment) (*function, error) {
		began = time.Now()
		return e.run(name, []string{"GOMAXPROCS=1"}, file)
	}
	err = in(start, func(e *environment, f *function) error {
		asked, err := e.api.wait()
		ms, ran = asked.Sub(began).Seconds()*1000, f.cmd
		return errors.Join(err, f.cmd.Process.Kill())
	})
	if err != nil {
		return 0, 0, err
	}
	return ms, (ran.ProcessState.UserTime() + ran.ProcessState.SystemTime()).Seconds() * 1000, nil
}

func size(file string) string {
	info, err := os.Stat(file)
	if err != nil {
		return "not built"
	}
	return fmt.Sprint(info.Size())
}
