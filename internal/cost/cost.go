// Package cost reckons what a month of tapway on AWS costs, component by component, and what
// bounds it.
//
// What a newcomer gets wrong: SQS counts a request for each 64 KB begun, so a record of 200 KB is
// four on its way in and four on its way out; a record too large for a message goes through S3,
// which costs more than it. And what an API costs without tapway (API Gateway itself, its
// backend) is not tapway's cost: it is told apart.
package cost

import (
	"errors"
	"fmt"
	"math"
)

// Load is what is to be paid for. The zero values of most fields are defaults.
type Load struct {
	RPS    float64 `json:"rps"`             // calls a second, on average over the month
	Size   int64   `json:"record_bytes"`    // of a record: request, response and about 2 KB around them
	Front  string  `json:"front"`           // rest, http or url
	Region string  `json:"region"`          // "" is the table's
	Billed float64 `json:"proxy_billed_ms"` // of a call in the proxy function, backend included; 0: 60

	Memory       int     `json:"memory_mib"`   // of each function; 0: 512
	Architecture string  `json:"architecture"` // arm64 or x86_64; "" is arm64
	Destinations int     `json:"destinations"` // 0: 1
	Batch        float64 `json:"batch"`        // records in a run of the forwarder, on average; 0: what the rate fills, 10 at most
	DeliveryMS   float64 `json:"delivery_ms"`  // an attempt to deliver; 0: 50

	MessageBytes int64   `json:"message_bytes"`  // the queue's limit; 0: 256 KiB
	LargeShare   float64 `json:"large_share"`    // of records over it, 0 to 1; of a Size over it it is 1
	LogBytes     float64 `json:"log_bytes"`      // a call writes to both logs; 0: 700
	LogDays      int     `json:"retention_days"` // of logs; 0: 30
	Egress       bool    `json:"to_internet"`    // destinations are on the internet
}

// Line is one component of the bill.
type Line struct {
	Component string  `json:"component"`
	Amount    string  `json:"amount"` // "2592.0 M requests"
	Dollars   float64 `json:"dollars"`
	Tapway    bool    `json:"tapway"` // false: it would be paid without tapway as well
}

// Estimate is a month's bill.
type Estimate struct {
	Load    Load     `json:"load"`
	Calls   float64  `json:"calls"` // a month
	Lines   []Line   `json:"lines"`
	Tapway  float64  `json:"tapway_dollars"`
	Total   float64  `json:"total_dollars"`
	PerCall float64  `json:"tapway_dollars_per_million_calls"`
	Date    string   `json:"prices_of"`
	Source  string   `json:"prices_source"`
	Notes   []string `json:"notes,omitempty"`
	Caps    []Cap    `json:"caps"`
}

// Cap is a setting that bounds the bill.
type Cap struct {
	Setting string  `json:"setting"`
	Value   string  `json:"value"`
	Dollars float64 `json:"dollars_a_month_at_most,omitempty"` // 0: it is no bound by itself
	Text    string  `json:"text"`
}

const (
	secondsOfMonth = 30 * 24 * 3600
	million        = 1e6
	gb             = 1 << 30
	sqsChunk       = 64 << 10
	httpChunk      = 512 << 10
	pointerBytes   = 2 << 10 // of a message whose record lies in S3
	logShrinks     = 0.15    // what CloudWatch's compression leaves, which is what it bills to keep
	metrics        = 20      // custom ones of both functions
)

// DefaultThrottle is what AWS lets an account call in a region and second.
const DefaultThrottle = 10000

func (l *Load) defaults() error {
	switch {
	case !(l.RPS > 0) || math.IsInf(l.RPS, 0):
		return errors.New("the rate must be above 0 calls a second")
	case l.Size <= 0:
		return errors.New("the size of a record must be above 0")
	case l.LargeShare < 0 || l.LargeShare > 1:
		return errors.New("the share of large records is 0 to 1")
	case l.Memory < 0, l.Billed < 0, l.DeliveryMS < 0, l.Destinations < 0, l.Batch < 0, l.LogBytes < 0, l.LogDays < 0, l.MessageBytes < 0:
		return errors.New("nothing may be below 0")
	}
	set(&l.Front, "rest")
	set(&l.Architecture, "arm64")
	set(&l.Memory, 512)
	set(&l.Billed, 60)
	set(&l.DeliveryMS, 50)
	set(&l.Destinations, 1)
	set(&l.MessageBytes, 256<<10)
	set(&l.LogBytes, 700)
	set(&l.LogDays, 30)
	if l.Size > l.MessageBytes {
		l.LargeShare = 1
	}
	// A poller waits for as many as are there: at 10 a second some 5 come together, beyond it
	// batches are full.
	set(&l.Batch, min(max(l.RPS/2, 1), 10))
	if l.Front != "rest" && l.Front != "http" && l.Front != "url" {
		return fmt.Errorf("front %q: rest, http or url", l.Front)
	}
	if l.Architecture != "arm64" && l.Architecture != "x86_64" {
		return fmt.Errorf("architecture %q: arm64 or x86_64", l.Architecture)
	}
	return nil
}

func set[T comparable](to *T, def T) {
	var zero T
	if *to == zero {
		*to = def
	}
}

// chunks is how many units of size begin in n bytes; at least one.
func chunks(n, size int64) float64 { return float64(max((n+size-1)/size, 1)) }

// Reckon makes the bill.
func Reckon(l Load, p Prices) (*Estimate, error) {
	if err := l.defaults(); err != nil {
		return nil, err
	}
	e := &Estimate{Load: l, Calls: l.RPS * secondsOfMonth, Date: p.Date, Source: p.Source}
	if !p.For(l.Region) {
		e.Notes = append(e.Notes, fmt.Sprintf("The table has no prices of %s: these are of %v. Other regions cost up to a third more, a few up to twice as much; give your own with --prices.", l.Region, p.Regions))
	}
	e.front(l, p)
	e.functions(l, p)
	e.records(l, p)
	e.watching(l, p)
	for _, line := range e.Lines {
		e.Total += line.Dollars
		if line.Tapway {
			e.Tapway += line.Dollars
		}
	}
	e.PerCall = e.Tapway / (e.Calls / million)
	e.caps(p)
	return e, nil
}

func (e *Estimate) add(component, amount string, dollars float64, tapway bool) {
	e.Lines = append(e.Lines, Line{component, amount, dollars, tapway})
}

func (e *Estimate) front(l Load, p Prices) {
	calls := e.Calls / million
	switch l.Front {
	case "rest":
		e.add("REST API (yours already)", fmt.Sprintf("%.1f M requests", calls), tiered(p.REST, calls), false)
	case "http":
		units := calls * chunks(l.Size, httpChunk)
		e.add("HTTP API (yours already)", fmt.Sprintf("%.1f M requests of 512 KB", units), tiered(p.HTTP, units), false)
	}
}

func (e *Estimate) functions(l Load, p Prices) {
	gbs := p.LambdaARM
	if l.Architecture == "x86_64" {
		gbs = p.LambdaX86
	}
	memory := float64(l.Memory) / 1024
	seconds := e.Calls * l.Billed / 1000 * memory
	e.add("proxy function: requests", fmt.Sprintf("%.1f M", e.Calls/million), e.Calls/million*p.LambdaRequests, true)
	e.add("proxy function: time", fmt.Sprintf("%.2f M GB-s", seconds/million), seconds*gbs, true)

	// The records of a batch are tried at once, so a run takes as long as one attempt.
	runs := e.Calls * float64(l.Destinations) / l.Batch
	seconds = runs * (l.DeliveryMS + 5) / 1000 * memory
	e.add("forwarder function: requests", fmt.Sprintf("%.1f M", runs/million), runs/million*p.LambdaRequests, true)
	e.add("forwarder function: time", fmt.Sprintf("%.2f M GB-s", seconds/million), seconds*gbs, true)
}

func (e *Estimate) records(l Load, p Prices) {
	records := e.Calls * float64(l.Destinations)
	large := e.Calls * l.LargeShare
	small := records * (1 - l.LargeShare)
	size := min(l.Size, l.MessageBytes)
	chunk := chunks(size, sqsChunk)
	pointer := records * l.LargeShare * chunks(pointerBytes, sqsChunk)
	sent := small*chunk + pointer

	// Up to ten messages are received, and deleted, in one request; what is received is counted
	// in chunks of the whole answer.
	received := records / l.Batch * chunks(int64(l.Batch*float64(size)*(1-l.LargeShare)+l.Batch*pointerBytes*l.LargeShare), sqsChunk)
	deleted := records / l.Batch
	// Five pollers at the least ask for messages without end, twenty seconds each.
	idle := 5 * float64(l.Destinations) * secondsOfMonth / 20
	requests := sent + received + deleted + idle
	e.add("SQS", fmt.Sprintf("%.1f M requests of 64 KB", requests/million), requests/million*p.SQS, true)
	if large > 0 {
		// An object lies there for the queue's 4 days and the dead letters' 14, and two more.
		kept := large * float64(max(l.Size, l.MessageBytes)) / gb * 20 / 30
		dollars := large/million*p.S3Puts + records*l.LargeShare/million*p.S3Gets + kept*p.S3Storage
		e.add("S3: large records", fmt.Sprintf("%.2f M objects, %.0f GB", large/million, kept), dollars, true)
	}
	if l.Egress {
		out := records * float64(l.Size) / gb
		e.add("transfer to destinations", fmt.Sprintf("%.0f GB", out), out*p.TransferGB, true)
	}
}

func (e *Estimate) watching(l Load, p Prices) {
	log := e.Calls * l.LogBytes / gb
	e.add("CloudWatch Logs", fmt.Sprintf("%.1f GB", log), log*p.LogIngest+log*logShrinks*float64(l.LogDays)/30*p.LogStorage, true)
	alarms := float64(7 + 2*l.Destinations)
	e.add("CloudWatch metrics, alarms", fmt.Sprintf("%d, %.0f", metrics, alarms), metrics*p.Metric+alarms*p.Alarm, true)
}

// caps says what bounds the bill: whoever can call an API can spend its owner's money.
func (e *Estimate) caps(p Prices) {
	perCall := e.Total / e.Calls
	throttle := max(math.Ceil(e.Load.RPS*3), 10)
	concurrency := max(math.Ceil(e.Load.RPS*3*e.Load.Billed/1000), 2)
	gbs := p.LambdaARM
	if e.Load.Architecture == "x86_64" {
		gbs = p.LambdaX86
	}
	e.Caps = []Cap{
		{"throttle of the API stage", fmt.Sprintf("%.0f calls a second", throttle), throttle * secondsOfMonth * perCall,
			"what a month costs if somebody calls at that rate all the time; the gate module sets it (throttle)"},
		{"the account's own limit", fmt.Sprintf("%d calls a second", DefaultThrottle), DefaultThrottle * secondsOfMonth * perCall,
			"all that bounds it without a throttle of yours: denial of wallet"},
		{"reserved concurrency of the proxy", fmt.Sprintf("%.0f", concurrency), concurrency * secondsOfMonth * float64(e.Load.Memory) / 1024 * gbs,
			"the proxy's time at most, if every one of them runs all month; further calls are answered 429 by Lambda (deploy --concurrency)"},
		{"timeout of the proxy", "13 s", 0, "what one slow call can cost at most: the backend's timeout (proxy.timeout, 11 s) and 2 s more"},
		{"budget alarm", "", 0, "AWS Budgets warns and does not stop; set one all the same. API keys and usage plans are no bound: AWS says so itself"},
	}
}
