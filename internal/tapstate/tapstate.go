// Package tapstate asks AWS how a deployed tap is: its queues and dead letters, its alarms, its
// functions, and what the ledger's metrics add up to.
//
// What a newcomer gets wrong: nothing here fails as a whole. A part that cannot be read is told
// as such, with the permission that is missing, and everything else is still read. No datum is
// not a zero: CloudWatch is minutes behind, and knows nothing of what never happened.
package tapstate

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/service/cloudwatch"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/sqs"
)

// Tap says where to look. What is "" or empty is looked up if it can be, and left out if not.
type Tap struct {
	Project     string   // beginning of the name of everything in it
	Proxy       string   // name of the proxy function; "": Project-proxy
	Forwarder   string   // name of the forwarder function; "": Project-forwarder
	Queues      []string // names, URLs or ARNs; none: those that the forwarder is fed from
	DeadLetters []string // of the queues, in their order; none: where the queues' redrive policies lead
}

// complete fills in what follows from the project's name, and the other way round.
func (t Tap) complete() Tap {
	if name, ok := strings.CutSuffix(t.Proxy, "-proxy"); ok && t.Project == "" {
		t.Project = name
	}
	if t.Project != "" && t.Proxy == "" {
		t.Proxy = t.Project + "-proxy"
	}
	if t.Project != "" && t.Forwarder == "" {
		t.Forwarder = t.Project + "-forwarder"
	}
	return t
}

// ProxyName is the name of the proxy function; "" where nothing says it.
func (t Tap) ProxyName() string { return t.complete().Proxy }

// ForwarderName is the name of the forwarder function; "" where nothing says it.
func (t Tap) ForwarderName() string { return t.complete().Forwarder }

// Reader asks AWS. The clients are needed; they only read.
type Reader struct {
	SQS        *sqs.Client
	CloudWatch *cloudwatch.Client
	Lambda     *lambda.Client
	Window     time.Duration    // that sums are of, a minute to 14 days; 0: an hour
	Now        func() time.Time // nil: time.Now
	Progress   func(what string, done, total int)
}

// MaxWindow is the longest Window: CloudWatch keeps values of a minute for 15 days.
const MaxWindow = 14 * 24 * time.Hour

// State is how a tap is. Counts that are nil are not known.
type State struct {
	Project   string     `json:"project,omitempty"`
	Queues    []Queue    `json:"queues"`
	Alarms    []Alarm    `json:"alarms"`
	Window    float64    `json:"window_s"` // what functions and ledger are of
	Functions []Function `json:"functions"`
	Ledger    Ledger     `json:"ledger"`
	Unread    []Unread   `json:"unread,omitempty"`   // parts that could not be read
	Problems  []string   `json:"problems,omitempty"` // alarms, dead letters, a queue that nobody empties
	Good      bool       `json:"good"`               // everything was read, and there is no problem
}

// Unread is a part that could not be read, and why.
type Unread struct {
	Part  string `json:"part"`
	Error string `json:"error"`
}

// Read asks for everything. It fails only when ctx ends.
func (r *Reader) Read(ctx context.Context, t Tap) (*State, error) {
	t = t.complete()
	s := &State{Project: t.Project, Queues: []Queue{}, Alarms: []Alarm{}, Functions: []Function{}, Window: r.window().Seconds()}
	r.step("the tap's queues", 0, 3)
	r.queues(ctx, t, s)
	r.step("the tap's alarms", 1, 3)
	r.alarms(ctx, t, s)
	r.step("the tap's metrics", 2, 3)
	r.metrics(ctx, t, s)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read the tap: %w", err)
	}
	s.Good = len(s.Unread) == 0 && len(s.Problems) == 0
	return s, nil
}

// ReadQueues asks for the queues alone: where they are, what is in them, and what feeds the
// forwarder. It fails only when ctx ends.
func (r *Reader) ReadQueues(ctx context.Context, t Tap) (*State, error) {
	t = t.complete()
	s := &State{Project: t.Project, Queues: []Queue{}, Window: r.window().Seconds()}
	r.queues(ctx, t, s)
	if err := ctx.Err(); err != nil {
		return nil, fmt.Errorf("read the tap's queues: %w", err)
	}
	return s, nil
}

func (r *Reader) step(what string, done, total int) {
	if r.Progress != nil {
		r.Progress(what, done, total)
	}
}

func (r *Reader) window() time.Duration {
	if r.Window <= 0 {
		return time.Hour
	}
	return min(max(r.Window, time.Minute), MaxWindow)
}

func (r *Reader) now() time.Time {
	if r.Now == nil {
		return time.Now()
	}
	return r.Now()
}

// unread notes what could not be read. What is missing for the same reason is told once.
func (s *State) unread(part string, err error) {
	u := Unread{part, err.Error()}
	if !slices.Contains(s.Unread, u) {
		s.Unread = append(s.Unread, u)
	}
}

func (s *State) problem(format string, args ...any) {
	s.Problems = append(s.Problems, fmt.Sprintf(format, args...))
}

// callTime is how long one call may take, its second try included.
const callTime = 15 * time.Second
