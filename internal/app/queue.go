package app

import (
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/queue/diskqueue"
)

func openQueue(c *config.Config, log *slog.Logger) (*diskqueue.Queue, error) {
	history := diskqueue.History{MaxAge: time.Duration(orNone(c.Storage.HistoryAge)), MaxBytes: int64(orNone(c.Storage.History))}
	return openDisk(c, c.Data, history, log)
}

// openDisk opens a queue in dir, which is the data directory or below it.
func openDisk(c *config.Config, dir string, history diskqueue.History, log *slog.Logger) (*diskqueue.Queue, error) {
	o := diskqueue.Options{MaxBytes: int64(orNone(c.Storage.Limit)), History: history, Lease: lease(c.Destinations), Log: log}
	if c.Capture.Durability == "write" {
		o.Durability = diskqueue.Write
	}
	q, err := diskqueue.Open(dir, o)
	if errors.Is(err, diskqueue.ErrLocked) {
		return nil, busy(c.Data, err)
	}
	return q, err
}

// lease is longer than any batch of a destination can take: the wait for it to fill, the request,
// its halves, and what waits for its turn.
func lease(list []config.Destination) time.Duration {
	longest := 2 * time.Minute
	for _, d := range list {
		longest = max(longest, d.Batch.MaxWait.D()+3*d.Timeout.D()+10*time.Second)
	}
	return longest
}

// BusyError says that a process has the data directory open.
type BusyError struct {
	Dir   string
	PID   int    // 0 when unknown
	Admin string // address of its admin API that can be dialled; "" when unknown or off
	err   error
}

func (e *BusyError) Error() string {
	who, admin := "another process", "its admin API is off"
	if e.PID != 0 {
		who = fmt.Sprintf("process %d", e.PID)
	}
	if e.Admin != "" {
		admin = "its admin API is at http://" + e.Admin
	}
	return fmt.Sprintf("%s has the data directory %s open; %s", who, e.Dir, admin)
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
		e.PID, e.Admin = at.PID, dialable(at.Admin)
	}
	return e
}

// dialable puts loopback where an address says "every interface".
func dialable(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = map[bool]string{true: "127.0.0.1", false: "::1"}[ip.Is4()]
	}
	return net.JoinHostPort(host, port)
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

func (a *App) removeAddress() { os.Remove(addressFile(a.data)) }

// ErrNoStore says that a directory is no data directory of tapway's.
var ErrNoStore = errors.New("holds no tapway data")

// ErrOutbox says that a directory holds nothing but what a gateway sends to SQS.
var ErrOutbox = errors.New("holds no queue, only records on their way to SQS")

// outboxDir is where a gateway with a queue on SQS keeps what is not there yet.
func outboxDir(data string) string { return filepath.Join(data, "outbox") }

// Running gives the gateway that works in a data directory and sends to SQS; nil: there is none.
func Running(data string) *BusyError {
	if dir := outboxDir(data); diskqueue.InUse(dir) {
		return busy(data, diskqueue.ErrLocked)
	}
	return nil
}

// hasStore reports whether a queue has ever been made in dir.
func hasStore(dir string) bool {
	for _, name := range []string{"store", "state.db"} {
		if _, err := os.Stat(filepath.Join(dir, name)); err == nil {
			return true
		}
	}
	log, err := os.ReadDir(filepath.Join(dir, "log"))
	return err == nil && slices.ContainsFunc(log, func(e os.DirEntry) bool { return filepath.Ext(e.Name()) == ".seg" })
}

// Offline opens a data directory that no process uses and gives the admin API over it.
// Looking changes nothing: what is no data directory stays none (ErrNoStore), and nothing
// leaves the history. The error is a *BusyError when a process has the directory open, and
// ErrOutbox when its queue is on SQS.
func Offline(dir, version string) (*admin.Server, func(), error) {
	if running := Running(dir); running != nil {
		return nil, nil, running
	}
	if !hasStore(dir) {
		if hasStore(outboxDir(dir)) {
			return nil, nil, fmt.Errorf("%s %w", dir, ErrOutbox)
		}
		return nil, nil, fmt.Errorf("%s %w", dir, ErrNoStore)
	}
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
	o := newOnce(version)
	s := &admin.Server{Store: q, Version: version, Log: slog.New(slog.DiscardHandler), Deliver: o.deliver, Resend: o.resend}
	return s, func() {
		o.close()
		q.Close()
	}, nil
}

// orNone turns the configuration's 0, none, into the queue's.
func orNone[T config.Size | config.Duration](n T) T {
	if n == 0 {
		return -1
	}
	return n
}
