package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"
)

// TagRestored is the tag of an API that a restore made; it says of which API's backup.
const TagRestored = "tapway:restored"

// RestoreOptions say how far a restore goes. The zero value removes nothing.
type RestoreOptions struct {
	Prune bool // remove what is not in the backup
	Force bool // restore an API that tapway is attached to
	// Pause is how long to wait for an automatic deployment before the proof looks again; it
	// doubles, seven times at most. 0: 500 ms.
	Pause time.Duration
}

// RestorePlan is the difference between an API and its backup, and what a restore does about it.
type RestorePlan struct {
	API   string        `json:"api"` // "" while it is to be made
	Kind  Kind          `json:"kind"`
	Steps []RestoreStep `json:"steps"`
	Extra []string      `json:"extra,omitempty"` // what the backup does not have, and stays
	Left  []string      `json:"left,omitempty"`  // what differs and cannot be put back, and why
	Live  []string      `json:"live,omitempty"`  // stages that deploy each step by themselves

	r *restorer
}

// RestoreStep is one thing that is to be put back.
type RestoreStep struct {
	Action      string       `json:"action"` // "make", "change", "remove"
	What        string       `json:"what"`   // "method GET /users"
	Differences []Difference `json:"differences,omitempty"`
	run         func(context.Context) error
}

// restorer compares and puts back. Nothing is remembered between two runs: a restore that was
// interrupted is finished by the next, which finds less to do.
type restorer struct {
	c       *Clients
	o       RestoreOptions
	was, is *Backup
	plan    *RestorePlan

	// ids are what things of the backup are called now; toBeMade until they are.
	ids      map[string]string
	remade   bool   // an authorizer has another id, so old deployments do not work any more
	deployed string // the deployment that this run made
}

const toBeMade = "(made again)"

// PlanRestore compares an API with its backup. id is the API to restore, as a rule the
// backup's own; another one must be one that CreateFrom made. "" plans a new API.
func (c *Clients) PlanRestore(ctx context.Context, b *Backup, id string, o RestoreOptions, progress Progress) (*RestorePlan, error) {
	p := &RestorePlan{API: id, Kind: b.API.Kind, Steps: []RestoreStep{}}
	r := &restorer{c: c, o: o, plan: p, ids: map[string]string{}}
	p.r = r
	var err error
	if r.was, err = b.as(id); err != nil {
		return nil, err
	}
	if id == "" {
		r.is = b.empty()
	} else if r.is, err = c.readWhole(ctx, id, progress); err != nil {
		if errors.Is(err, ErrNoAPI) {
			err = fmt.Errorf("%w; --new makes a new API of the backup", err)
		}
		return nil, err
	}
	if err := r.mayRestore(b, id); err != nil {
		return nil, err
	}
	if b.API.Tags[TagState] != "" {
		p.Left = append(p.Left, "the backup was taken while tapway was attached: what it puts back leads to tapway")
	}
	if b.Parts == nil {
		p.Left = append(p.Left, "models, validators, authorizers, gateway responses and security groups: the backup is of an older version of tapway and does not have them")
	}
	if b.API.Kind == REST {
		err = r.planREST(ctx)
	} else {
		err = r.planHTTP(ctx)
	}
	if err != nil {
		return nil, err
	}
	r.planOutside(b, id)
	return p, r.planGroups(ctx)
}

// mayRestore refuses the wrong API, and one that is attached.
func (r *restorer) mayRestore(b *Backup, id string) error {
	is := r.is.API
	switch {
	case is.Kind != b.API.Kind:
		return fmt.Errorf("API %s is a %s API, and the backup is of a %s API", id, is.Kind, b.API.Kind)
	case id != "" && id != b.API.ID && is.Tags[TagRestored] != b.API.ID:
		return fmt.Errorf("the backup is of API %s, not of %s", b.API.ID, id)
	case is.Tags[TagState] != "" && !r.o.Force:
		return fmt.Errorf("API %s is attached (its state is in %s): detach it first, or --force puts back what the backup has, and tapway is out of the way", id, is.Tags[TagState])
	}
	return nil
}

// as is the backup with another API's id where its own was: in policies and URLs.
func (b *Backup) as(id string) (*Backup, error) {
	if id == "" || id == b.API.ID {
		return b, nil
	}
	text := strings.ReplaceAll(string(compact(b)), b.API.ID, id)
	var out Backup
	if err := json.Unmarshal([]byte(text), &out); err != nil {
		return nil, fmt.Errorf("read the backup: %w", err)
	}
	return &out, nil
}

// empty is what a new API is compared with.
func (b *Backup) empty() *Backup {
	a := &API{Kind: b.API.Kind, Region: b.API.Region, Raw: b.API.Raw, Tags: b.API.Tags}
	if a.Kind == REST {
		a.Resources = []json.RawMessage{json.RawMessage(`{"id":"(root)","path":"/"}`)}
	}
	return &Backup{API: a, Parts: map[string][]json.RawMessage{}}
}

// CreateFrom makes a new, empty API of a backup and gives its id, for API ids cannot be
// chosen. PlanRestore and Restore fill it.
func (c *Clients) CreateFrom(ctx context.Context, b *Backup) (string, error) {
	raw, err := object(b.API.Raw)
	if err != nil {
		return "", fmt.Errorf("read the backup: %w", err)
	}
	names := []string{"name", "description", "version", "binaryMediaTypes", "minimumCompressionSize", "apiKeySource", "endpointConfiguration", "disableExecuteApiEndpoint"}
	path := []string{"restapis"}
	if b.API.Kind == HTTP {
		names = []string{"name", "protocolType", "description", "version", "corsConfiguration", "apiKeySelectionExpression", "routeSelectionExpression", "disableExecuteApiEndpoint", "disableSchemaValidation", "ipAddressType"}
		path = []string{"v2", "apis"}
	}
	in := map[string]any{}
	for _, name := range names {
		if v := prune(raw[name]); v != nil {
			in[name] = v
		}
	}
	tags := ownTags(b.API.Tags)
	tags[TagRestored] = b.API.ID
	in["tags"] = tags
	text, err := c.ask(ctx, http.MethodPost, path, nil, in)
	if err != nil {
		return "", failed("make the API", err)
	}
	var made struct{ ID, APIID string }
	if err := json.Unmarshal(text, &made); err != nil || made.ID+made.APIID == "" {
		return "", fmt.Errorf("make the API: AWS answered without its id (%v)", err)
	}
	return made.ID + made.APIID, nil
}

// Restore carries the plan out. Where it fails, plan and restore again: what is done is done.
func (c *Clients) Restore(ctx context.Context, p *RestorePlan, progress Progress) error {
	for i := range p.Steps {
		s := &p.Steps[i]
		progress.say("restore", i, len(p.Steps))
		if err := s.run(ctx); err != nil {
			return failed(s.Action+" "+s.What, err)
		}
	}
	return nil
}

// step appends a step.
func (r *restorer) step(action, what string, d []Difference, run func(context.Context) error) {
	r.plan.Steps = append(r.plan.Steps, RestoreStep{action, what, d, run})
}

// extra is a thing that the backup does not have.
func (r *restorer) extra(what string, run func(context.Context) error) {
	if r.o.Prune {
		r.step("remove", what, nil, run)
		return
	}
	r.plan.Extra = append(r.plan.Extra, what)
}

func (r *restorer) left(format string, args ...any) {
	r.plan.Left = append(r.plan.Left, fmt.Sprintf(format, args...))
}

// ask makes a call below the API.
func (r *restorer) ask(ctx context.Context, verb string, body any, segments ...string) (json.RawMessage, error) {
	return r.c.ask(ctx, verb, r.is.API.home(segments...), nil, body)
}

// remove deletes something below the API; it is well when it is gone already.
func (r *restorer) remove(segments ...string) func(context.Context) error {
	return func(ctx context.Context) error {
		_, err := r.ask(ctx, http.MethodDelete, nil, segments...)
		if notFound(err) {
			return nil
		}
		return err
	}
}

// now is a value of the backup with the ids that things have now.
func (r *restorer) now(v any) any {
	switch v := v.(type) {
	case map[string]any:
		out := make(map[string]any, len(v))
		for k, e := range v {
			out[k] = r.now(e)
		}
		return out
	case []any:
		out := make([]any, len(v))
		for i, e := range v {
			out[i] = r.now(e)
		}
		return out
	case string:
		id, isTarget := strings.CutPrefix(v, "integrations/")
		if new, ok := r.ids[id]; ok && isTarget {
			return "integrations/" + new
		} else if ok {
			return new
		}
	}
	return v
}

// without is an object without some members, pruned.
func without(o map[string]any, names ...string) map[string]any {
	out := map[string]any{}
	for k, v := range o {
		out[k] = v
	}
	for _, name := range names {
		delete(out, name)
	}
	out, _ = prune(out).(map[string]any)
	if out == nil {
		out = map[string]any{}
	}
	return out
}

// sendable is a pruned value as it may be sent: null in a map of texts is the empty text.
func sendable(v any) any {
	m, ok := v.(map[string]any)
	if !ok {
		return v
	}
	out := make(map[string]any, len(m))
	for k, e := range m {
		if inner, ok := e.(map[string]any); ok && verbatim[k] {
			texts := make(map[string]any, len(inner))
			for name, text := range inner {
				if texts[name] = text; text == nil {
					texts[name] = ""
				}
			}
			out[k] = texts
			continue
		}
		out[k] = sendable(e)
	}
	return out
}

func text(o map[string]any, name string) string {
	s, _ := o[name].(string)
	return s
}
