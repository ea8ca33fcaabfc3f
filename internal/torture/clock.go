package torture

import (
	"encoding/binary"
	"fmt"
	"os"
	"regexp"
	"time"
)

// moveClock makes the clock of every process wrong by off, at once. The monotonic clock goes on.
func (w *world) moveClock(off time.Duration) error {
	if w.o.ClockFile == "" {
		return nil
	}
	f, err := os.OpenFile(w.o.ClockFile, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer f.Close()
	if off != 0 {
		w.faults.add("clock jumps")
	}
	_, err = f.WriteAt(binary.NativeEndian.AppendUint64(nil, uint64(off)), 0) // in place: processes look at these bytes
	return err
}

var logTime = regexp.MustCompile(`(?m)^time=(\S+)`)

// clockMoves looks at the log of a process whether its clock is off as it should be. The log was
// begun within startWithin.
func (w *world) clockMoves(p *process, off time.Duration) error {
	m := logTime.FindStringSubmatch(p.out.String())
	if m == nil || w.o.ClockFile == "" {
		return nil
	}
	at, err := time.Parse(time.RFC3339Nano, m[1])
	if err != nil {
		return fmt.Errorf("the time of a line of the log: %w", err)
	}
	if wrong := time.Now().Add(off).Sub(at).Abs(); wrong > startWithin {
		return fmt.Errorf("the clock does not jump: it should be off by %v, the log begins at %v; build the program with .ci/clock", off, at)
	}
	return nil
}
