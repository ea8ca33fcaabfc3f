package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tapway/tapway/internal/http1"
)

// tally is what arrived somewhere: records, and those of them that are whole.
type tally struct{ records, whole int }

// rolePeerSink takes records, one a line, and tells at /count how many came and how many of them
// have as many bodies of that size as they should. Every record is looked at for the bodies' marks and its
// length; every 64th is taken apart, and what differs by a byte is not whole.
func rolePeerSink(ctx context.Context, args []string) error {
	if len(args) != 2 {
		return errors.New("peersink wants a size and a number of bodies")
	}
	size, err := strconv.Atoi(args[0])
	if err != nil {
		return err
	}
	bodies, err := strconv.Atoi(args[1])
	if err != nil {
		return err
	}
	check := recordCheck{body: jsonBody(size), bodies: bodies}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	var records, whole atomic.Int64
	s := &http1.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/count" {
			fmt.Fprint(w, records.Load(), " ", whole.Load())
			return
		}
		text, err := readAll(r)
		if err != nil {
			w.WriteHeader(http.StatusBadRequest)
			return
		}
		if r.URL.Path != "/in" { // a mirrored call
			records.Add(1)
		}
		for line := range bytes.Lines(text) {
			if r.URL.Path != "/in" || len(bytes.TrimSpace(line)) == 0 {
				continue
			}
			if check.whole(line, records.Add(1)%64 == 1) {
				whole.Add(1)
			}
		}
		w.WriteHeader(http.StatusNoContent)
	})}
	return serve(ctx, s, l)
}

func readAll(r *http.Request) ([]byte, error) {
	if r.ContentLength <= 0 {
		return io.ReadAll(r.Body)
	}
	text := make([]byte, r.ContentLength)
	_, err := io.ReadFull(r.Body, text)
	return text, err
}

type recordCheck struct {
	body   []byte
	bodies int
}

func (c recordCheck) whole(record []byte, closely bool) bool {
	if bytes.Count(record, []byte("items")) < c.bodies || len(record) < c.bodies*len(c.body) {
		return false
	}
	if !closely {
		return true
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal(record, &fields) != nil {
		return false
	}
	found := 0
	for _, value := range fields {
		if bytes.Equal(value, c.body) {
			found++
			continue
		}
		var text string
		if len(value) > 0 && value[0] == '"' && json.Unmarshal(value, &text) == nil && text == string(c.body) {
			found++
		}
	}
	return found >= c.bodies
}

// sinkTally asks a sink.
func sinkTally(addr string) (t tally, err error) {
	resp, err := http.Get("http://" + addr + "/count")
	if err != nil {
		return t, err
	}
	defer resp.Body.Close()
	_, err = fmt.Fscan(resp.Body, &t.records, &t.whole)
	return t, err
}

// redisConn speaks as much of Redis's protocol as counting needs.
type redisConn struct {
	net.Conn
	r *bufio.Reader
}

func dialRedis(addr string) (*redisConn, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return nil, err
	}
	c.SetDeadline(time.Now().Add(time.Minute))
	return &redisConn{c, bufio.NewReaderSize(c, 1<<20)}, nil
}

// ask sends a command and returns the bulk strings of the answer, or its number in one.
func (c *redisConn) ask(command string) ([][]byte, error) {
	if _, err := fmt.Fprintf(c, "%s\r\n", command); err != nil {
		return nil, err
	}
	return c.answer()
}

func (c *redisConn) answer() ([][]byte, error) {
	line, err := c.r.ReadString('\n')
	if err != nil {
		return nil, err
	}
	line = strings.TrimSpace(line)
	n, _ := strconv.Atoi(line[1:])
	switch line[0] {
	case ':', '+':
		return [][]byte{[]byte(line[1:])}, nil
	case '$':
		if n < 0 {
			return nil, nil
		}
		text := make([]byte, n+2)
		if _, err := io.ReadFull(c.r, text); err != nil {
			return nil, err
		}
		return [][]byte{text[:n]}, nil
	case '*':
		var all [][]byte
		for range n {
			one, err := c.answer()
			if err != nil {
				return nil, err
			}
			all = append(all, one...)
		}
		return all, nil
	}
	return nil, fmt.Errorf("redis: %s", line)
}

// tykTally counts the records that Tyk has put into Redis. Only closely are the bodies looked at: a
// record has the request and the response as they went over the wire, in base64.
func tykTally(addr string, body []byte, bodies int, closely bool) (t tally, err error) {
	c, err := dialRedis(addr)
	if err != nil {
		return t, err
	}
	defer c.Close()
	keys, err := c.ask("KEYS *analytics-tyk-system-analytics*")
	if err != nil {
		return t, err
	}
	for _, key := range keys {
		n, err := c.ask("LLEN " + string(key))
		if err != nil {
			return t, err
		}
		have, _ := strconv.Atoi(string(n[0]))
		t.records += have
		for from := 0; closely && from < have; from += 200 {
			records, err := c.ask(fmt.Sprintf("LRANGE %s %d %d", key, from, from+199))
			if err != nil {
				return t, err
			}
			for _, r := range records {
				if base64Bodies(r, body) >= bodies {
					t.whole++
				}
			}
		}
	}
	return t, nil
}

// base64Bodies is how many of a record's long base64 strings have the body in them.
func base64Bodies(record, body []byte) (n int) {
	is := func(b byte) bool {
		return b >= 'A' && b <= 'Z' || b >= 'a' && b <= 'z' || b >= '0' && b <= '9' || b == '+' || b == '/'
	}
	for i := 0; i < len(record); i++ {
		from := i
		for i < len(record) && is(record[i]) {
			i++
		}
		if i-from < len(body) {
			continue
		}
		// The bytes before the string may look like base64 too: its length stands there.
		for offset := range 4 {
			text := record[from+offset : i]
			if len(text)%4 == 1 {
				text = text[:len(text)-1]
			}
			plain := make([]byte, base64.RawStdEncoding.DecodedLen(len(text)))
			k, err := base64.RawStdEncoding.Decode(plain, text)
			if err == nil && bytes.Contains(plain[:k], body) {
				n++
				break
			}
		}
	}
	return n
}

// goreplayTally counts in GoReplay's file the requests, and those calls whose request and
// response are there with their bodies.
func goreplayTally(dir string, body []byte, bodies int) (t tally, err error) {
	names, _ := filepath.Glob(filepath.Join(dir, "calls*.gor"))
	with := map[string]int{}
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			return t, err
		}
		for payload := range bytes.SplitSeq(text, []byte("\n🐵🙈🙉\n")) {
			f := bytes.Fields(payload[:min(len(payload), 100)])
			if len(f) < 2 || len(f[0]) != 1 {
				continue
			}
			if f[0][0] == '1' {
				t.records++
			}
			if bytes.Contains(payload, body) {
				id := string(f[1])
				if with[id]++; with[id] == bodies {
					t.whole++
				}
			}
		}
	}
	return t, nil
}
