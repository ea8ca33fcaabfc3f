package deploy

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"

	"github.com/tapway/tapway/internal/cost"
)

// Tuner invokes a function at several memory sizes. Each size is set on the function's $LATEST,
// published as a version of its own, invoked there, and removed; then $LATEST gets back what it had.
//
// That is visible to whoever invokes $LATEST meanwhile: an API that is attached without an
// alias. It is asked about, not hidden.
type Tuner struct {
	Lambda   *lambda.Client
	Function string
	Event    []byte        // what it is invoked with
	Calls    int           // measured ones for each size; one more goes before them, the cold start
	Pause    time.Duration // between two looks whether a change is in force; 0: 1 s
	Prices   cost.Prices
	Progress func(what string, done, total int)
}

// Measured is one memory size.
type Measured struct {
	Memory     int     `json:"memory_mib"`
	Calls      int     `json:"calls"`
	Failed     int     `json:"failed,omitempty"` // function errors: their time counts as well
	MedianMS   float64 `json:"median_ms"`
	P95MS      float64 `json:"p95_ms"`
	BilledMS   float64 `json:"billed_ms"`   // on average
	InitMS     float64 `json:"init_ms"`     // of the cold start; 0: Lambda did not tell
	UsedMiB    int     `json:"used_mib"`    // at most
	PerMillion float64 `json:"per_million"` // dollars: requests and time
}

// Before is what the function is like, and is again afterwards.
func (t *Tuner) Before(ctx context.Context) (*lambda.GetFunctionConfigurationOutput, error) {
	out, err := t.Lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &t.Function})
	if err != nil {
		return nil, fmt.Errorf("look up function %s: %w", t.Function, err)
	}
	return out, nil
}

// restoreTime is how long putting the memory back may take after everything else was given up.
const restoreTime = 2 * time.Minute

// Run measures every size. Whatever happens, the function has its own memory again at the end,
// or the error says that it has not.
func (t *Tuner) Run(ctx context.Context, sizes []int) (all []Measured, err error) {
	before, err := t.Before(ctx)
	if err != nil {
		return nil, err
	}
	was := aws.ToInt32(before.MemorySize)
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime) // an interrupted run must not leave it changed
		defer cancel()
		if e := t.setMemory(ctx, was); e != nil {
			err = errors.Join(err, fmt.Errorf("function %s may not have its memory of %d MiB again: %w; set it with: aws lambda update-function-configuration --function-name %[1]s --memory-size %[2]d", t.Function, was, e))
		}
	}()
	arm := slices.Contains(before.Architectures, types.ArchitectureArm64)
	for i, size := range sizes {
		if err := t.setMemory(ctx, int32(size)); err != nil {
			return all, err
		}
		one, err := t.measure(ctx, size, i*(t.Calls+1), len(sizes)*(t.Calls+1), arm)
		if err != nil {
			return all, err
		}
		all = append(all, *one)
	}
	return all, nil
}

// setMemory changes $LATEST and waits until the change is in force.
func (t *Tuner) setMemory(ctx context.Context, size int32) error {
	_, err := t.Lambda.UpdateFunctionConfiguration(ctx, &lambda.UpdateFunctionConfigurationInput{FunctionName: &t.Function, MemorySize: &size})
	if err != nil {
		return fmt.Errorf("set the memory of %s to %d MiB: %w", t.Function, size, err)
	}
	return t.ready(ctx, "")
}

// ready waits until an update is through.
func (t *Tuner) ready(ctx context.Context, version string) error {
	pause := t.Pause
	if pause == 0 {
		pause = time.Second
	}
	for {
		in := &lambda.GetFunctionConfigurationInput{FunctionName: &t.Function}
		if version != "" {
			in.Qualifier = &version
		}
		out, err := t.Lambda.GetFunctionConfiguration(ctx, in)
		if err != nil {
			return fmt.Errorf("look whether %s is ready: %w", t.Function, err)
		}
		if out.LastUpdateStatus == types.LastUpdateStatusFailed || out.State == types.StateFailed {
			return fmt.Errorf("the change of %s failed: %s", t.Function, aws.ToString(out.LastUpdateStatusReason)+aws.ToString(out.StateReason))
		}
		if out.LastUpdateStatus != types.LastUpdateStatusInProgress && out.State != types.StatePending {
			return nil
		}
		timer := time.NewTimer(pause)
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		}
	}
}

func (t *Tuner) measure(ctx context.Context, size, done, total int, arm bool) (*Measured, error) {
	published, err := t.Lambda.PublishVersion(ctx, &lambda.PublishVersionInput{FunctionName: &t.Function, Description: aws.String("tapway tune")})
	if err != nil {
		return nil, fmt.Errorf("publish a version of %s to measure: %w", t.Function, err)
	}
	version := aws.ToString(published.Version)
	// An update without a change publishes no new version: then this one was there before us.
	ours := aws.ToString(published.Description) == "tapway tune"
	defer func() {
		if !ours || version == "" || version == "$LATEST" {
			return
		}
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
		defer cancel()
		_, _ = t.Lambda.DeleteFunction(ctx, &lambda.DeleteFunctionInput{FunctionName: &t.Function, Qualifier: &version}) // an old version costs nothing
	}()
	if err := t.ready(ctx, version); err != nil {
		return nil, err
	}
	m := &Measured{Memory: size, Calls: t.Calls}
	var took []float64
	for i := range t.Calls + 1 {
		out, err := t.Lambda.Invoke(ctx, &lambda.InvokeInput{FunctionName: &t.Function, Qualifier: &version, Payload: t.Event, LogType: types.LogTypeTail})
		if err != nil {
			return nil, fmt.Errorf("invoke %s at %d MiB: %w", t.Function, size, err)
		}
		log, err := base64.StdEncoding.DecodeString(aws.ToString(out.LogResult))
		if err != nil {
			return nil, fmt.Errorf("the log of %s: %w", t.Function, err)
		}
		r, err := ParseReport(string(log))
		if err != nil {
			return nil, fmt.Errorf("invoke %s at %d MiB: %w", t.Function, size, err)
		}
		if out.FunctionError != nil {
			m.Failed++
		}
		m.UsedMiB, m.InitMS = max(m.UsedMiB, r.UsedMiB), max(m.InitMS, r.InitMS)
		if i > 0 { // the first one starts the environment
			took = append(took, r.DurationMS)
			m.BilledMS += r.BilledMS / float64(t.Calls)
		}
		if t.Progress != nil {
			t.Progress(fmt.Sprintf("invoke at %d MiB", size), done+i+1, total)
		}
	}
	slices.Sort(took)
	m.MedianMS, m.P95MS = took[len(took)/2], took[(len(took)*95+99)/100-1]
	perGBs := t.Prices.LambdaX86
	if arm {
		perGBs = t.Prices.LambdaARM
	}
	m.PerMillion = t.Prices.LambdaRequests + 1e6*m.BilledMS/1000*float64(size)/1024*perGBs
	return m, nil
}

// Report is what Lambda tells of an invocation in the last line of its log.
type Report struct {
	DurationMS, BilledMS, InitMS float64
	UsedMiB                      int
}

var (
	reportText = regexp.MustCompile(`(Billed Duration|Init Duration|Duration|Max Memory Used): ([0-9.]+) (?:ms|MB)`)
	reportJSON = regexp.MustCompile(`"(billedDurationMs|initDurationMs|durationMs|maxMemoryUsedMB)" ?: ?([0-9.]+)`)
)

// ParseReport reads the REPORT line of a log's tail, which is text or, where the function logs
// JSON, a platform.report event.
func ParseReport(log string) (Report, error) {
	var r Report
	var found [][]string
	if i := strings.LastIndex(log, "REPORT RequestId:"); i >= 0 {
		found = reportText.FindAllStringSubmatch(log[i:], -1)
	} else if i := strings.LastIndex(log, `"platform.report"`); i >= 0 {
		found = reportJSON.FindAllStringSubmatch(log[i:], -1)
	}
	for _, m := range found {
		v, err := strconv.ParseFloat(m[2], 64)
		if err != nil {
			return r, fmt.Errorf("the report in its log: %w", err)
		}
		switch m[1] {
		case "Duration", "durationMs":
			r.DurationMS = v
		case "Billed Duration", "billedDurationMs":
			r.BilledMS = v
		case "Init Duration", "initDurationMs":
			r.InitMS = v
		default:
			r.UsedMiB = int(v)
		}
	}
	if r.BilledMS == 0 {
		return r, errors.New("its log has no report of how long it ran; does its role allow logging?")
	}
	return r, nil
}

// SampleEvent is a GET as a REST API sends it to its function.
func SampleEvent(api, stage, path string) []byte {
	text, err := json.Marshal(map[string]any{
		"resource": path, "path": path, "httpMethod": "GET",
		"headers": map[string]string{"Accept": "*/*", "User-Agent": "tapway-tune"}, "multiValueHeaders": map[string][]string{"Accept": {"*/*"}, "User-Agent": {"tapway-tune"}},
		"queryStringParameters": nil, "multiValueQueryStringParameters": nil, "pathParameters": nil, "stageVariables": nil, "body": nil, "isBase64Encoded": false,
		"requestContext": map[string]any{
			"apiId": api, "stage": stage, "resourcePath": path, "path": "/" + stage + path, "httpMethod": "GET", "resourceId": "tune", "protocol": "HTTP/1.1",
			"requestId": "tapway-tune", "accountId": "000000000000", "identity": map[string]any{"sourceIp": "127.0.0.1"},
		},
	})
	if err != nil {
		panic(err) // strings can be written as JSON
	}
	return text
}
