//go:build torture

package main

import (
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"github.com/tapway/tapway/internal/torture"
)

// TestTorture drives the real process with random traffic while it is killed, its disk fills up
// and everything around it fails; see package torture and docs/reliability.md. TORTURE_TIME and
// TORTURE_SEED make it longer and repeat a plan.
func TestTorture(t *testing.T) {
	t.Parallel()
	seed, length := tortureSettings(t, 8*time.Second)
	dir := t.TempDir()
	o := torture.Options{Dir: dir, Seed: seed, Time: length, Log: t.Logf, Calls: 50, Disk: smallDisk(t)}
	movable(t, &o)
	r, err := torture.Run(t.Context(), o)
	tell(t, seed, r, err)
}

// TestTortureSQS is TestTorture with the queue on SQS: a gateway and a forwarder are killed while
// SQS and S3 fail. When TORTURE_TIME is set and moto is here, SQS and S3 are moto's.
func TestTortureSQS(t *testing.T) {
	t.Parallel()
	seed, length := tortureSettings(t, 4*time.Second)
	o := torture.SQSOptions{
		Options: torture.Options{Dir: t.TempDir(), Seed: seed, Time: length, Calls: 15, Log: t.Logf},
		Clients: 4, Pause: 5 * time.Millisecond,
	}
	movable(t, &o.Options)
	if _, err := exec.LookPath("moto_server"); err == nil && os.Getenv("TORTURE_TIME") != "" {
		w := newMotoWith(t, "calm", "wild")
		o.SQS, o.S3, o.Clients, o.Pause = w.url, w.url, 2, 60*time.Millisecond // it is slow
		o.Time = min(o.Time, 4*time.Minute)                                    // and the slower the more it has had: after ten minutes it would never be done
		t.Log("SQS and S3 are moto's")
	} else {
		w := newAWSWith(t, "calm", "wild")
		o.SQS, o.S3 = w.url, w.s3URL
		o.Expire = func() {
			w.sqs.Expire("records-calm")
			w.sqs.Expire("records-wild")
		}
		o.Left = func(queue string) (bodies []string) {
			for _, m := range w.sqs.Messages(queue) {
				bodies = append(bodies, m.Body)
			}
			return bodies
		}
	}
	r, err := torture.RunSQS(t.Context(), o)
	tell(t, seed, r, err)
}

// movable makes the commands' clock movable where this program was built with .ci/clock, as `make
// torture` does.
func movable(t *testing.T, o *torture.Options) {
	o.Command = command
	if os.Getenv("TORTURE_CLOCK") != "jumps" {
		t.Log("the clock does not jump here: `make torture` builds a program whose clock can")
		return
	}
	o.ClockFile = filepath.Join(o.Dir, "clock")
	o.Command = func(dir string, args ...string) *exec.Cmd {
		cmd := command(dir, args...)
		cmd.Env = append(cmd.Env, "TAPWAY_CLOCK="+o.ClockFile)
		return cmd
	}
}

func tortureSettings(t *testing.T, short time.Duration) (seed uint64, length time.Duration) {
	t.Helper()
	seed, length = rand.Uint64(), short
	var err error
	if text := os.Getenv("TORTURE_SEED"); text != "" {
		if seed, err = strconv.ParseUint(text, 10, 64); err != nil {
			t.Fatal(err)
		}
	}
	if text := os.Getenv("TORTURE_TIME"); text != "" {
		if length, err = time.ParseDuration(text); err != nil {
			t.Fatal(err)
		}
	}
	repeat := fmt.Sprintf("make torture TORTURE_SEED=%d TORTURE_TIME=%v", seed, length)
	if os.Getenv("TORTURE_CLOCK") != "jumps" {
		repeat += " TORTURE_CLOCK=steady"
	}
	t.Logf("to repeat this plan: %s", repeat)
	return seed, length
}

func tell(t *testing.T, seed uint64, r torture.Report, err error) {
	t.Helper()
	t.Logf("%d lives, %d calls, of which %d ended (%d without a record, as they may) and %d more past tapway, %d records", r.Lives, r.Calls, r.Ended, r.Excused, r.Past, r.Records)
	t.Logf("faults: %q", r.Faults)
	for _, p := range r.Problems {
		t.Errorf("seed %d: %s", seed, p)
	}
	if err != nil {
		t.Fatalf("seed %d: %v", seed, err)
	}
}

// smallDisk is a file system of its own that may be filled up, "" where none can be made: that
// takes Linux and the right to mount. It is larger than any limit that tapway is given, so that only an event fills it.
func smallDisk(t *testing.T) string {
	t.Helper()
	if runtime.GOOS != "linux" || os.Geteuid() != 0 {
		t.Log("no disk is filled up here: that takes the right to mount one; only the limit of the data directory is reached")
		return ""
	}
	dir := filepath.Join(t.TempDir(), "disk")
	if err := os.Mkdir(dir, 0o700); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=512m,mode=700", "tapway-torture", dir).CombinedOutput(); err != nil {
		t.Logf("no disk is filled up here: mount: %v: %s", err, out)
		return ""
	}
	t.Cleanup(func() {
		if out, err := exec.Command("umount", "-l", dir).CombinedOutput(); err != nil {
			t.Errorf("umount: %v: %s", err, out)
		}
	})
	return dir
}
