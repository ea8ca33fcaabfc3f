package alarm

import "time"

// Names of the alarms, as in the configuration.
const (
	DeadLetters       = "dead_letters"        // records that a destination would not take
	OldestAge         = "oldest_age"          // how long the oldest record waits for a destination
	ErrorRate         = "error_rate"          // share of the backend's calls that failed
	DeliveryErrorRate = "delivery_error_rate" // share of the attempts at a destination that failed
	Disk              = "disk"                // free space of the data directory
	LedgerDrops       = "ledger_drops"        // calls without a record, for want of room or by a defect
)

// Names lists the alarms in the order in which they are shown.
var Names = []string{DeadLetters, OldestAge, ErrorRate, DeliveryErrorRate, Disk, LedgerDrops}

// Severity is how bad it is when an alarm fires.
type Severity string

const (
	Warning  Severity = "warning"
	Critical Severity = "critical"
)

func (s Severity) rank() int {
	if s == Critical {
		return 1
	}
	return 0
}

// Unit is what a value counts.
type Unit string

const (
	Records Unit = "records"
	Seconds Unit = "seconds"
	Ratio   Unit = "ratio" // 0 to 1
	Bytes   Unit = "bytes"
)

var units = map[string]Unit{
	DeadLetters: Records, OldestAge: Seconds, ErrorRate: Ratio, DeliveryErrorRate: Ratio, Disk: Bytes, LedgerDrops: Records,
}

// Rule is when an alarm fires.
type Rule struct {
	Threshold float64       // a value above it is trouble; for Disk one below it
	For       time.Duration // how long the trouble must last; 0: fires at once
	Window    time.Duration // over which the value was taken, for its description; 0: it is of the moment
	Severity  Severity
}

// breach reports whether a value is trouble.
func (r Rule) breach(name string, value float64) bool {
	if name == Disk {
		return value < r.Threshold
	}
	return value > r.Threshold
}

// clear reports whether a value is so far from trouble, a tenth of the threshold, that a firing
// alarm ends at once.
func (r Rule) clear(name string, value float64) bool {
	if name == Disk {
		return value >= r.Threshold*1.1
	}
	return value <= r.Threshold*0.9
}

// Quality is how much a value says.
type Quality uint8

const (
	Known   Quality = iota
	Few             // too little happened to tell: no trouble, but no proof that it is over either
	Early           // its window is not over since the process began: only trouble counts
	Unknown         // it cannot be had: everything stays as it is
)

// Sample is one measured value.
type Sample struct {
	Name, Destination string // Destination "": it is of no destination
	Value             float64
	Quality           Quality
	Why               string // of Few, Unknown, and what else is to be said of the value; "" nothing

	// Detail looks up what a message tells besides the value; it may cost some disk reads. nil:
	// there is nothing.
	Detail func() Detail
}

// Detail helps whoever gets a message. It holds no value of a record.
type Detail struct {
	LastError string   `json:"last_error"`
	Records   []string `json:"records"` // ids, at most three
}

// Reading is everything that was measured at one time. An alarm that is in neither part is not
// watched any more, and ends if it fires.
type Reading struct {
	Samples []Sample
	Unknown map[string]string // by name: why nothing can be said of the alarm at any destination
}
