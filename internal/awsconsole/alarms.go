package awsconsole

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/tapstate"
)

// alarmListing is the list as a gateway has it, and what of it could not be read.
type alarmListing struct {
	alarm.Listing
	Unread []tapstate.Unread `json:"unread"`
}

// eventsRead is what the alarms' history said last.
type eventsRead struct {
	at   time.Time
	list []tapstate.Change
	err  error
}

// answerAlarms tells CloudWatch's alarms in the shape of a gateway's.
func (c *Console) answerAlarms(w http.ResponseWriter, r *http.Request) {
	s, err := c.state(r.Context())
	if err != nil {
		writeError(w, http.StatusBadGateway, err.Error())
		return
	}
	out := alarmListing{Listing: alarm.Listing{
		Alarms: []alarm.Status{}, History: []alarm.Event{}, Notify: []alarm.NotifyState{}, Silences: []alarm.Silence{}, Watching: true,
	}, Unread: []tapstate.Unread{}}
	for _, u := range s.Unread {
		if u.Part == "alarms" {
			writeError(w, http.StatusBadGateway, u.Error)
			return
		}
	}
	by := map[string]alarm.Status{}
	for i := range s.Alarms {
		status := c.status(s, &s.Alarms[i])
		by[s.Alarms[i].Name] = status
		out.Alarms = append(out.Alarms, status)
	}
	changes, err := c.changes(r.Context(), s.Alarms)
	if err != nil {
		out.Unread = append(out.Unread, tapstate.Unread{Part: "history", Error: err.Error()})
	}
	for _, ch := range changes {
		a := by[ch.Name]
		out.History = append(out.History, alarm.Event{At: ch.At, Name: a.Name, Destination: a.Destination, From: stateOf(ch.From), To: stateOf(ch.To), Message: ch.Reason})
	}
	writeJSON(w, http.StatusOK, out)
}

// changes reads the history, once a minute.
func (c *Console) changes(ctx context.Context, alarms []tapstate.Alarm) ([]tapstate.Change, error) {
	if len(alarms) == 0 {
		return nil, nil
	}
	c.mu.Lock()
	last := c.events
	c.mu.Unlock()
	if !last.at.IsZero() && time.Since(last.at) < fullFresh {
		return last.list, last.err
	}
	list, err := c.o.Reader.Changes(ctx, alarms)
	if ctx.Err() != nil {
		return nil, ctx.Err()
	}
	c.mu.Lock()
	c.events = eventsRead{time.Now(), list, err}
	c.mu.Unlock()
	return list, err
}

func stateOf(state string) alarm.State {
	if state == "ALARM" {
		return alarm.Firing
	}
	return alarm.OK
}

// status is one alarm. Its name is that of the gateway's alarm for the same trouble, else what is
// left of CloudWatch's without project and severity.
func (c *Console) status(s *tapstate.State, a *tapstate.Alarm) alarm.Status {
	name, severity := strings.TrimPrefix(a.Name, s.Project+"-"), alarm.Warning
	if short, ok := strings.CutSuffix(name, "-critical"); ok {
		name, severity = short, alarm.Critical
	}
	out := alarm.Status{
		Name: strings.ReplaceAll(strings.TrimSuffix(name, "-warning"), "-", "_"), Severity: severity, State: stateOf(a.State), Since: a.Since,
		Message: a.Description, Detail: alarm.Detail{LastError: "", Records: []string{}},
		Command: "aws cloudwatch describe-alarms --alarm-names " + quoted(a.Name),
	}
	if c.o.Region != "" {
		out.Command += " --region " + quoted(c.o.Region)
	}
	for _, q := range s.Queues {
		switch {
		case a.Queue == "":
		case a.Queue == q.DeadLetterQueue:
			out.Name, out.Destination, out.Unit = "dead_letters", q.Destination, alarm.Records
			out.Command = "tapway dlq list --queue sqs://" + q.Name
		case a.Queue == q.Name && a.Metric == "ApproximateAgeOfOldestMessage":
			out.Name, out.Destination, out.Unit = "oldest_age", q.Destination, alarm.Seconds
		case a.Queue == q.Name:
			out.Destination = q.Destination
		}
	}
	if out.Message == "" {
		out.Message = a.Reason
	}
	if a.Threshold != nil {
		out.Threshold = *a.Threshold
	}
	switch {
	case a.Value != nil:
		out.Value = *a.Value
	case a.State == "INSUFFICIENT_DATA":
		out.Unknown = "CloudWatch has too little data for it so far"
	default:
		out.Unknown = "CloudWatch does not tell the value that settled its state"
	}
	return out
}

// quoted is a word for a shell.
func quoted(s string) string {
	if s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_./:") == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
