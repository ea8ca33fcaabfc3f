package torture

import (
	"bytes"
	"context"
	"fmt"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// patience is how long a command may try while API Gateway fails every call; then somebody kills it.
const patience = 3 * time.Second

// callTakes is how long API Gateway takes for a call, so that clients make some meanwhile.
const callTakes = 3 * time.Millisecond

// result is what came of a command.
type result struct {
	out       string
	code      int
	calls     int  // to API Gateway
	disturbed bool // it met a fault, or was killed
	killed    bool
}

// operate does the steps of the plan one after the other, until ctx ends.
func (a *api) operate(ctx context.Context) {
	for _, s := range a.plan.steps {
		if !sleep(ctx, s.pause) {
			return
		}
		if err := a.do(s); err != nil {
			a.w.problem("a command on the API", "%v", err)
			return
		}
	}
}

// do runs the command of a step and looks at what it has done.
func (a *api) do(s step) error {
	was := a.phase()
	a.w.faults.add("event " + s.kind)
	e, err := a.run(s)
	if err != nil {
		return err
	}
	now := a.phase()
	a.w.o.Log("%s of an API that was %q: exit code %d after %d calls, disturbed: %v, it is %q", s.kind, was, e.code, e.calls, e.disturbed, now)
	a.judge(s, was, now, e)
	return nil
}

// judge says what a command has not kept to.
func (a *api) judge(s step, was, now string, e result) {
	wrong := func(format string, args ...any) {
		a.w.problem("tapway "+s.kind, "the API was %q, is %q, exit code %d: %s\n%s", was, now, e.code, fmt.Sprintf(format, args...), e.out)
	}
	if where := a.w.secrets.in([]byte(e.out)); where != "" {
		a.w.problem("a secret in the output of tapway "+s.kind, "%s", where)
	}
	for _, word := range []string{"DATA RACE", "panic:", "goroutine 1 [", "fatal error:"} {
		if strings.Contains(e.out, word) {
			wrong("it broke down")
		}
	}
	if !e.disturbed && (e.code == 0) != succeeds(s.kind, was) {
		wrong("nothing was in its way")
	}
	done := !e.killed && e.code == 0
	switch {
	case s.kind == doAttach && done:
		if stray := a.strays(tapwayHost); stray != "" || now != "attached" {
			wrong("it is not attached: %s", stray)
		}
	case s.kind == doDetach && done || s.kind == doAttach && !e.killed && strings.Contains(e.out, "the API is as it was"):
		if d := a.differs(); d != "" || now != "detached" {
			wrong("it is not as it was: %s", d)
		}
	case s.kind == doStatus && now != was:
		wrong("it changed the state")
	}
}

// succeeds says whether a command does what it is for, by what is saved of the API: nothing, or how
// far an attach or a detach has come.
func succeeds(kind, phase string) bool {
	switch kind {
	case doAttach:
		return phase == "" || phase == "attaching" || phase == "detached"
	case doDetach:
		return phase != ""
	}
	return phase == "" || phase == "attached" || phase == "detached"
}

func (a *api) args(kind string) []string {
	args := []string{kind, "--api", a.id, "--rate", "1000"}
	switch kind {
	case doAttach:
		return append(args, "--via", "url:https://"+tapwayHost, "--secret-file", secretFile, "--yes")
	case doDetach:
		return append(args, "--yes")
	}
	return append(args, "--no-tap")
}

// run runs the command of a step while API Gateway fails as the step says. API Gateway has an address of
// its own for each command, so that no call of a killed one comes late.
func (a *api) run(s step) (e result, err error) {
	server := httptest.NewUnstartedServer(a.server)
	server.Config.ErrorLog = quiet
	server.Start()
	defer server.Close() // waits for what has begun
	cmd := a.w.o.Command(a.dir, a.args(s.kind)...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Env = append(cmd.Environ(), "AWS_ENDPOINT_URL="+server.URL, "AWS_REGION="+a.server.Region, "AWS_ACCESS_KEY_ID=AKIDTEST", "AWS_SECRET_ACCESS_KEY=SECRETTEST",
		"AWS_PROFILE=", "AWS_CONFIG_FILE=/dev/null", "AWS_SHARED_CREDENTIALS_FILE=/dev/null", "AWS_EC2_METADATA_DISABLED=true")
	started, exited := make(chan struct{}), make(chan struct{})
	var calls, met, killed atomic.Int64
	kill := func() {
		killed.Store(1)
		cmd.Process.Kill()
		<-exited
	}
	fault := func() *apitest.Fault {
		<-started
		time.Sleep(callTakes)
		n := int(calls.Add(1))
		if s.fault == "" || n < s.at || n > s.at && (s.once || s.killed) {
			return nil
		}
		met.Add(1)
		if s.killed {
			a.w.faults.add(s.kind + " killed")
			kill()
		} else {
			a.w.faults.add("API Gateway " + s.fault)
		}
		return apiFaults[s.fault]
	}
	a.fault.Store(&fault)
	defer a.fault.Store(nil)
	err = cmd.Start()
	close(started)
	if err != nil {
		return e, err
	}
	go func() {
		defer close(exited)
		cmd.Wait()
	}()
	within := startWithin
	if s.fault != "" && !s.once && !s.killed {
		within = patience
	}
	timer := time.NewTimer(within)
	defer timer.Stop()
	select {
	case <-exited:
	case <-timer.C:
		kill()
		if within == startWithin {
			return e, fmt.Errorf("tapway %s does not end: %s", s.kind, &out)
		}
	}
	e.killed = killed.Load() > 0 && cmd.ProcessState.ExitCode() < 0
	e.calls = int(calls.Load())
	e.out, e.code, e.disturbed = out.String(), cmd.ProcessState.ExitCode(), met.Load() > 0 || e.killed
	return e, nil
}

// takeOff makes an end of what a life has left behind: API Gateway fails no more, the API is detached,
// and then it must be as it was in the beginning.
func (a *api) takeOff() error {
	if a == nil {
		return nil
	}
	if a.plan.finish && a.phase() == "attaching" {
		if err := a.do(step{kind: doAttach}); err != nil {
			return err
		}
	}
	if phase := a.phase(); phase != "" && phase != "detached" {
		if err := a.do(step{kind: doDetach}); err != nil {
			return err
		}
	}
	if d := a.differs(); d != "" {
		a.w.problem("an API is not as it was before the attach", "%s", d)
	}
	return a.w.secrets.inFiles(a.dir, func(path, where string) {
		name := filepath.Base(path)
		saved := name == secretFile || strings.HasPrefix(name, "tapway-") || strings.HasPrefix(name, ".tapway-") // the last from one that was killed
		info, err := os.Stat(path)
		if err != nil || !saved || info.Mode().Perm()&0o077 != 0 {
			a.w.problem("a secret beside the saved state", "%s: %s", path, where)
		}
	})
}
