package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// result is one measurement.
type result struct {
	calls    int
	perSec   float64
	cpu      float64 // µs of the measured process per call
	p50, p99 float64 // µs
	failed   int
}

// load makes calls over keep-alive connections for the time given: as fast as they go, or
// rate a second in all, as POSTs of size bytes that the backend answers with as many. A
// response that is cut short, not 2xx or of another length counts as failed.
func load(p *process, addr string, size int, length time.Duration, rate float64) (result, error) {
	var wg sync.WaitGroup
	var failed atomic.Int64
	request, want := post(size), int64(len(jsonBody(size)))
	times := make([][]time.Duration, *conns)
	errs := make([]error, *conns)
	cpu := p.cpu()
	began := time.Now()
	end := began.Add(length)
	for i := range *conns {
		wg.Go(func() {
			c, err := dial(addr)
			if err != nil {
				errs[i] = err
				return
			}
			defer c.Close()
			// With a rate, each connection calls at fixed times, and a call's time counts from
			// when it was due: a server that stalls is not spared the calls it delayed.
			pause := time.Duration(float64(*conns) / max(rate, 1) * float64(time.Second))
			due := began.Add(time.Duration(i) * pause / time.Duration(*conns))
			for {
				from := time.Now()
				if rate > 0 {
					if wait := due.Sub(from); wait > 0 {
						time.Sleep(wait)
					}
					from, due = due, due.Add(pause)
				}
				if !time.Now().Before(end) {
					return
				}
				if err := c.call(request, want); err != nil {
					failed.Add(1)
					c.Close()
					if c, err = dial(addr); err != nil {
						errs[i] = err
						return
					}
					continue
				}
				times[i] = append(times[i], time.Since(from))
			}
		})
	}
	wg.Wait()
	took := time.Since(began)
	used := p.cpu() - cpu
	all := slices.Concat(times...)
	if err := errors.Join(errs...); err != nil && len(all) == 0 {
		return result{}, err
	}
	if len(all) == 0 {
		return result{}, fmt.Errorf("%s answered nothing", p.name)
	}
	slices.Sort(all)
	n := len(all)
	return result{
		calls: n, perSec: float64(n) / took.Seconds(), cpu: float64(used.Microseconds()) / float64(n),
		p50: float64(all[n/2].Nanoseconds()) / 1000, p99: float64(all[n*99/100].Nanoseconds()) / 1000, failed: int(failed.Load()),
	}, nil
}

// client is one keep-alive connection with the least parsing that finds a response's end.
type client struct {
	net.Conn
	r *bufio.Reader
}

func dial(addr string) (*client, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	return &client{c, bufio.NewReaderSize(c, 16<<10)}, nil
}

// refusals says that answers of 4xx count as calls, whatever their length.
var refusals bool

// reads makes every call a GET without a body.
var reads bool

var errResponse = errors.New("bad response")

func (c *client) call(request []byte, want int64) error {
	c.SetDeadline(time.Now().Add(20 * time.Second))
	if _, err := c.Write(request); err != nil {
		return err
	}
	line, err := c.r.ReadSlice('\n')
	if err != nil {
		return err
	}
	refused := refusals && len(line) >= 12 && line[9] == '4'
	if len(line) < 12 || line[9] != '2' && !refused {
		return errResponse
	}
	length := int64(-1)
	for {
		if line, err = c.r.ReadSlice('\n'); err != nil {
			return err
		}
		if len(line) <= 2 {
			break
		}
		if (line[0] == 'C' || line[0] == 'c') && len(line) > 16 && bytes.EqualFold(line[:15], []byte("Content-Length:")) {
			if length, err = strconv.ParseInt(string(bytes.TrimSpace(line[15:])), 10, 64); err != nil {
				return err
			}
		}
	}
	if length != want && !refused {
		return errResponse
	}
	_, err = io.CopyN(io.Discard, c.r, length)
	return err
}

// jsonBody is a JSON document of about n bytes.
func jsonBody(n int) []byte {
	var b bytes.Buffer
	b.WriteString(`{"items":[`)
	for i := 0; b.Len() < n-60; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"name":"user %d","mail":"u%d@example.com"}`, i, i, i)
	}
	b.WriteString(`],"fill":"`)
	for b.Len() < n-2 {
		b.WriteByte('x')
	}
	b.WriteString(`"}`)
	return b.Bytes()
}

// post is a POST with that body; the backend answers with a body of the same size.
func post(n int) []byte {
	if reads {
		return fmt.Appendf(nil, "GET /api/v1/users/%d?a=1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n", n)
	}
	body := jsonBody(n)
	return append(fmt.Appendf(nil, "POST /api/v1/users/%d?a=1 HTTP/1.1\r\nHost: api.example.com\r\nUser-Agent: bench\r\nX-Api-Key: "+benchKey+"\r\nAccept: */*\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n", n, len(body)), body...)
}
