// Package accesslog writes one line per call to a file or a standard stream, in Apache's common
// or combined format or as JSON.
//
// What a newcomer gets wrong: a call only copies its line into memory. [Log.Run] writes, in
// batches; while it cannot, lines are kept up to a bound, and those beyond it are dropped and
// counted, because a slow disk must not slow a call. And a line is made of what strangers sent:
// every byte that could end it, or begin another, is escaped.
package accesslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway"
)

const (
	defaultMemory = 4 << 20
	flushAt       = 64 << 10
	flushEvery    = 200 * time.Millisecond
	farewell      = 3 * time.Second
)

// Log is one access log. Make it with Open, and run it with Run.
type Log struct {
	path    string
	format  Format
	maxSize int64
	keep    int
	memory  int
	log     *slog.Logger

	mu     sync.Mutex
	lines  []byte
	number uint64 // of lines in lines
	ended  bool

	wake    chan struct{}
	reopen  atomic.Bool
	dropped atomic.Uint64
	written atomic.Uint64

	// Of Run alone, once it runs.
	out   io.Writer
	file  *os.File // nil for a standard stream
	size  int64
	spare []byte
	sick  bool // the last write failed
	torn  bool // only a part of the last line was written
	stays bool // the file could not be opened anew
}

// Options of Open.
type Options struct {
	Path    string // "stdout", "stderr" or a file
	Format  Format
	MaxSize int64        // at which a file is rotated; 0: never
	Keep    int          // rotated files; 0: none, the file begins anew
	Memory  int          // bytes of lines that wait at most; 0: 4 MiB
	Log     *slog.Logger // hears of what fails; nil: slog.Default
}

// Open opens the file, to append. The error says what to do.
func Open(o Options) (*Log, error) {
	l := &Log{path: o.Path, format: o.Format, maxSize: o.MaxSize, keep: o.Keep, memory: o.Memory, log: o.Log, wake: make(chan struct{}, 1)}
	if l.memory <= 0 {
		l.memory = defaultMemory
	}
	if l.log == nil {
		l.log = slog.Default()
	}
	switch o.Path {
	case "stdout":
		l.out = os.Stdout
	case "stderr":
		l.out = os.Stderr
	default:
		if err := l.open(); err != nil {
			return nil, fmt.Errorf("access_log.path: %w", err)
		}
	}
	return l, nil
}

var openFile = os.OpenFile // another in tests

func (l *Log) open() error {
	f, err := openFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o640) // #nosec G302 -- log shippers run in the group
	if err != nil {
		return err
	}
	info, err := f.Stat()
	if err != nil {
		f.Close()
		return err
	}
	l.file, l.out, l.size, l.torn = f, f, info.Size(), false
	return nil
}

var buffers = sync.Pool{New: func() any { return new([]byte) }}

// Write takes the line of a call. rule is the access rule that refused it, "" if none did. It
// never waits for the disk.
func (l *Log) Write(ex *tapway.Exchange, rule string) {
	buf := buffers.Get().(*[]byte)
	line := l.format.Append((*buf)[:0], ex, rule)
	l.mu.Lock()
	full := l.ended || len(l.lines)+len(line) > l.memory
	if !full {
		l.lines = append(l.lines, line...)
		l.number++
	}
	many := len(l.lines) >= flushAt
	l.mu.Unlock()
	if cap(line) <= 64<<10 {
		*buf = line
		buffers.Put(buf)
	}
	if full {
		l.dropped.Add(1)
	}
	if many {
		select {
		case l.wake <- struct{}{}:
		default:
		}
	}
}

// Reopen makes Run open the file anew before it writes more: somebody has renamed it. It may be
// called at any time, and does nothing to a standard stream.
func (l *Log) Reopen() {
	l.reopen.Store(true)
	select {
	case l.wake <- struct{}{}:
	default:
	}
}

// Lines are how many lines were written, and how many were dropped because there was no room
// for them or they could not be written.
func (l *Log) Lines() (written, dropped uint64) { return l.written.Load(), l.dropped.Load() }

// Run writes until ctx ends, then what is left, for three seconds at most.
func (l *Log) Run(ctx context.Context) error {
	done := make(chan struct{})
	go func() { // a write to a pipe that nobody reads never returns
		defer close(done)
		l.loop(ctx)
	}()
	<-ctx.Done()
	select {
	case <-done:
		return nil
	case <-time.After(farewell):
		return errors.New("the last lines of the access log could not be written: nobody takes them")
	}
}

func (l *Log) loop(ctx context.Context) {
	tick := time.NewTicker(flushEvery)
	defer tick.Stop()
	for ctx.Err() == nil {
		select {
		case <-ctx.Done():
		case <-tick.C:
		case <-l.wake:
		}
		if l.reopen.Swap(false) && l.file != nil {
			l.again()
		}
		l.flush()
	}
	l.mu.Lock()
	l.ended = true
	l.mu.Unlock()
	l.flush()
	if l.file != nil {
		l.file.Close()
	}
}

// flush writes what there is.
func (l *Log) flush() {
	l.mu.Lock()
	lines, n := l.lines, l.number
	l.lines, l.number = l.spare[:0], 0
	l.mu.Unlock()
	if len(lines) > 0 {
		if l.file != nil && l.maxSize > 0 && l.size > 0 && l.size+int64(len(lines)) > l.maxSize {
			l.rotate()
		}
		wrote, err := l.write(lines)
		l.size += int64(wrote)
		l.tell(err)
		if err != nil {
			whole := uint64(bytes.Count(lines[:wrote], newline))
			l.written.Add(whole)
			l.dropped.Add(n - whole)
		} else {
			l.written.Add(n)
		}
	}
	if l.spare = lines[:0]; cap(l.spare) > l.memory/4 {
		l.spare = nil // of a burst
	}
}

var newline = []byte("\n")

// write writes whole lines, behind the end of one that was torn: a disk that becomes full takes a
// part of a line, and the next one must not run into it.
func (l *Log) write(lines []byte) (int, error) {
	if l.torn {
		n, err := l.out.Write(newline)
		l.size += int64(n)
		if err != nil {
			return 0, err
		}
		l.torn = false
	}
	wrote, err := l.out.Write(lines)
	l.torn = wrote > 0 && lines[wrote-1] != '\n'
	return wrote, err
}

// tell logs when writing begins to fail, and when it works again.
func (l *Log) tell(err error) {
	switch {
	case err != nil && !l.sick:
		l.log.Error("the access log cannot be written; its lines are dropped and counted", "err", err)
	case err == nil && l.sick:
		l.log.Info("the access log is written again")
	}
	l.sick = err != nil
}

// again opens the file that has the name now. If that fails the old one stays in use.
func (l *Log) again() {
	old := l.file
	if err := l.open(); err != nil {
		if !l.stays {
			l.log.Error("the access log could not be opened anew, its old file stays in use", "err", err)
		}
		l.stays = true
		return
	}
	l.stays = false
	old.Close()
}

// rotate makes FILE.1 of FILE, and so on. Where FILE is gone, because it could not be opened anew the last
// time, the others keep their places.
func (l *Log) rotate() {
	if _, err := os.Lstat(l.path); errors.Is(err, os.ErrNotExist) {
		l.again()
		return
	}
	name := func(i int) string { return l.path + "." + strconv.Itoa(i) }
	for i := l.keep - 1; i >= 1; i-- {
		if err := os.Rename(name(i), name(i+1)); err != nil && !errors.Is(err, os.ErrNotExist) {
			l.log.Error("the access log could not be rotated", "err", err)
			return
		}
	}
	var err error
	if l.keep >= 1 {
		err = os.Rename(l.path, name(1))
	} else {
		err = os.Remove(l.path)
	}
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		l.log.Error("the access log could not be rotated", "err", err)
		return
	}
	l.again()
}
