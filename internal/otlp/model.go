package otlp

import "time"

// TraceID and SpanID are W3C's; the zero value is none.
type (
	TraceID [16]byte
	SpanID  [8]byte
)

// Kind is what a span stands for, with the numbers of the protocol.
type Kind int32

const (
	KindServer   Kind = 2 // a call that is answered
	KindClient   Kind = 3 // a call that is made
	KindProducer Kind = 4 // a message that is sent on
)

// Span is something that took time. What is not UTF-8 in its texts is replaced when it is sent.
type Span struct {
	Trace      TraceID
	ID, Parent SpanID // Parent is zero at the root
	Name       string
	Kind       Kind
	Start, End time.Time
	Attrs      []Attr
	Links      []Link
	Flags      byte   // of W3C's traceparent: 1 is sampled
	Remote     bool   // the parent is in another process
	Failed     bool   // its status is an error
	Message    string // what the error was; "" says nothing
}

// Link points from a span to one of another trace, or one that is no ancestor.
type Link struct {
	Trace TraceID
	ID    SpanID
	Attrs []Attr
}

// Attr is an attribute. Make one with String, Int, Float or Bool.
type Attr struct {
	Key   string
	kind  attrKind
	text  string
	whole int64
	float float64
}

type attrKind uint8

const (
	isText attrKind = iota
	isInt
	isFloat
	isBool
)

// String is a text.
func String(key, v string) Attr { return Attr{Key: key, text: v} }

// Int is a whole number.
func Int(key string, v int64) Attr { return Attr{Key: key, kind: isInt, whole: v} }

// Float is a number.
func Float(key string, v float64) Attr { return Attr{Key: key, kind: isFloat, float: v} }

// Bool is true or false.
func Bool(key string, v bool) Attr {
	a := Attr{Key: key, kind: isBool}
	if v {
		a.whole = 1
	}
	return a
}

// Form is how the points of a metric are to be read.
type Form uint8

const (
	Gauge   Form = iota // a value of the moment
	Counter             // a sum that only grows, since Start
	UpDown              // a sum that also shrinks
	Buckets             // a histogram, since Start
)

// Metric is one name with its points. Sums and histograms are cumulative.
type Metric struct {
	Name, Help string
	Unit       string // UCUM: "s", "By", "{call}"
	Form       Form
	Bounds     []float64 // of a histogram: upper bounds of all buckets but the last
	Points     []Point
}

// Point is one series of a metric at one moment.
type Point struct {
	Attrs  []Attr
	Value  float64 // unless the metric is a histogram
	Count  uint64  // of a histogram, like the following
	Sum    float64
	Counts []uint64 // one more than Bounds
}
