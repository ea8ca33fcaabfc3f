package capture

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tapway/tapway"
)

// Calls of many clients, several at once on a connection, answered at once and written and broken off in turn: every
// answer and every record is of one call alone.
func TestNothingMixed(t *testing.T) {
	q := newQueue(t)
	rec := &Recorder{Queue: q}
	addr := lean(t, rec.Wrap(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		id, call := r.Header.Get("X-Id"), tapway.CallFrom(r.Context())
		call.Error, call.Rule = "of "+id, id
		if strings.Contains(r.URL.RawQuery, "read") {
			if got, err := io.ReadAll(r.Body); err != nil || strings.ReplaceAll(string(got), id, "") != "" {
				t.Errorf("%s reads %.60q: %v", id, got, err)
			}
		}
		if strings.Contains(r.URL.RawQuery, "wait") {
			ctx, cancel := context.WithCancel(r.Context())
			defer cancel()
			context.AfterFunc(ctx, func() {
				if got := tapway.CallFrom(r.Context()); ctx.Value(http.LocalAddrContextKey) == nil || got == nil {
					t.Error("a context without its values")
				}
			})
		}
		body := strings.Repeat(id, 40)
		switch {
		case strings.Contains(r.URL.RawQuery, "write"):
			w.Header().Set("X-Id", id)
			fmt.Fprint(w, body)
		case !w.(answerer).Answer(403, []string{"X-Id", id}, body):
			t.Error("it was not answered")
		}
		if strings.Contains(r.URL.RawQuery, "panic") {
			panic(http.ErrAbortHandler)
		}
	})))
	var all sync.WaitGroup
	for client := range 8 {
		all.Go(func() { mixedClient(t, addr, client) })
	}
	all.Wait()
	if len(q.all()) < 300 {
		t.Errorf("only %d records", len(q.all()))
	}
	for _, ex := range q.all() {
		id := strings.TrimPrefix(ex.Path, "/")
		whole := chosen(ex)
		if ex.Error != "of "+id || header(ex.RequestHeader, "X-Id") != id || header(ex.ResponseHeader, "X-Id") != id || strings.Count(whole, "~") != 2*strings.Count(whole, id) {
			t.Errorf("the record of %s: %.600s", id, whole)
		}
	}
	nothingHeld(t, rec)
}

// chosen is all of an exchange that a client or the handler has chosen.
func chosen(ex *tapway.Exchange) string {
	return fmt.Sprint(ex.Path, ex.Query, ex.From, ex.Error, ex.RequestHeader, ex.ResponseHeader, string(ex.Request.Bytes), string(ex.Response.Bytes))
}

func header(h tapway.Header, name string) (value string) {
	for _, f := range h {
		if f.Name == name {
			value += f.Value
		}
	}
	return value
}

// mixedClient sends calls whose every text is made of one ID, which is between the only "~" there are.
func mixedClient(t *testing.T, addr string, client int) {
	random := rand.New(rand.NewPCG(7, uint64(client)))
	for n := 0; n < 120; {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			t.Error(err)
			return
		}
		c.SetDeadline(time.Now().Add(20 * time.Second))
		reader := bufio.NewReader(c)
		for alive := true; alive && n < 120; {
			var ids []string
			var text strings.Builder
			for range 1 + random.IntN(4) {
				id := fmt.Sprintf("~%dn%d~", client, n)
				n++
				ids = append(ids, id)
				query := []string{"answer", "read", "wait", "write", "read-write", "read-wait", "read-wait-write"}[random.IntN(7)]
				if random.IntN(20) == 0 {
					query += "-panic"
				}
				body := strings.Repeat(id, random.IntN(60))
				fmt.Fprintf(&text, "POST /%s?%s&%s HTTP/1.1\r\nHost: %d.example\r\nX-Id: %s\r\nContent-Length: %d\r\n", id, query, id, client, id, len(body))
				for i := range random.IntN(12) {
					fmt.Fprintf(&text, "X-%d: %s\r\n", i, id)
				}
				text.WriteString("\r\n" + body)
			}
			if _, err := io.WriteString(c, text.String()); err != nil {
				break // the one before broke the connection off
			}
			for _, id := range ids {
				res, err := http.ReadResponse(reader, nil)
				if err != nil {
					alive = false
					break
				}
				got, err := io.ReadAll(res.Body)
				if err == nil && (res.Header.Get("X-Id") != id || string(got) != strings.Repeat(id, 40)) {
					t.Errorf("%s got %v %.80q", id, res.Header, got)
				}
			}
		}
		c.Close()
	}
}
