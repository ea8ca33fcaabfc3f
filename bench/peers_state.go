package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// state is the file in which a run keeps what it has measured, so that it can go on after it was
// broken off. Its first line says what the run is, each other line is a measurement or a failure.
type state struct {
	file   *os.File
	header header
	lines  []line // those read when it was opened
}

// header is what two parts of one run must have in common.
type header struct {
	Form    string
	Rounds  int
	Seconds float64
	Only    string    `json:",omitempty"`
	Tapway  string    // SHA-256 of the program measured
	Began   time.Time `json:",omitzero"`
}

// line is one measurement as it stands in the file.
type line struct {
	Peer        string
	Method      string
	Size        int
	Connections int
	Round       int
	Error       string `json:",omitempty"`

	Calls         int     `json:",omitempty"`
	PerSec        float64 `json:",omitempty"`
	CPU           float64 `json:",omitempty"`
	P50, P99      float64 `json:",omitempty"`
	Failed        int     `json:",omitempty"`
	Store         float64 `json:",omitempty"`
	Peak          float64 `json:",omitempty"`
	Expected      int     `json:",omitempty"`
	Records       int     `json:",omitempty"`
	Whole         int     `json:",omitempty"`
	Lag           float64 `json:",omitempty"`
	Others        float64 `json:",omitempty"`
	ElapsedMillis int64   `json:",omitempty"`
}

func (l line) cell() cell { return cell{l.Method, l.Size, l.Connections} }

func (l line) sample() sample {
	return sample{
		result: result{calls: l.Calls, perSec: l.PerSec, cpu: l.CPU, p50: l.P50, p99: l.P99, failed: l.Failed},
		round:  l.Round, store: l.Store, peak: l.Peak, expected: l.Expected,
		tally: tally{records: l.Records, whole: l.Whole}, lag: l.Lag, others: l.Others,
	}
}

// lineOf is a measurement, or that there was none.
func lineOf(p peer, c cell, s sample, took time.Duration, err error) line {
	l := line{
		Peer: p.name, Method: c.method, Size: c.size, Connections: c.connections, Round: s.round,
		Calls: s.calls, PerSec: s.perSec, CPU: s.cpu, P50: s.p50, P99: s.p99, Failed: s.failed,
		Store: s.store, Peak: s.peak, Expected: s.expected, Records: s.tally.records, Whole: s.tally.whole, Lag: s.lag, Others: s.others,
		ElapsedMillis: took.Milliseconds(),
	}
	if err != nil {
		l = line{Peer: p.name, Method: c.method, Size: c.size, Connections: c.connections, Round: s.round, Error: err.Error(), ElapsedMillis: took.Milliseconds()}
	}
	return l
}

// errOtherRun says that what lies there is no part of the run asked for.
var errOtherRun = errors.New("the run that was broken off had another form, other rounds, or another build of tapway: start anew without -resume")

// openState begins a run, or with again goes on with the one in the file.
func openState(name string, want header, again bool) (*state, error) {
	if !again {
		return newState(name, want)
	}
	text, err := os.ReadFile(name)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(name, want)
	}
	if err != nil {
		return nil, err
	}
	s := &state{}
	whole := 0 // bytes of whole lines: the last may have been cut short
	for text := range bytes.Lines(text) {
		if text[len(text)-1] != '\n' {
			break
		}
		if whole == 0 {
			if err := json.Unmarshal(text, &s.header); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
		} else {
			var l line
			if err := json.Unmarshal(text, &l); err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			s.lines = append(s.lines, l)
		}
		whole += len(text)
	}
	want.Began = s.header.Began
	if s.header != want {
		return nil, fmt.Errorf("%s: %w", name, errOtherRun)
	}
	if s.file, err = os.OpenFile(name, os.O_WRONLY, 0o644); err != nil {
		return nil, err
	}
	if err := s.file.Truncate(int64(whole)); err != nil {
		return nil, err
	}
	_, err = s.file.Seek(0, io.SeekEnd)
	return s, err
}

func newState(name string, h header) (*state, error) {
	h.Began = time.Now().UTC().Truncate(time.Second)
	file, err := os.Create(name)
	if err != nil {
		return nil, err
	}
	return &state{file: file, header: h}, json.NewEncoder(file).Encode(h)
}

func (s *state) add(l line) error { return json.NewEncoder(s.file).Encode(l) }

func (s *state) close() error { return s.file.Close() }

// sumOf is the checksum of the tapway that a run measures; empty where there is none.
func sumOf(had string) string {
	f, err := os.Open(filepath.Join(had, "bin", "tapway"))
	if err != nil {
		return ""
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, bufio.NewReaderSize(f, 1<<20)); err != nil {
		return ""
	}
	return hex.EncodeToString(h.Sum(nil))
}
