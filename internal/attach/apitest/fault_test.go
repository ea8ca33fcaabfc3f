package apitest_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/aws/ratelimit"
	"github.com/aws/aws-sdk-go-v2/aws/retry"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// TestFaults: a call that is cut, refused or broken has no effect; one whose answer is lost
// has. In process and over a connection.
func TestFaults(t *testing.T) {
	for _, network := range []bool{false, true} {
		for name, tt := range map[string]struct {
			fault  *apitest.Fault
			code   string
			effect bool
		}{
			"none":       {nil, "", true},
			"cut":        {apitest.Cut, "*", false},
			"lost":       {apitest.Lost, "*", true},
			"refused":    {apitest.Refused, "AccessDeniedException", false},
			"broken":     {apitest.Broken, "InternalFailure", false},
			"throttled":  {apitest.Throttled, "TooManyRequestsException", false},
			"concurrent": {apitest.Concurrent, "ConflictException", false},
		} {
			t.Run(fmt.Sprintf("%s/network=%v", name, network), func(t *testing.T) {
				w := newWorld(t)
				api, resource := w.pets()
				if network {
					server := httptest.NewServer(w.Server)
					t.Cleanup(server.Close)
					w.connect(server.URL, server.Client())
				}
				w.Forget()
				w.Before = func(op string, r *http.Request) *apitest.Fault {
					if op == "UpdateIntegration" {
						return tt.fault
					}
					return nil
				}
				_, err := w.v1.UpdateIntegration(t.Context(), &apigateway.UpdateIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET"),
					PatchOperations: []types.PatchOperation{op("replace", "/uri", "https://new")}})
				if got := code(err); got != tt.code && (tt.code != "*" || err == nil) {
					t.Errorf("error %v, want %s", err, tt.code)
				}
				if got := w.REST(api).Method("GET", "/pets/{id}").Integration.URI == "https://new"; got != tt.effect {
					t.Errorf("took effect: %v", got)
				}
				if n := w.Count("UpdateIntegration"); n != 1 || w.Count("") != 1 || !w.Calls()[0].Changes() {
					t.Errorf("%d calls counted: %+v", n, w.Calls())
				}
			})
		}
	}
}

func TestFailNth(t *testing.T) {
	for _, once := range []bool{true, false} {
		w := newWorld(t)
		w.Before = apitest.FailNth(2, apitest.Refused, once)
		var got []bool
		for range 4 {
			_, err := w.v1.GetRestApis(t.Context(), &apigateway.GetRestApisInput{})
			got = append(got, err == nil)
		}
		if want := fmt.Sprint([]bool{true, false, once, once}); fmt.Sprint(got) != want {
			t.Errorf("once %v: %v, want %s", once, got, want)
		}
	}
}

// TestSomebodyElse edits the API between two calls of a client, from within Before.
func TestSomebodyElse(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	w.Before = func(op string, r *http.Request) *apitest.Fault {
		body, err := io.ReadAll(r.Body)
		if err != nil || op != "CreateDeployment" {
			return nil
		}
		if !strings.Contains(string(body), "prod") {
			t.Errorf("Before sees the body %q", body)
		}
		if _, err := w.Call("PATCH", "/restapis/"+api+"/resources/"+resource+"/methods/GET/integration",
			map[string]any{"patchOperations": []map[string]string{{"op": "replace", "path": "/uri", "value": "https://theirs"}}}); err != nil {
			t.Error(err)
		}
		return nil
	}
	w.Forget()
	ok[*apigateway.CreateDeploymentOutput](t)(w.v1.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod")}))
	if target, _ := w.Resolve(api, "prod", "GET", "/pets/1"); target.URI != "https://theirs" {
		t.Errorf("%+v", target)
	}
	if n := w.Count(""); n != 1 {
		t.Errorf("%d calls, want the client's only", n)
	}
	_, err := w.Call("GET", "/restapis/nope", nil)
	var e *apitest.Error
	if !errors.As(err, &e) || e.Status != 404 || e.Code != "NotFoundException" || !strings.Contains(e.Message, "Invalid API identifier") {
		t.Errorf("a failed Call: %v", err)
	}
}

// TestRates is a story of a bucket: full, empty, one token later.
func TestRates(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		api, _ := w.pets()
		w.Limits = map[string]apitest.Rate{"": {10, 4}, "CreateDeployment": {0.2, 1}}
		deploy := func() string {
			_, err := w.v1.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod")})
			return code(err)
		}
		list := func() string {
			_, err := w.v1.GetRestApis(t.Context(), &apigateway.GetRestApisInput{})
			return code(err)
		}
		const no = "TooManyRequestsException"
		for i, step := range []struct {
			wait time.Duration
			call func() string
			want string
		}{
			{0, deploy, ""}, {0, deploy, no}, {0, list, ""}, {0, list, ""}, {0, list, ""}, {0, list, no},
			{99 * time.Millisecond, list, no}, {time.Millisecond, list, ""}, {0, list, no},
			{4899 * time.Millisecond, deploy, no}, {time.Millisecond, deploy, ""},
			{time.Hour, list, ""}, {0, list, ""}, {0, list, ""}, {0, list, ""}, {0, list, no},
		} {
			time.Sleep(step.wait)
			if got := step.call(); got != step.want {
				t.Errorf("step %d: %q, want %q", i, got, step.want)
			}
		}
		if _, err := w.Deploy(api, "prod"); err != nil {
			t.Errorf("somebody else is limited: %v", err)
		}
		w.AddFunction("f", false)
		if err := w.permit("f", "x", "arn"); err != nil {
			t.Errorf("Lambda is limited: %v", err)
		}
	})
}

// TestClientWaits: the SDK's own retries get through documented limits, in the bubble's time.
func TestClientWaits(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(t)
		api, _ := w.pets()
		w.Limits = apitest.DocumentedLimits()
		patient := apigateway.NewFromConfig(w.conf, func(o *apigateway.Options) {
			o.Retryer = retry.NewStandard(func(o *retry.StandardOptions) { o.MaxAttempts = 20; o.RateLimiter = ratelimit.None })
		})
		start := time.Now()
		for range 3 {
			ok[*apigateway.CreateDeploymentOutput](t)(patient.CreateDeployment(t.Context(), &apigateway.CreateDeploymentInput{RestApiId: &api, StageName: aws.String("prod")}))
		}
		if d := time.Since(start); d < 10*time.Second {
			t.Errorf("three deployments in %v", d)
		}
		if w.Count("CreateDeployment") <= 3 {
			t.Error("no call was repeated")
		}
	})
}

func TestManyClients(t *testing.T) {
	w := newWorld(t)
	api, resource := w.pets()
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			for range 20 {
				_, err := w.v1.UpdateIntegration(context.Background(), &apigateway.UpdateIntegrationInput{RestApiId: &api, ResourceId: &resource, HttpMethod: aws.String("GET"),
					PatchOperations: []types.PatchOperation{op("replace", "/uri", fmt.Sprint("https://", i))}})
				if err != nil {
					t.Error(err)
				}
				w.Dump()
				w.Resolve(api, "prod", "GET", "/pets/1")
			}
		})
	}
	wg.Wait()
	if n := w.Count("UpdateIntegration"); n != 160 {
		t.Errorf("%d calls", n)
	}
}

func TestCancelled(t *testing.T) {
	w := newWorld(t)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := w.v1.GetRestApis(ctx, &apigateway.GetRestApisInput{}); err == nil || w.Count("") != 0 {
		t.Errorf("a cancelled call arrived: %v", err)
	}
}
