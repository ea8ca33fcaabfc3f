package deploy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/credentials"
	"github.com/aws/aws-sdk-go-v2/service/lambda"

	"github.com/tapway/tapway/internal/cost"
)

// fakeLambda has one function. It takes 1024/memory times 10 ms, and a change of it is through
// at the second look.
type fakeLambda struct {
	mu       sync.Mutex
	memory   int
	pending  bool
	versions map[string]int // memory by version
	next     int
	sizes    []int // that $LATEST was set to
	invoked  map[string]int
	refuse   string // an operation that fails
	noReport bool
}

func (f *fakeLambda) client(t *testing.T) *lambda.Client {
	t.Helper()
	server := httptest.NewServer(f)
	t.Cleanup(server.Close)
	return lambda.New(lambda.Options{Region: "eu-west-1", BaseEndpoint: &server.URL, Credentials: credentials.NewStaticCredentialsProvider("a", "b", ""), RetryMaxAttempts: 1})
}

func (f *fakeLambda) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	what, version := r.Method+" "+parts[len(parts)-1], r.URL.Query().Get("Qualifier")
	if what == f.refuse {
		w.Header().Set("X-Amzn-Errortype", "AccessDeniedException")
		w.WriteHeader(http.StatusForbidden)
		fmt.Fprintf(w, `{"Message":"not allowed"}`)
		return
	}
	reply := func(status int, v any) {
		w.WriteHeader(status)
		_ = json.NewEncoder(w).Encode(v)
	}
	switch what {
	case "GET configuration":
		update := "Successful"
		if f.pending {
			update, f.pending = "InProgress", false
		}
		reply(200, map[string]any{"FunctionName": "p", "MemorySize": f.memory, "LastUpdateStatus": update, "State": "Active", "Architectures": []string{"arm64"}})
	case "PUT configuration":
		var in struct{ MemorySize int }
		_ = json.NewDecoder(r.Body).Decode(&in)
		f.memory, f.pending = in.MemorySize, true
		f.sizes = append(f.sizes, in.MemorySize)
		reply(200, map[string]any{})
	case "POST versions":
		f.next++
		version := fmt.Sprint(f.next)
		f.versions[version] = f.memory
		reply(201, map[string]any{"Version": version, "Description": "tapway tune"})
	case "POST invocations":
		memory := f.versions[version]
		f.invoked[version]++
		took := 10 * 1024 / memory
		report := fmt.Sprintf("END\nREPORT RequestId: x\tDuration: %d.50 ms\tBilled Duration: %d ms\tMemory Size: %d MB\tMax Memory Used: 44 MB\t", took, took+1, memory)
		if f.invoked[version] == 1 {
			report += "Init Duration: 99.00 ms\t"
		}
		if f.noReport {
			report = "START"
		}
		w.Header().Set("X-Amz-Log-Result", base64.StdEncoding.EncodeToString([]byte(report)))
		reply(200, map[string]any{"statusCode": 200})
	case "DELETE p":
		delete(f.versions, version)
		w.WriteHeader(http.StatusNoContent)
	default:
		reply(404, map[string]any{"Message": what})
	}
}

func newFakeLambda() *fakeLambda {
	return &fakeLambda{memory: 512, versions: map[string]int{}, invoked: map[string]int{}}
}

func TestTune(t *testing.T) {
	f := newFakeLambda()
	tuner := &Tuner{Lambda: f.client(t), Function: "p", Event: []byte(`{}`), Calls: 3, Pause: time.Millisecond, Prices: cost.Table}
	all, err := tuner.Run(t.Context(), []int{256, 1024})
	if err != nil {
		t.Fatal(err)
	}
	if len(all) != 2 || all[0].MedianMS != 40.5 || all[0].BilledMS != 41 || all[0].InitMS != 99 || all[0].UsedMiB != 44 || all[1].P95MS != 10.5 {
		t.Errorf("measured: %+v", all)
	}
	want := 0.20 + 1e6*0.041*0.25*cost.Table.LambdaARM
	if d := all[0].PerMillion - want; d > 1e-9 || d < -1e-9 {
		t.Errorf("a million: $%g, want $%g", all[0].PerMillion, want)
	}
	if f.memory != 512 || len(f.versions) != 0 || f.invoked["1"] != 4 || f.invoked["2"] != 4 {
		t.Errorf("left: %d MiB, versions %v, invoked %v", f.memory, f.versions, f.invoked)
	}
}

// TestTuneRestores: whatever fails, the function has its own memory again, and no version is left.
func TestTuneRestores(t *testing.T) {
	for _, refuse := range []string{"POST versions", "POST invocations", "no report", "interrupted"} {
		f := newFakeLambda()
		f.refuse, f.noReport = refuse, refuse == "no report"
		ctx, cancel := context.WithCancel(t.Context())
		tuner := &Tuner{Lambda: f.client(t), Function: "p", Calls: 3, Pause: time.Millisecond, Progress: func(string, int, int) {
			if refuse == "interrupted" {
				cancel()
			}
		}}
		_, err := tuner.Run(ctx, []int{256, 1024})
		cancel()
		if err == nil || f.memory != 512 || len(f.versions) != 0 {
			t.Errorf("%s: %v; %d MiB, versions %v", refuse, err, f.memory, f.versions)
		}
	}
	f := newFakeLambda()
	f.refuse = "PUT configuration"
	if _, err := (&Tuner{Lambda: f.client(t), Function: "p", Calls: 1}).Run(t.Context(), []int{256}); err == nil || !strings.Contains(err.Error(), "--memory-size 512") {
		t.Errorf("a memory that cannot be put back: %v", err)
	}
}

func TestParseReport(t *testing.T) {
	for text, want := range map[string]Report{
		"START\nREPORT RequestId: a\tDuration: 12.34 ms\tBilled Duration: 13 ms\tMemory Size: 512 MB\tMax Memory Used: 45 MB\tInit Duration: 80.10 ms\t\n":           {12.34, 13, 80.10, 45},
		`{"time":"t","type":"platform.report","record":{"requestId":"a","metrics":{"durationMs":1.5,"billedDurationMs":2,"memorySizeMB":128,"maxMemoryUsedMB":40}}}`: {1.5, 2, 0, 40},
		"a client wrote Duration: 99 ms\nREPORT RequestId: a\tDuration: 1.00 ms\tBilled Duration: 1 ms\tMax Memory Used: 9 MB":                                       {1, 1, 0, 9},
	} {
		if got, err := ParseReport(text); err != nil || got != want {
			t.Errorf("%q: %+v, %v; want %+v", text, got, err, want)
		}
	}
	for _, text := range []string{"", "START RequestId: a", "Duration: 5 ms"} {
		if r, err := ParseReport(text); err == nil {
			t.Errorf("%q: %+v", text, r)
		}
	}
}

func FuzzParseReport(f *testing.F) {
	f.Add("REPORT RequestId: a\tDuration: 1.2.3 ms\tBilled Duration: 2 ms")
	f.Add(`"platform.report" "billedDurationMs": 1`)
	f.Fuzz(func(t *testing.T, log string) {
		if r, err := ParseReport(log); err == nil && !(r.BilledMS > 0) {
			t.Errorf("%q: %+v", log, r)
		}
	})
}
