package lambdaruntime

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"
)

// stream writes one streamed reply. The head goes out with the first byte, so that an error
// before it can still be reported as an ordinary one.
type stream struct {
	ctx         context.Context // of the process, not of the invocation: for dialling
	c           *conn
	path        string
	contentType string
	began       bool
	size        [18]byte // a chunk's size line
	parts       [3][]byte
	err         error

	mu    sync.Mutex // a goroutine that the handler left behind must not write into the next reply
	ended bool
}

var errEnded = errors.New("the reply has ended")

// Write sends p as one chunk.
func (s *stream) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return 0, errEnded
	}
	if s.err != nil {
		return 0, s.err
	}
	if len(p) == 0 {
		return 0, nil
	}
	if !s.began {
		if s.err = s.start(); s.err != nil {
			return 0, s.err
		}
	}
	line := s.size[:0]
	if !s.began {
		line = s.c.head
	}
	line = strconv.AppendInt(line, int64(len(p)), 16)
	s.began = true
	return s.send(append(line, '\r', '\n'), p)
}

// shut makes further writes fail.
func (s *stream) shut() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended = true
}

func (s *stream) send(line, p []byte) (int, error) {
	s.parts = [3][]byte{line, p, crlf}
	if err := writeAll(s.c.nc, s.parts[:]...); err != nil {
		s.err = fmt.Errorf("write to the caller's stream: %w", err)
		return 0, s.err
	}
	return len(p), nil
}

var crlf = []byte("\r\n")

// start readies a connection and the head.
func (s *stream) start() error {
	if s.c.nc != nil && time.Since(s.c.seen) > trustIdle {
		s.c.close()
	}
	if _, err := s.c.open(s.ctx); err != nil {
		return err
	}
	b := s.c.begin(s.path, []field{
		{"Content-Type", s.contentType},
		{"Lambda-Runtime-Function-Response-Mode", "streaming"},
		{"Transfer-Encoding", "chunked"},
		{"Trailer", errorTypeName + ", " + errorBodyName},
	})
	s.c.head = append(b, crlf...)
	return nil
}

// end closes a stream that was shut and began or is empty, with error trailers if f is not nil, and reads the
// answer. The connection ends with the stream, as the API asks.
func (s *stream) end(f *failure) error {
	defer s.c.close()
	if !s.began {
		if err := s.start(); err != nil {
			return err
		}
		if _, err := s.c.nc.Write(s.c.head); err != nil {
			s.err = err
		}
	}
	if s.err == nil {
		b := append(s.c.head[:0], "0\r\n"...)
		if f != nil {
			b = append(b, errorTypeName+": "+f.kind+"\r\n"+errorBodyName+": "...)
			b = base64.StdEncoding.AppendEncode(b, f.json(maxTrailer))
			b = append(b, crlf...)
		}
		_, s.err = s.c.nc.Write(append(b, crlf...))
	}
	if _, err := s.c.br.Peek(1); err != nil {
		if s.err == nil {
			s.err = err
		}
		return fmt.Errorf("post response to the Runtime API: %w", s.err)
	}
	return s.c.answer("response", nil)
}
