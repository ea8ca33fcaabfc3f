package admin

import (
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/alarm"
)

const noAlarms = "no process watches alarms here: they are `tapway serve`'s"

// alarms lists every alarm, what became of them, and who is told. Where nobody watches all of
// it is empty.
func (s *Server) alarms(w http.ResponseWriter, r *http.Request) {
	if s.Alarms == nil {
		writeJSON(w, http.StatusOK, alarm.Listing{Alarms: []alarm.Status{}, History: []alarm.Event{}, Notify: []alarm.NotifyState{}, Silences: []alarm.Silence{}})
		return
	}
	writeJSON(w, http.StatusOK, s.Alarms.List(time.Now()))
}

// AlarmAck is the body of POST /api/v1/alarms/ack.
type AlarmAck struct {
	Name        string `json:"name"`
	Destination string `json:"destination"` // "": the alarm is of none
	Note        string `json:"note"`
}

// AlarmSilence is the body of POST /api/v1/alarms/silence.
type AlarmSilence struct {
	Name        string `json:"name"`        // "": all
	Destination string `json:"destination"` // "": all
	For         string `json:"for"`         // "2h", "7d"
	Note        string `json:"note"`
}

// AlarmTest is the body of POST /api/v1/alarms/test.
type AlarmTest struct {
	Notify string `json:"notify"` // "": all
}

// watched answers what only a watching process can.
func (s *Server) watched(do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Alarms == nil {
			why := noAlarms
			if s.Elsewhere != nil {
				why = "the alarms of a tap on AWS are CloudWatch's: they are not acknowledged or silenced, only switched off (`aws cloudwatch disable-alarm-actions`)"
			}
			writeError(w, http.StatusNotImplemented, why)
			return
		}
		do(w, r)
	}
}

func (s *Server) alarmAck(w http.ResponseWriter, r *http.Request) {
	var in AlarmAck
	if err := readInput(w, r, &in); err != nil {
		fail(w, err)
		return
	}
	status, err := s.Alarms.Ack(in.Name, in.Destination, in.Note, time.Now())
	answerAlarm(w, status, err)
}

func (s *Server) alarmSilence(w http.ResponseWriter, r *http.Request) {
	var in AlarmSilence
	err := readInput(w, r, &in)
	var long time.Duration
	if err == nil {
		long, err = parseFor(in.For)
	}
	if err != nil {
		fail(w, err)
		return
	}
	silence, err := s.Alarms.Silence(alarm.Silence{Name: in.Name, Destination: in.Destination, Note: in.Note}, long, time.Now())
	answerAlarm(w, silence, err)
}

// parseFor reads how long a silence lasts: Go's durations, and days.
func parseFor(s string) (time.Duration, error) {
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return time.Duration(n) * 24 * time.Hour, nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, &badInput{fmt.Sprintf("for: %q is not a duration; write 30m, 2h or 7d", s)}
	}
	return d, nil
}

func (s *Server) alarmUnsilence(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("id")
	answerAlarm(w, map[string]string{"id": id}, s.Alarms.Unsilence(id))
}

func (s *Server) alarmTest(w http.ResponseWriter, r *http.Request) {
	var in AlarmTest
	if err := readInput(w, r, &in); err != nil {
		fail(w, err)
		return
	}
	tested, err := s.Alarms.Test(r.Context(), in.Notify, time.Now())
	answerAlarm(w, tested, err)
}

func answerAlarm(w http.ResponseWriter, v any, err error) {
	var input *alarm.InputError
	if errors.As(err, &input) {
		err = &badInput{input.Error()}
	}
	if err != nil {
		fail(w, err)
		return
	}
	writeJSON(w, http.StatusOK, v)
}

// readInput reads a small JSON object.
func readInput(w http.ResponseWriter, r *http.Request, v any) error {
	return readJSON(w, r, 64<<10, v)
}
