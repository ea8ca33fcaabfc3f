package deploy

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"strings"
	"time"
)

// Terraform runs terraform, or OpenTofu, in one working directory.
type Terraform struct {
	Path     string // of the program
	Dir      string
	Env      []string                           // added to this process's
	Progress func(what string, done, total int) // nil: nobody looks
	Version  [2]int                             // major, minor
}

// ErrNoTerraform says what to install.
var ErrNoTerraform = errors.New("neither terraform nor tofu is on the path; install Terraform (https://developer.hashicorp.com/terraform/install) or OpenTofu (https://opentofu.org/docs/intro/install), 1.6 or later")

// FindTerraform finds the program: the named one, else terraform, else tofu.
func FindTerraform(ctx context.Context, named, dir string) (*Terraform, error) {
	names := []string{"terraform", "tofu"}
	if named != "" {
		names = []string{named}
	}
	t := &Terraform{Dir: dir}
	for _, name := range names {
		if found, err := exec.LookPath(name); err == nil {
			t.Path = found
			break
		}
	}
	if t.Path == "" && named != "" {
		return nil, fmt.Errorf("there is no program %s", named)
	}
	if t.Path == "" {
		return nil, ErrNoTerraform
	}
	cmd := exec.CommandContext(ctx, t.Path, "version", "-json") // #nosec G204 -- the program the operator has named or has in PATH
	cmd.Env = append(os.Environ(), "CHECKPOINT_DISABLE=1")
	out, err := cmd.Output()
	var v struct {
		Version string `json:"terraform_version"`
	}
	if err == nil {
		err = json.Unmarshal(out, &v)
	}
	if err == nil {
		_, err = fmt.Sscanf(v.Version, "%d.%d", &t.Version[0], &t.Version[1])
	}
	if err != nil {
		return nil, fmt.Errorf("%s version: %w", t.Path, err)
	}
	if !t.AtLeast(1, 6) {
		return nil, fmt.Errorf("%s is version %s; 1.6 or later is needed", t.Path, v.Version)
	}
	return t, nil
}

// AtLeast compares the version.
func (t *Terraform) AtLeast(major, minor int) bool {
	return t.Version[0] > major || t.Version[0] == major && t.Version[1] >= minor
}

func (t *Terraform) command(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, t.Path, args...) // #nosec G204 -- no shell; the arguments are ours
	cmd.Dir = t.Dir
	cmd.Env = append(append(os.Environ(), "CHECKPOINT_DISABLE=1", "TF_IN_AUTOMATION=1", "TF_INPUT=0"), t.Env...)
	apart(cmd)
	// Interrupted, it ends what is under way and writes its state, for which it needs time.
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.WaitDelay = 2 * time.Minute
	return cmd
}

// Init gets the provider.
func (t *Terraform) Init(ctx context.Context) error {
	t.progress("terraform init", 0, 0)
	_ = t.command(ctx, "fmt", "main.tf").Run() // for eyes only
	out, err := t.command(ctx, "init", "-no-color", "-reconfigure").CombinedOutput()
	if err != nil {
		return t.diagnose(ctx, "init", err, []diagnostic{{Severity: "error", Summary: strings.TrimSpace(plainText(string(out)))}})
	}
	return nil
}

// Change is what would become of one resource.
type Change struct {
	Action  string `json:"action"` // create, update, delete, replace
	Address string `json:"address"`
}

// Changes is a plan.
type Changes struct {
	List []Change `json:"changes"`
}

// Count counts the changes of one kind.
func (c *Changes) Count(actions ...string) (n int) {
	for _, one := range c.List {
		if slices.Contains(actions, one.Action) {
			n++
		}
	}
	return n
}

const planFile = "tapway.tfplan"

// Plan compares what there is with what there should be; destroy: with nothing. Apply carries
// it out.
func (t *Terraform) Plan(ctx context.Context, destroy bool) (*Changes, error) {
	args := []string{"plan", "-json", "-out=" + planFile}
	if destroy {
		args = append(args, "-destroy")
	}
	var c Changes
	n := 0
	err := t.stream(ctx, args, func(e event) {
		switch e.Type {
		case "refresh_start", "apply_start":
			n++
			t.progress("looking at what there is", n, 0)
		case "planned_change":
			if a := e.Change.Action; a != "no-op" && a != "read" && a != "move" {
				c.List = append(c.List, Change{a, e.Change.Resource.Addr})
			}
		}
	})
	slices.SortStableFunc(c.List, func(a, b Change) int { return strings.Compare(a.Address, b.Address) })
	return &c, err
}

// Apply carries out the plan made last. total is how many changes it has.
func (t *Terraform) Apply(ctx context.Context, total int) error {
	done, under := 0, map[string]bool{}
	show := func() {
		what := "AWS is at work"
		for address := range under { // one of them will do
			what = address
			break
		}
		t.progress(what, min(done, total), total)
	}
	return t.stream(ctx, []string{"apply", "-json", planFile}, func(e event) {
		address := e.Hook.Resource.Addr
		switch e.Type {
		case "apply_start":
			under[address] = true
		case "apply_complete":
			delete(under, address)
			done++
		case "apply_errored":
			delete(under, address)
		case "apply_progress":
		default:
			return
		}
		show()
	})
}

// Outputs are what the modules tell of what they made.
type Outputs struct {
	ProxyFunction     string
	ForwarderFunction string
	Bucket            string
	Topic             string
	Queues            map[string]string // URL by destination
	DeadLetterQueues  map[string]string
	Example           *Example
}

// Example is the example API.
type Example struct {
	APIID string `json:"api_id"`
	Stage string `json:"stage"`
	URL   string `json:"url"`
}

// Outputs reads them from the state. ProxyFunction is "" when nothing was made.
func (t *Terraform) Outputs(ctx context.Context) (*Outputs, error) {
	cmd := t.command(ctx, "output", "-json", "-no-color")
	var complaint bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.Output()
	if err != nil {
		return nil, t.diagnose(ctx, "output", err, []diagnostic{{Severity: "error", Summary: plainText(complaint.String())}})
	}
	var all map[string]struct {
		Value json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(out, &all); err != nil {
		return nil, fmt.Errorf("terraform output: %w", err)
	}
	o := new(Outputs)
	for name, to := range map[string]any{
		"proxy_function": &o.ProxyFunction, "forwarder_function": &o.ForwarderFunction, "bucket": &o.Bucket, "topic": &o.Topic,
		"queues": &o.Queues, "dead_letter_queues": &o.DeadLetterQueues, "example": &o.Example,
	} {
		if v, ok := all[name]; ok {
			if err := json.Unmarshal(v.Value, to); err != nil {
				return nil, fmt.Errorf("terraform output %s: %w", name, err)
			}
		}
	}
	return o, nil
}

func (t *Terraform) progress(what string, done, total int) {
	if t.Progress != nil {
		t.Progress(what, done, total)
	}
}

// event is one line of terraform's -json output.
// https://developer.hashicorp.com/terraform/internals/machine-readable-ui
type event struct {
	Type    string `json:"type"`
	Message string `json:"@message"`
	Change  struct {
		Resource resource `json:"resource"`
		Action   string   `json:"action"`
	} `json:"change"`
	Hook struct {
		Resource resource `json:"resource"`
	} `json:"hook"`
	Diagnostic diagnostic `json:"diagnostic"`
}

type resource struct {
	Addr string `json:"addr"`
}

type diagnostic struct {
	Severity string `json:"severity"`
	Summary  string `json:"summary"`
	Detail   string `json:"detail"`
	Address  string `json:"address"`
}

// stream runs terraform and gives see each event.
func (t *Terraform) stream(ctx context.Context, args []string, see func(event)) error {
	cmd := t.command(ctx, args...)
	var complaint, other bytes.Buffer
	cmd.Stderr = &complaint
	out, err := cmd.StdoutPipe()
	if err != nil {
		return err
	}
	if err := cmd.Start(); err != nil {
		return fmt.Errorf("start %s: %w", t.Path, err)
	}
	var diagnostics []diagnostic
	lines := bufio.NewReader(out)
	for {
		line, err := lines.ReadBytes('\n')
		var e event
		switch {
		case len(bytes.TrimSpace(line)) == 0:
		case json.Unmarshal(line, &e) != nil:
			other.Write(line) // not every failure is told in JSON
		case e.Type == "diagnostic":
			diagnostics = append(diagnostics, e.Diagnostic)
		default:
			see(e)
		}
		if err != nil {
			_, _ = io.Copy(io.Discard, lines)
			break
		}
	}
	if err := cmd.Wait(); err != nil {
		if text := strings.TrimSpace(plainText(other.String() + complaint.String())); text != "" {
			diagnostics = append(diagnostics, diagnostic{Severity: "error", Summary: text})
		}
		return t.diagnose(ctx, args[0], err, diagnostics)
	}
	return nil
}
