package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/delivery"
)

// countedEngine is a queue of which only the figures are known.
type countedEngine struct {
	engine
	f figures
}

func (e *countedEngine) figures(context.Context) figures { return e.f }

// newReader makes alarms over figures, with the destinations siem and archive.
func newReader(t *testing.T, dir string, e *countedEngine) *alarms {
	t.Helper()
	c := config.Default()
	c.Data = dir
	a := newAlarms(c, Options{}, e, slog.New(slog.DiscardHandler))
	a.names = func() []string { return []string{"siem", "archive"} }
	a.use(c, nil)
	return a
}

// sampleOf gives one of a reading's, nil if there is none.
func sampleOf(r alarm.Reading, name, destination string) *alarm.Sample {
	for i := range r.Samples {
		if s := &r.Samples[i]; s.Name == name && s.Destination == destination {
			return s
		}
	}
	return nil
}

func TestBackendFailed(t *testing.T) {
	for _, c := range []struct {
		origin         tapway.Origin
		status         int
		counts, failed bool
	}{
		{tapway.OriginBackend, 200, true, false}, {tapway.OriginBackend, 499, true, false}, {tapway.OriginBackend, 500, true, true}, {tapway.OriginBackend, 599, true, true},
		{tapway.OriginBackend, 0, false, false},                                          // the client left
		{tapway.OriginGateway, 502, true, true}, {tapway.OriginGateway, 504, true, true}, // in the backend's place
		{tapway.OriginGateway, 503, false, false}, {tapway.OriginGateway, 401, false, false}, {tapway.OriginGateway, 500, false, false}, // refused by a rule
		{tapway.OriginCache, 200, false, false},
	} {
		counts, failed := backendFailed(&tapway.Exchange{Meta: tapway.Meta{Origin: c.origin, Status: c.status}})
		if counts != c.counts || failed != c.failed {
			t.Errorf("%s %d: %v, %v", c.origin, c.status, counts, failed)
		}
	}
}

// TestReadDisk: what is measured of a queue on disk.
func TestReadDisk(t *testing.T) {
	now := time.Now()
	e := &countedEngine{f: figures{
		ledger: &tapway.Ledger{Dropped: map[string]uint64{"sampled": 7}},
		store: &tapway.Stats{Destinations: []tapway.DestinationStats{
			{Destination: "siem", Dead: 2, Queued: 1, OldestQueued: now.Add(-7 * time.Minute)}, {Destination: "gone", Dead: 1, OldestQueued: now.Add(-time.Hour)}}},
	}}
	a := newReader(t, t.TempDir(), e)
	r := a.read(t.Context(), now)
	if len(r.Unknown) != 0 {
		t.Errorf("unknown: %v", r.Unknown)
	}
	if s := sampleOf(r, alarm.DeadLetters, "siem"); s == nil || s.Value != 2 {
		t.Errorf("dead letters %+v", s)
	}
	if s := sampleOf(r, alarm.DeadLetters, "gone"); s == nil || s.Value != 1 {
		t.Error("dead letters of a destination that is gone are dead letters")
	}
	if s := sampleOf(r, alarm.OldestAge, "siem"); s == nil || s.Value != 420 || s.Why != "" {
		t.Errorf("oldest %+v", s)
	}
	if s := sampleOf(r, alarm.OldestAge, "archive"); s == nil || s.Value != 0 {
		t.Errorf("nothing waits: %+v", s)
	}
	if s := sampleOf(r, alarm.OldestAge, "gone"); s != nil {
		t.Error("nobody delivers to a destination that is gone")
	}
	if s := sampleOf(r, alarm.Disk, ""); s == nil || s.Value <= 0 {
		t.Errorf("disk %+v", s)
	}
	if s := sampleOf(r, alarm.LedgerDrops, ""); s == nil || s.Value != 0 {
		t.Errorf("sampled calls are no loss: %+v", s)
	}
}

// TestReadSQS: what SQS tells is used, and what only CloudWatch knows is named.
func TestReadSQS(t *testing.T) {
	now := time.Now()
	yes, no := true, false
	e := &countedEngine{f: figures{reachable: &no, ledger: &tapway.Ledger{}, outbox: &tapway.Stats{Destinations: []tapway.DestinationStats{{Destination: "siem", OldestQueued: now.Add(-time.Minute)}}}}}
	a := newReader(t, t.TempDir(), e)
	r := a.read(t.Context(), now)
	if r.Unknown[alarm.DeadLetters] == "" {
		t.Error("SQS is away, and the dead letters are known")
	}
	s := sampleOf(r, alarm.OldestAge, "siem")
	if s == nil || s.Value != 60 || !strings.Contains(s.Why, "CloudWatch") {
		t.Errorf("oldest %+v", s)
	}
	e.f.reachable, e.f.ledger = &yes, &tapway.Ledger{Destinations: []tapway.LedgerLine{{Destination: "siem", Dead: 4}}}
	r = a.read(t.Context(), now)
	if s := sampleOf(r, alarm.DeadLetters, "siem"); s == nil || s.Value != 4 || s.Detail().LastError != "" {
		t.Errorf("dead letters %+v", s)
	}
	e.f = figures{}
	if r = a.read(t.Context(), now); r.Unknown[alarm.DeadLetters] == "" || r.Unknown[alarm.OldestAge] == "" || r.Unknown[alarm.LedgerDrops] == "" {
		t.Errorf("a queue that cannot be read: %v", r.Unknown)
	}
}

// TestReadRates: shares within the window, not before there are enough, and the last failures.
func TestReadRates(t *testing.T) {
	now := time.Now()
	a := newReader(t, t.TempDir(), &countedEngine{f: figures{store: &tapway.Stats{}, ledger: &tapway.Ledger{}}})
	a.read(t.Context(), now)
	ids := make([]string, 5)
	for i := range 19 {
		ex := &tapway.Exchange{Meta: tapway.Meta{ID: tapway.NewID(now), Origin: tapway.OriginBackend, Status: 200}}
		if i < 5 {
			ex.Status, ids[i] = 503, ex.ID.String()
		}
		a.call(ex)
	}
	now = now.Add(time.Minute)
	if s := sampleOf(a.read(t.Context(), now), alarm.ErrorRate, ""); s.Quality != alarm.Early || s.Value != 0 {
		t.Errorf("19 calls: %+v", s)
	}
	a.call(&tapway.Exchange{Meta: tapway.Meta{Origin: tapway.OriginBackend, Status: 200}})
	a.call(&tapway.Exchange{Meta: tapway.Meta{Origin: tapway.OriginGateway, Status: 403}}) // is no call to the backend
	s := sampleOf(a.read(t.Context(), now), alarm.ErrorRate, "")
	if s.Quality != alarm.Early || s.Value != .25 {
		t.Errorf("20 calls: %+v", s)
	}
	if d := s.Detail(); d.LastError != "the backend answered 503 Service Unavailable" || fmt.Sprint(d.Records) != fmt.Sprint(ids[2:]) {
		t.Errorf("%+v, want %v", d, ids[2:])
	}
	now = now.Add(5 * time.Minute)
	if s := sampleOf(a.read(t.Context(), now), alarm.ErrorRate, ""); s.Quality != alarm.Few || s.Value != 0 {
		t.Errorf("after the window: %+v", s)
	}

	id := tapway.NewID(now).String()
	for range 15 {
		a.attempt(delivery.Attempt{Destination: "siem", ID: id, Class: delivery.Accepted})
	}
	for range 5 {
		a.attempt(delivery.Attempt{Destination: "siem", ID: id, Class: delivery.Busy, Reason: "503 Service Unavailable"})
		a.attempt(delivery.Attempt{Destination: "siem", ID: "batch_1", Class: delivery.Stopped})
	}
	s = sampleOf(a.read(t.Context(), now), alarm.DeliveryErrorRate, "siem")
	if s.Value != .25 {
		t.Errorf("attempts: %+v", s)
	}
	if d := s.Detail(); d.LastError != "503 Service Unavailable" || len(d.Records) != 3 || d.Records[0] != id {
		t.Errorf("%+v", d)
	}
	if s := sampleOf(a.read(t.Context(), now), alarm.DeliveryErrorRate, "archive"); s == nil || s.Value != 0 {
		t.Errorf("another destination: %+v", s)
	}
}

// TestDropsAreRemembered: what was lost shortly before the process ended is told by the next one,
// and what was lost long ago is not told to the first.
func TestDropsAreRemembered(t *testing.T) {
	dir, now := t.TempDir(), time.Now()
	e := &countedEngine{f: figures{store: &tapway.Stats{}, ledger: &tapway.Ledger{Dropped: map[string]uint64{"disk-full": 5, "sampled": 1}}}}
	drops := func(a *alarms) float64 {
		t.Helper()
		r := a.read(t.Context(), now)
		a.watch.Evaluate(r, now)
		return sampleOf(r, alarm.LedgerDrops, "").Value
	}
	first := newReader(t, dir, e)
	if n := drops(first); n != 0 {
		t.Errorf("of old: %v", n)
	}
	save(t, first)
	e.f.ledger = &tapway.Ledger{Dropped: map[string]uint64{"disk-full": 7, "sampled": 100}, Destinations: []tapway.LedgerLine{
		{Destination: "siem", Dropped: map[string]uint64{"disk-full": 7, "damaged": 1, "filtered": 50, "purged": 9}}}}
	second := newReader(t, dir, e)
	if n := drops(second); n != 3 {
		t.Errorf("lost meanwhile: %v", n)
	}
	for _, s := range second.watch.List(now).Alarms {
		if s.Name == alarm.LedgerDrops && (s.State != alarm.Firing || s.LastError == "") {
			t.Errorf("%+v", s)
		}
	}
	now = now.Add(6 * time.Minute)
	if n := drops(second); n != 0 {
		t.Errorf("after the window: %v", n)
	}
}

// save ends a watch as a process does.
func save(t *testing.T, a *alarms) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := a.watch.Run(ctx); err != nil {
		t.Fatal(err)
	}
}

// TestAlarmReload: a reload puts rules and those who are told into force, and one with a mistake changes nothing.
func TestAlarmReload(t *testing.T) {
	hook := newPosts(t)
	backend := httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { w.WriteHeader(500) }))
	base := fmt.Sprintf("data: %s\nbackend: %s\nlisten: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0}\n", filepath.Join(t.TempDir(), "data"), backend)
	w := runAlarmed(t, base[:strings.Index(base, "listen:")])
	for range 30 {
		w.call("/")
	}
	eventually(t, "trouble", func() bool { return w.find(alarm.ErrorRate, "").State == alarm.Pending })
	reload := func(alarms string) error {
		if err := os.WriteFile(w.options.Source.File, []byte(base+alarms), 0o600); err != nil {
			t.Fatal(err)
		}
		_, err := admin.JSON[admin.Reloaded](w.client.Post(context.Background(), "/reload", nil))
		return err
	}
	if err := reload(fmt.Sprintf("alarms: {disk: {off: true}, error_rate: {for: 0s, severity: critical}, notify: [{name: hook, webhook: \"%s/0123456789abcdef\", signing_secret: s}]}\n", hook.URL)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "a post", func() bool { return len(hook.events()) == 1 })
	s := w.find(alarm.ErrorRate, "")
	if s.Severity != alarm.Critical || s.LastError != "the backend answered 500 Internal Server Error" || len(s.Records) != 3 || w.find(alarm.Disk, "").Name != "" {
		t.Errorf("%+v", s)
	}
	var status *admin.StatusError
	if err := reload("alarms: {notify: [{name: hook, webhook: hunter2}]}\n"); !errors.As(err, &status) || status.Status != 422 || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("a mistake: %v", err)
	}
	if len(w.list().Notify) != 1 {
		t.Error("the mistake is in force")
	}
	if err := reload("alarms: {error_rate: {off: true}}\n"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "its end", func() bool { return w.find(alarm.ErrorRate, "").Name == "" })
	if len(w.list().Notify) != 0 {
		t.Error("somebody is told who is not configured")
	}
}

// TestAlarmEgress: messages go where the egress policy lets them, and the URL stays a secret.
func TestAlarmEgress(t *testing.T) {
	var asked atomic.Int32
	hook := httpBackend(t, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body); asked.Add(1) }))
	url := strings.Replace(hook, "127.0.0.1", "localhost", 1) + "/0123456789abcdef"
	w := runAlarmed(t, fmt.Sprintf("data: %s\nbackend: http://192.0.2.1\negress: {deny: [\"127.0.0.0/8\", \"::1\"]}\nalarms: {disk: {off: true}, notify: [{name: hook, webhook: %q}]}\n",
		filepath.Join(t.TempDir(), "data"), url))
	tested, err := admin.JSON[[]alarm.Tested](w.client.Post(context.Background(), "/api/v1/alarms/test", admin.AlarmTest{}))
	if err != nil || len(tested) != 1 || !strings.Contains(tested[0].Error, "127.0.0.0/8") || strings.Contains(tested[0].Error, "0123456789abcdef") || asked.Load() != 0 {
		t.Errorf("%+v, %v", tested, err)
	}
	if strings.Contains(w.log.String(), "0123456789abcdef") {
		t.Error("the URL is in the log")
	}
}
