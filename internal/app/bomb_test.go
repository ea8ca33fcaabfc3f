package app

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// bomb is size zeros, packed layers times.
func bomb(t *testing.T, size int64, layers int) []byte {
	t.Helper()
	var read io.Reader = io.LimitReader(zeros{}, size)
	var out bytes.Buffer
	for range layers {
		out = bytes.Buffer{}
		z, err := gzip.NewWriterLevel(&out, gzip.BestSpeed)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := io.Copy(z, read); err != nil {
			t.Fatal(err)
		}
		z.Close()
		read = bytes.NewReader(out.Bytes())
	}
	return out.Bytes()
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

// TestBombs: an answer that unpacks to more than anybody wants passes unchanged; nothing that reads the record
// (redaction, destinations, the console, a filter, an agent) unpacks it further than its bound.
func TestBombs(t *testing.T) {
	const size = 66 << 20
	packed := map[string][]byte{"gzip": bomb(t, size, 1), "gzip, gzip": bomb(t, size, 2)}
	sink := newSink(t)
	c := load(t, "listen: 127.0.0.1:0\nadmin: {listen: 127.0.0.1:0, mcp: read}\ndata: "+t.TempDir()+"/data\ndestinations: [{name: sink, url: \""+sink.URL+"\"}]\nbackend: "+httpBackend(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", r.URL.Query().Get("type"))
		coding := r.URL.Query().Get("coding")
		w.Header().Set("Content-Encoding", coding)
		w.Write(packed[coding])
	}))+"\n")
	a, _ := startWith(t, c, Options{Version: "test", Log: slog.New(slog.DiscardHandler)})
	admin := "http://" + a.AdminAddr()
	for n, tt := range []struct{ coding, kind string }{{"gzip", "application/json"}, {"gzip", "application/octet-stream"}, {"gzip, gzip", "application/octet-stream"}} {
		coding, kind, bytes := tt.coding, tt.kind, packed[tt.coding]
		req, err := http.NewRequest("GET", "http://"+a.Addr()+"/bomb?"+url.Values{"coding": {coding}, "type": {kind}}.Encode(), nil)
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Accept-Encoding", "gzip") // which the test's client leaves packed
		resp, err := http.DefaultTransport.RoundTrip(req)
		if err != nil {
			t.Fatal(err)
		}
		got, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if string(got) != string(bytes) {
			t.Errorf("%s %s: the client got %d bytes of %d", coding, kind, len(got), len(bytes))
		}
		rec := sink.next(t, n)
		text, err := json.Marshal(rec)
		if err != nil || len(text) > 2*len(bytes)+10_000 {
			t.Errorf("%s %s: a record of %d bytes", coding, kind, len(text))
		}
		if kind == "application/json" && (rec["response"] != nil || !strings.Contains(fmt.Sprint(rec["response_info"]), "withheld")) {
			t.Errorf("%s: what could not be searched for secrets is in the record: %v", coding, rec["response_info"])
		}
		resp, err = http.Get(admin + "/api/v1/exchanges/" + rec["id"].(string) + "/body/response")
		if err != nil {
			t.Fatal(err)
		}
		shown, _ := io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || shown > 32<<20 || kind != "application/json" && resp.Header.Get("X-Tapway-Decode-Error") == "" {
			t.Errorf("%s %s: the console got %d, %d bytes, %q", coding, kind, resp.StatusCode, shown, resp.Header.Get("X-Tapway-Decode-Error"))
		}
		question := fmt.Sprintf(`{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_exchange","arguments":{"id":%q}}}`, rec["id"])
		resp, err = http.Post(admin+"/mcp", "application/json", strings.NewReader(question))
		if err != nil {
			t.Fatal(err)
		}
		if told, _ := io.Copy(io.Discard, resp.Body); resp.StatusCode != 200 || told > 1<<20 {
			t.Errorf("%s %s: an agent got %d, %d bytes", coding, kind, resp.StatusCode, told)
		}
		resp.Body.Close()
	}
	if status, found := call(t, admin+"/api/v1/exchanges?filter="+url.QueryEscape(`body contains "x"`)); status != 200 || strings.Contains(found, `"path"`) {
		t.Errorf("a search: %d %s", status, found)
	}
}
