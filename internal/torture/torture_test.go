package torture

import (
	"context"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"
)

// TestPlan: a seed gives the same plan again, another one another, and whatever can be done is
// done sooner or later.
func TestPlan(t *testing.T) {
	done := map[string]bool{}
	for no := range 400 {
		l := planOf(1, no)
		if again := planOf(1, no); !reflect.DeepEqual(l, again) {
			t.Fatalf("life %d: %v, then %v", no, l, again)
		}
		if l.length <= 0 || l.amount <= 0 {
			t.Errorf("life %d: %+v", no, l)
		}
		done[l.damage] = true
		for i, e := range l.events {
			done[e.kind] = true
			if e.at >= l.length || i > 0 && e.at < l.events[i-1].at {
				t.Errorf("life %d: event %+v of %v", no, e, l.length)
			}
		}
		if l.behind == nil {
			continue
		}
		done[fmt.Sprintf("http %v auto %v", l.behind.http, l.behind.auto)] = true
		for i, s := range l.behind.steps {
			done[s.kind], done[s.fault], done[fmt.Sprintf("once %v killed %v", s.once, s.killed)] = true, true, true
			if s.at < 1 || s.pause <= 0 || i == 0 && s.kind != doAttach || s.fault != "" && apiFaults[s.fault] == nil {
				t.Errorf("life %d: step %+v", no, s)
			}
		}
	}
	for _, what := range []string{
		doReload, doPause, doRedrive, doFullDisk, doCheck, doSearch, doOutage, doClock,
		nothing, tornWrite, cutTail, flipTail, indexLost, tornStore, tornNames, tornMeta, stateBroken,
		doAttach, doDetach, doStatus, "cut", "lost", "broken", "refused", "throttled", "concurrent", "once true killed false", "once false killed false",
		"once true killed true", "http false auto false", "http true auto false", "http true auto true",
	} {
		if !done[what] {
			t.Errorf("%q is never done", what)
		}
	}
	if reflect.DeepEqual(planOf(1, 0), planOf(2, 0)) {
		t.Error("two seeds, one plan")
	}
}

// TestSecretsAreFound in every form, in texts and files.
func TestSecretsAreFound(t *testing.T) {
	s := newSecrets(1)
	r := rand.New(rand.NewPCG(1, 1))
	value := s.value(r)
	piece := []byte(strings.Repeat("0123456789", 10))
	s.compressed(piece)
	for name, text := range map[string]string{
		"plain":      "a" + value + "b",
		"base64":     base64.StdEncoding.EncodeToString([]byte("x" + value)),
		"base64 2":   base64.StdEncoding.EncodeToString([]byte("xy" + value)),
		"base64 3":   base64.URLEncoding.EncodeToString([]byte("xyz" + value)),
		"hex":        hex.EncodeToString([]byte("xyz" + value)),
		"compressed": string(piece),
	} {
		if s.in([]byte(text)) == "" {
			t.Errorf("%s: not found", name)
		}
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, "file"), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		found := ""
		if err := s.inFiles(filepath.Dir(dir), func(path, _ string) { found = path }); err != nil || found == "" {
			t.Errorf("%s: not found in files: %v", name, err)
		}
	}
	if where := s.in([]byte("[REDACTED] zqpl4nt3d")); where != "" {
		t.Errorf("found %s", where)
	}
}

// TestUnrecorded: what a record must agree in with what its client saw.
func TestUnrecorded(t *testing.T) {
	w := &world{}
	right := taken{ID: "1", Endpoint: "/a", Method: "POST", Status: 200, BodyInfo: sums{3, "abc"}, ResponseInfo: sums{5, "def"}}
	for name, c := range map[string]struct {
		change func(*taken)
		good   bool
	}{
		"right":             {func(*taken) {}, true},
		"method":            {func(t *taken) { t.Method = "PUT" }, false},
		"status":            {func(t *taken) { t.Status = 0 }, false},
		"shorter":           {func(t *taken) { t.ResponseInfo.Size = 4 }, false},
		"another response":  {func(t *taken) { t.ResponseInfo.SHA256 = "deg" }, false},
		"another request":   {func(t *taken) { t.BodyInfo.SHA256 = "abd" }, false},
		"of another call":   {func(t *taken) { t.Endpoint = "/b" }, false},
		"early answer":      {func(t *taken) { t.BodyInfo = sums{1, "a"} }, true},
		"request withheld?": {func(t *taken) { t.BodyInfo.SHA256 = "" }, true},
	} {
		got := right
		c.change(&got)
		k := &sink{records: map[string][]taken{got.Endpoint: {got}}}
		seen := &call{path: "/a", method: "POST", status: 200, sent: 3, sumSent: "abc", got: 5, sumGot: "def"}
		if why := w.unrecorded(seen, k, nil); (why == "") != c.good {
			t.Errorf("%s: %q", name, why)
		}
		if why := w.unrecorded(seen, k, map[string]bool{"/a": true}); why != "" {
			t.Errorf("%s: dead, but %q", name, why)
		}
	}
}

// TestExcuses: only calls of which it was said may go unrecorded.
func TestExcuses(t *testing.T) {
	at := func(s int) time.Time { return time.Unix(int64(s), 0) }
	w := &world{full: []window{{at(10), at(20)}, {from: at(100)}}}
	rules := conf{sampled: true}
	for _, c := range []struct {
		path     string
		from, to int
		status   int
		conf     conf
		want     string
	}{
		{"/a/1", 1, 10, 200, conf{}, ""},
		{"/a/1", 1, 11, 200, conf{}, "disk full"},
		{"/a/1", 19, 30, 200, conf{}, "disk full"},
		{"/a/1", 20, 30, 200, conf{}, ""},
		{"/a/1", 101, 102, 200, conf{}, "disk full"},
		{"/a/1", 11, 12, 200, conf{refuse: true}, ""},
		{"/a/1", 11, 12, 503, conf{refuse: true}, "disk full"},
		{"/sampled/1", 1, 2, 200, conf{}, ""},
		{"/sampled/1", 1, 2, 200, rules, "sampled"},
		{"/a/1", 1, 2, 200, rules, ""},
		{"/a/1", 1, 2, 200, conf{tight: true}, "limit reached"},
		{"/a/1", 1, 2, 200, conf{refuse: true, alone: true}, ""},
		{"/a/1", 1, 2, 503, conf{refuse: true, alone: true}, "refused"},
	} {
		w.current.conf = c.conf
		if got := w.excuse(&call{path: c.path, status: c.status, began: at(c.from), ended: at(c.to)}); got != c.want {
			t.Errorf("%+v: %q", c, got)
		}
	}
}

// TestTear: what is torn out of the end of the log are the newest records, however many calls ended
// later and have none.
func TestTear(t *testing.T) {
	var c calls
	add := func(n int, excused string) {
		for range n {
			c.end(&call{ended: time.Unix(int64(len(c.ended)), 0), excused: excused})
		}
	}
	torn := func() (n int) {
		for _, one := range c.ended {
			if one.torn {
				n++
			}
		}
		return n
	}
	add(2*maybeTorn, "")
	add(100, "limit reached")
	if c.tear(); torn() != maybeTorn+100 {
		t.Errorf("%d are torn", torn())
	}
	if last := c.ended[len(c.ended)-1]; last.excuse() != "limit reached" || c.ended[maybeTorn].excuse() != "torn" || c.ended[0].excuse() != "" {
		t.Errorf("excused: %q, %q, %q", last.excuse(), c.ended[maybeTorn].excuse(), c.ended[0].excuse())
	}
	add(10, "sampled")
	if c.tear(); torn() != 2*maybeTorn+110 {
		t.Errorf("%d are torn the second time", torn())
	}
	add(maybeTorn+1, "")
	if c.tear(); torn() != 3*maybeTorn+110 {
		t.Errorf("%d are torn the third time", torn())
	}
}

// TestNewestSegment: the newest is the one with the highest number, and its data end before its zeros.
func TestNewestSegment(t *testing.T) {
	dir := t.TempDir()
	if err := os.Mkdir(filepath.Join(dir, "log"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range map[string]string{"9.seg": "nine", "1000.seg": "thousand\x00\x00\x00", "0999.seg": "older"} {
		if err := os.WriteFile(filepath.Join(dir, "log", name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	err := newestSegment(dir, func(f *os.File, end int64) error {
		if filepath.Base(f.Name()) != "1000.seg" || end != 8 {
			t.Errorf("%s ends at %d", f.Name(), end)
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// TestPartOfABatch: an entry that is said to have failed has not reached SQS.
func TestPartOfABatch(t *testing.T) {
	var got string
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		got = string(body)
		io.WriteString(w, `{"Successful":[{"Id":"0"}],"Failed":[]}`)
	}))
	defer upstream.Close()
	x, err := newCloudProxy("sqs", upstream.URL, 1, &tally{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	req := httptest.NewRequest("POST", "/", strings.NewReader(`{"QueueUrl":"q","Entries":[{"Id":"0"},{"Id":"1"}]}`))
	req.Header.Set("X-Amz-Target", "AmazonSQS.SendMessageBatch")
	req.Host = "sqs.test"
	w := httptest.NewRecorder()
	x.queues(w, req, true, 1)
	if want := `{"Entries":[{"Id":"0"}],"QueueUrl":"q"}`; got != want {
		t.Errorf("SQS got %s", got)
	}
	if answer := w.Body.String(); !strings.Contains(answer, `"Id":"1"`) || !strings.Contains(answer, "InternalError") {
		t.Errorf("the client got %s", answer)
	}
}

// TestProblems are not repeated without end.
func TestProblems(t *testing.T) {
	var p problems
	for i := range 10 {
		p.add("kind", "%d", i)
	}
	p.add("other", "x")
	if all := fmt.Sprint(p.all()); len(p.list) != problemsOfAKind+1 || !strings.Contains(all, "kind: 10 in all") || !strings.Contains(all, "other: x") {
		t.Error(all)
	}
}

// TestAnswerThatNobodyReads: a message that is given out to a process which is gone by then has a
// lease in SQS. Its handle is known here, so that the lease can be ended.
func TestAnswerThatNobodyReads(t *testing.T) {
	asked, gone := make(chan struct{}), make(chan struct{})
	released := make(chan string, 1)
	upstream := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		if strings.HasSuffix(r.Header.Get("X-Amz-Target"), "ChangeMessageVisibility") {
			released <- string(body)
			return
		}
		close(asked)
		<-gone
		io.WriteString(w, `{"Messages":[{"ReceiptHandle":"handle-1"}]}`)
	}))
	defer upstream.Close()
	x, err := newCloudProxy("sqs", upstream.URL, 1, &tally{})
	if err != nil {
		t.Fatal(err)
	}
	defer x.Close()
	x.set(func(x *cloudProxy) { x.share = 0 })
	ctx, cancel := context.WithCancel(t.Context())
	req := httptest.NewRequest("POST", "/", strings.NewReader(`{"QueueUrl":"q"}`)).WithContext(ctx)
	req.Header.Set("X-Amz-Target", "AmazonSQS.ReceiveMessage")
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		x.ServeHTTP(httptest.NewRecorder(), req)
	}()
	<-asked
	cancel() // as a server does when its client is gone
	select {
	case <-ended:
		t.Error("what had begun was broken off")
	case <-time.After(100 * time.Millisecond): // it goes on
	}
	close(gone)
	<-ended
	if err := x.release(http.DefaultClient); err != nil {
		t.Fatal(err)
	}
	select {
	case body := <-released:
		if !strings.Contains(body, `"handle-1"`) {
			t.Errorf("released %s", body)
		}
	default:
		t.Error("the lease goes on")
	}
}

// TestStory: the logs of all processes, by the id of the call.
func TestStory(t *testing.T) {
	w := &world{logs: []string{
		"time=1 msg=call id=abc path=/a/1 status=200\ntime=2 msg=call id=xyz path=/a/11 status=200\n", "time=3 msg=\"sent\" id=abc\ntime=4 msg=other\n",
	}}
	if got, want := w.story("/a/1"), "process 0: time=1 msg=call id=abc path=/a/1 status=200\nprocess 1: time=3 msg=\"sent\" id=abc"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// TestClockMoves: the harness does not believe that a clock jumps which does not.
func TestClockMoves(t *testing.T) {
	w := &world{o: Options{ClockFile: filepath.Join(t.TempDir(), "clock")}}
	if err := w.moveClock(-time.Hour); err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(w.o.ClockFile); err != nil || int64(binary.NativeEndian.Uint64(text)) != int64(-time.Hour) {
		t.Errorf("%v, %v", text, err)
	}
	said := func(at time.Time) *process {
		p := &process{out: &output{matched: true}}
		fmt.Fprintf(p.out, "time=%s level=INFO msg=begun\n", at.Format(time.RFC3339Nano))
		return p
	}
	if err := w.clockMoves(said(time.Now().Add(-time.Hour)), -time.Hour); err != nil {
		t.Error(err)
	}
	if err := w.clockMoves(said(time.Now()), -time.Hour); err == nil {
		t.Error("a clock that stands where it was has jumped")
	}
	w.o.ClockFile = ""
	if err := w.clockMoves(said(time.Now()), -time.Hour); err != nil {
		t.Error(err)
	}
}
