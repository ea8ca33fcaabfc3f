package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/diskqueue"
)

func openQueue(c *config.Config, log *slog.Logger) (*diskqueue.Queue, error) {
	o := diskqueue.Options{
		MaxBytes: int64(orNone(c.Storage.Limit)), Log: log,
		History: diskqueue.History{MaxAge: time.Duration(orNone(c.Storage.HistoryAge)), MaxBytes: int64(orNone(c.Storage.History))},
	}
	o.Lease = lease(c.Destinations)
	if c.Capture.Durability == "write" {
		o.Durability = diskqueue.Write
	}
	q, err := diskqueue.Open(c.Data, o)
	if errors.Is(err, diskqueue.ErrLocked) {
		return nil, busy(c.Data, err)
	}
	return q, err
}

// lease is longer than any batch of a destination can take: the request, its halves, and
// what waits for its turn.
func lease(list []config.Destination) time.Duration {
	longest := 2 * time.Minute
	for _, d := range list {
		longest = max(longest, 3*d.Timeout.D()+10*time.Second)
	}
	return longest
}

// BusyError says that a process has the data directory open.
type BusyError struct {
	Dir   string
	Admin string // address of its admin API; "" when unknown or off
	err   error
}

func (e *BusyError) Error() string {
	if e.Admin == "" {
		return fmt.Sprintf("another process has %s open", e.Dir)
	}
	return fmt.Sprintf("another process has %s open (its admin API is at %s)", e.Dir, e.Admin)
}

func (e *BusyError) Unwrap() error { return e.err }

// address is what a running process writes beside its data, so that the command line
// finds its admin API.
type address struct {
	PID   int    `json:"pid"`
	Admin string `json:"admin"`
}

func addressFile(dir string) string { return filepath.Join(dir, "process.json") }

func busy(dir string, err error) *BusyError {
	e := &BusyError{Dir: dir, err: err}
	var at address
	if text, err := os.ReadFile(addressFile(dir)); err == nil && json.Unmarshal(text, &at) == nil {
		e.Admin = at.Admin
	}
	return e
}

func (a *App) writeAddress(dir string) {
	text, err := json.Marshal(address{os.Getpid(), a.AdminAddr()})
	if err == nil {
		err = os.WriteFile(addressFile(dir), append(text, '\n'), 0o600)
	}
	if err != nil {
		a.log.Warn("the command line will need --admin", "err", err)
	}
}

func (a *App) removeAddress() { os.Remove(addressFile(a.config.Data)) }

// Offline opens a data directory that no process uses and gives the admin API over it.
// The error is a *BusyError when a process does.
func Offline(dir, version string) (*admin.Server, func(), error) {
	q, err := diskqueue.Open(dir, diskqueue.Options{
		MaxBytes: -1, History: diskqueue.History{MaxAge: math.MaxInt64, MaxBytes: math.MaxInt64}, // a look removes nothing
		Log: slog.New(slog.DiscardHandler),
	})
	if errors.Is(err, diskqueue.ErrLocked) {
		return nil, nil, busy(dir, err)
	}
	if err != nil {
		return nil, nil, err
	}
	s := &admin.Server{Store: q, Version: version, Log: slog.New(slog.DiscardHandler), Deliver: deliverer(version), Resend: resender}
	return s, func() { q.Close() }, nil
}

// orNone turns the configuration's 0, none, into the queue's.
func orNone[T config.Size | config.Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}
