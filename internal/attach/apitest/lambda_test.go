package apitest_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/aws-sdk-go-v2/service/lambda/types"
)

func (w *world) permit(function, id, source string) error {
	_, err := w.fn.AddPermission(w.t.Context(), &lambda.AddPermissionInput{FunctionName: &function, StatementId: &id, Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("apigateway.amazonaws.com"), SourceArn: &source})
	return err
}

func TestPermissions(t *testing.T) {
	w := newWorld(t)
	arn := w.AddFunction("tap", true)
	get := func(name string) (string, error) {
		out, err := w.fn.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: &name})
		if err != nil {
			return "", err
		}
		return *out.Policy, nil
	}
	if _, err := get("tap"); !errors.As(err, new(*types.ResourceNotFoundException)) {
		t.Errorf("policy of a function without one: %v", err)
	}
	if err := w.permit(arn, "tapway-a", "arn:aws:execute-api:us-east-1:123456789012:a/*/*"); err != nil {
		t.Fatal(err)
	}
	if err := w.permit("tap", "tapway-a", "arn:aws:execute-api:us-east-1:123456789012:b/*/*"); !errors.As(err, new(*types.ResourceConflictException)) {
		t.Errorf("the same statement id again: %v", err)
	}
	text := ok[string](t)(get(arn))
	var policy struct{ Statement []map[string]any }
	if err := json.Unmarshal([]byte(text), &policy); err != nil || len(policy.Statement) != 1 {
		t.Fatalf("policy %s: %v", text, err)
	}
	if got := fmt.Sprint(policy.Statement[0]); got != "map[Action:lambda:InvokeFunction Condition:map[ArnLike:map[AWS:SourceArn:arn:aws:execute-api:us-east-1:123456789012:a/*/*]] Effect:Allow Principal:map[Service:apigateway.amazonaws.com] Resource:"+arn+" Sid:tapway-a]" {
		t.Error(got)
	}
	remove := &lambda.RemovePermissionInput{FunctionName: &arn, StatementId: aws.String("tapway-a")}
	ok[*lambda.RemovePermissionOutput](t)(w.fn.RemovePermission(t.Context(), remove))
	if _, err := w.fn.RemovePermission(t.Context(), remove); !errors.As(err, new(*types.ResourceNotFoundException)) {
		t.Errorf("second removal: %v", err)
	}
	if f := w.Function("tap"); len(f.Policies) != 0 {
		t.Errorf("policies left: %v", f.Policies)
	}
	if err := w.permit("nope", "a", "arn"); !errors.As(err, new(*types.ResourceNotFoundException)) {
		t.Errorf("no such function: %v", err)
	}
}

func TestPolicyHasALimit(t *testing.T) {
	w := newWorld(t)
	w.AddFunction("tap", false)
	n := 0
	var err error
	for ; err == nil && n < 200; n++ {
		err = w.permit("tap", fmt.Sprint("statement-", n), "arn:aws:execute-api:us-east-1:123456789012:a1b2c3/*/GET/"+strings.Repeat("x", 50))
	}
	if !errors.As(err, new(*types.PolicyLengthExceededException)) {
		t.Errorf("after %d statements: %v", n, err)
	}
	if out := ok[*lambda.GetPolicyOutput](t)(w.fn.GetPolicy(t.Context(), &lambda.GetPolicyInput{FunctionName: aws.String("tap")})); len(*out.Policy) > 20480 || len(*out.Policy) < 20000 {
		t.Errorf("the policy has %d bytes", len(*out.Policy))
	}
}

func TestFunctions(t *testing.T) {
	w := newWorld(t)
	arn := w.AddFunction("tap", true)
	w.AddFunction("other", false)
	f := ok[*lambda.GetFunctionOutput](t)(w.fn.GetFunction(t.Context(), &lambda.GetFunctionInput{FunctionName: &arn}))
	if *f.Configuration.FunctionArn != arn || f.Configuration.Runtime != types.RuntimeProvidedal2023 || *f.Configuration.Timeout != 30 {
		t.Errorf("%+v", f.Configuration)
	}
	url := ok[*lambda.GetFunctionUrlConfigOutput](t)(w.fn.GetFunctionUrlConfig(t.Context(), &lambda.GetFunctionUrlConfigInput{FunctionName: aws.String("tap")}))
	if !strings.HasPrefix(*url.FunctionUrl, "https://") || url.AuthType != types.FunctionUrlAuthTypeNone {
		t.Errorf("%+v", url)
	}
	if _, err := w.fn.GetFunctionUrlConfig(t.Context(), &lambda.GetFunctionUrlConfigInput{FunctionName: aws.String("other")}); !errors.As(err, new(*types.ResourceNotFoundException)) {
		t.Errorf("a URL that is not there: %v", err)
	}
	update := func(size int) error {
		_, err := w.fn.UpdateFunctionConfiguration(t.Context(), &lambda.UpdateFunctionConfigurationInput{FunctionName: &arn,
			Environment: &types.Environment{Variables: map[string]string{"A": strings.Repeat("x", size)}}})
		return err
	}
	if err := update(4096 - len(`{"A":""}`)); err != nil {
		t.Errorf("an environment of 4 KB: %v", err)
	}
	if err := update(4097 - len(`{"A":""}`)); !errors.As(err, new(*types.InvalidParameterValueException)) {
		t.Errorf("an environment of one byte more: %v", err)
	}
}

// TestResolveKnowsPermissions: without a permission API Gateway answers 500.
func TestResolveKnowsPermissions(t *testing.T) {
	for _, tt := range []struct {
		source string
		want   bool
	}{
		{"arn:aws:execute-api:us-east-1:123456789012:API/*/*", true},
		{"arn:aws:execute-api:us-east-1:123456789012:API/prod/GET/hello", true},
		{"arn:aws:execute-api:us-east-1:123456789012:API/test/GET/hello", false},
		{"arn:aws:execute-api:us-east-1:123456789012:API/prod/POST/hello", false},
		{"arn:aws:execute-api:us-east-1:123456789012:other/*/*", false},
		{"arn:aws:execute-api:us-east-1:123456789012:API", false},
	} {
		w := newWorld(t)
		api, route, _ := w.hello()
		if err := w.point(api, route, w.tapIntegration(api)); err != nil {
			t.Fatal(err)
		}
		ok[json.RawMessage](t)(w.Call("POST", "/v2/apis/"+api+"/stages", map[string]any{"stageName": "prod", "autoDeploy": true}))
		before, _ := w.Resolve(api, "prod", "GET", "/hello")
		if before.Problem == "" {
			t.Error("no permission, no problem?")
		}
		if err := w.permit("tap", "x", strings.ReplaceAll(tt.source, "API", api)); err != nil {
			t.Fatal(err)
		}
		if after, found := w.Resolve(api, "prod", "GET", "/hello"); !found || (after.Problem == "") != tt.want {
			t.Errorf("%s: %+v", tt.source, after)
		}
	}
}

func TestIDsAreUnique(t *testing.T) {
	w := newWorld(t)
	seen := map[string]bool{}
	r := rand.New(rand.NewPCG(9, 9))
	for range 5 {
		api := w.BuildREST(r, 100)
		for id := range w.REST(api).Resources {
			if seen[id] {
				t.Fatalf("id %s twice", id)
			}
			seen[id] = true
		}
	}
}
