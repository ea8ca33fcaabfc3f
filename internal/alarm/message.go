package alarm

import (
	"fmt"
	"net/url"
	"strings"
	"time"
	"unicode"
)

// Kind is what a message says.
type Kind string

const (
	Fires        Kind = "firing"
	Repeats      Kind = "repeat"       // it still fires
	GotWorse     Kind = "worse"        // it still fires, twice as bad as when somebody acknowledged it
	Acknowledged Kind = "acknowledged" // only for targets that want it
	Resolved     Kind = "resolved"
	Test         Kind = "test"
)

// Message is what a target is told.
type Message struct {
	ID       string // the same at every attempt to send it
	Incident string // the same for all messages of one firing, its end included
	Kind     Kind
	At       time.Time
	Alarm    Status
	Host     string // of the machine
	Version  string // of tapway
	Link     string // to the console; "": there is none
}

// Subject is the message in a line of at most 200 characters.
func (m *Message) Subject() string {
	a := &m.Alarm
	if m.Kind == Test {
		return clip("[tapway] TEST of alarm messages from "+clean(m.Host), 200)
	}
	what := strings.ToUpper(string(a.Severity))
	switch m.Kind {
	case Repeats:
		what = "STILL " + what
	case GotWorse:
		what = "WORSE, " + what
	case Acknowledged:
		what = "ACKNOWLEDGED"
	case Resolved:
		what = "RESOLVED"
	}
	return clip(fmt.Sprintf("[tapway] %s %s: %s", what, title(a), clean(a.Message)), 200)
}

// title names the alarm: "dead_letters of siem".
func title(a *Status) string { return a.Name + of(a.Destination) }

// fact is a line of a message: what it is, and its value.
type fact struct{ name, value string }

// facts are what the message tells besides its subject.
func (m *Message) facts() []fact {
	if m.Kind == Test {
		return []fact{{"from", m.Host}, {"at", stamp(m.At)}}
	}
	a := &m.Alarm
	out := []fact{{"alarm", a.Name}}
	add := func(name, value string) {
		if value != "" {
			out = append(out, fact{name, clean(value)})
		}
	}
	add("destination", a.Destination)
	add("severity", string(a.Severity))
	if m.Kind == Resolved {
		add("over since", stamp(a.Since))
	} else {
		add("since", fmt.Sprintf("%s (%s)", stamp(a.Since), span(m.At.Sub(a.Since))))
	}
	add("value", Text(a.Unit, a.Value))
	add("threshold", Text(a.Unit, a.Threshold))
	add("last error", clip(a.LastError, 500))
	add("records", strings.Join(a.Records, ", "))
	if a.Acknowledged != nil {
		add("acknowledged", strings.TrimSpace(stamp(a.Acknowledged.At)+" "+clip(a.Acknowledged.Note, 200)))
	}
	if m.Kind != Resolved {
		add("see more with", a.Command)
	}
	add("machine", m.Host)
	return out
}

// lead is the message's first sentence.
func (m *Message) lead() string {
	a := &m.Alarm
	switch m.Kind {
	case Test:
		return "This is a test, asked for with `tapway alarm test`. Nothing is wrong: an alarm would arrive like this."
	case Resolved:
		return "It is over: " + clean(a.Message) + "."
	}
	text := clean(a.Message)
	if text != "" {
		text = strings.ToUpper(text[:1]) + text[1:]
	}
	return text + "."
}

// Plain is the whole message as plain text.
func (m *Message) Plain() string {
	var b strings.Builder
	b.WriteString(m.lead())
	b.WriteString("\n\n")
	wide := 0
	for _, f := range m.facts() {
		wide = max(wide, len(f.name))
	}
	for _, f := range m.facts() {
		fmt.Fprintf(&b, "%-*s  %s\n", wide+1, f.name+":", f.value)
	}
	if m.Link != "" {
		fmt.Fprintf(&b, "%-*s  %s\n", wide+1, "console:", m.Link)
	}
	if m.Kind == Fires || m.Kind == Repeats || m.Kind == GotWorse {
		fmt.Fprintf(&b, "\nNo repeats:  tapway alarm ack %s%s\nNo messages: tapway alarm silence --for 2h --name %[1]s%[2]s\n", m.Alarm.Name, flagOf(m.Alarm.Destination))
	}
	return b.String()
}

func flagOf(destination string) string {
	if destination == "" {
		return ""
	}
	return " --destination " + destination
}

// link is where the console shows an alarm.
func link(console string) string {
	if console == "" {
		return ""
	}
	u, err := url.Parse(console)
	if err != nil {
		return ""
	}
	if u.Path == "" {
		u.Path = "/"
	}
	u.Fragment = "/alarms"
	return u.String()
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05 MST") }

// clean makes one line of a text that came from elsewhere, without what a terminal or a header
// would take for a command.
func clean(s string) string {
	return strings.Map(func(r rune) rune {
		if !unicode.IsPrint(r) {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\ufffd"))
}

// clip cuts a text to n characters, of which the last is then "…".
func clip(s string, n int) string {
	runes := []rune(s)
	if len(runes) <= n {
		return s
	}
	return string(runes[:n-1]) + "…"
}
