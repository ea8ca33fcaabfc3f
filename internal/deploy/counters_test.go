package deploy

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

// counted reads a tapway.yaml and gives what the module gets of it.
func counted(t *testing.T, text string) (s *Settings, variables string) {
	t.Helper()
	s, err := ReadSettings("tapway.yaml", []byte(text), "http://a")
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	stack := &Stack{Project: "shop", Region: "eu-west-1", Account: "123456789012", Settings: s}
	raw, err := stack.variables()
	if err != nil {
		t.Fatal(err)
	}
	var v struct {
		Tapway struct {
			Shared   bool            `json:"shared_counters"`
			Calls    json.RawMessage `json:"daily_calls"`
			Cost     json.RawMessage `json:"daily_cost"`
			Settings struct {
				Access struct{ Counters string }
				Limits any
			}
		}
	}
	if err := json.Unmarshal(raw, &v); err != nil {
		t.Fatal(err)
	}
	if v.Tapway.Settings.Limits != nil {
		t.Errorf("%s: limits of one machine go to the functions: %v", text, v.Tapway.Settings.Limits)
	}
	return s, strings.TrimSpace(fmt.Sprintf("%t %s %s %s", v.Tapway.Shared, v.Tapway.Calls, v.Tapway.Cost, v.Tapway.Settings.Access.Counters))
}

// TestCounting: what is counted on functions has a place to be counted in, or they would not start.
func TestCounting(t *testing.T) {
	const plan = "usage_plans: [{name: free, quota: {limit: 10, period: DAY}}], api_keys: [{name: k, value: 0123456789012345678901234, plan: free}]"
	for _, tt := range []struct {
		text, variables string
		makes           bool
	}{
		{"", "false 0 0", false},
		{"limits: {connections: 5}", "false 0 0", false},
		{"limits: {connections: 5, daily_calls: 1000}", "true 1000 0", true},
		{"limits: {daily_cost: 0.5}", "true 0 0.5", true},
		{"limits: {daily_cost: 0.01}\naccess: {counters: auto}", "true 0 0.01 auto", true},
		{"access: {" + plan + "}", "true 0 0", true},
		{"access: {counters: local, " + plan + "}\nlimits: {daily_calls: 3}", "false 3 0 local", false},
		{"access: {counters: \"dynamodb://mine/shop\"}\nlimits: {daily_calls: 3}", "false 3 0 dynamodb://mine/shop", false},
		{"access: {counters: \"dynamodb://shop-counters/a\"}\nlimits: {daily_calls: 3}", "false 3 0 dynamodb://shop-counters/a", true},
		{"limits: {calls: \"${CALLS}\"}", "false 0 0", false},
	} {
		s, variables := counted(t, tt.text)
		if variables != tt.variables || s.MakesTable("shop") != tt.makes {
			t.Errorf("%s: %s, a table %t", tt.text, variables, s.MakesTable("shop"))
		}
	}
	root := (&Stack{Settings: &Settings{}}).root()
	for _, name := range []string{"shared_counters", "daily_calls", "daily_cost"} {
		if !strings.Contains(root, name+" = var.tapway."+name) {
			t.Errorf("the root module does not pass %s on:\n%s", name, root)
		}
	}
}

func TestCountingRefused(t *testing.T) {
	for text, says := range map[string]string{
		"limits: {daily_calls: -1}":                "limits.daily_calls: \"-1\" is not a whole number from 0 up",
		"limits: {daily_calls: many}":              "limits.daily_calls",
		"limits: {daily_cals: 5}":                  "limits.daily_cals: unknown key",
		"limits: 5":                                "limits: ",
		"limits: {daily_cost: 0.009}":              "from 0.01 up",
		"limits: {daily_cost: -1}":                 "is no cost of a day",
		"limits: {daily_cost: .nan}":               "is not a number",
		"limits: {daily_calls: \"${N}\"}":          "the environment variable N is not set; the functions do not have this machine's environment",
		"limits: {daily_calls: \"${aws-ssm:/n}\"}": "limits.daily_calls: ",
		"access: {counters: \"${aws-ssm:/n}\"}":    "access.counters: Terraform has to know it",
		"access: {counters: \"redis://a\"}":        `access.counters: "redis://a" is no place for counters`,
		"access: {counters: \"dynamodb://ab\"}":    "does not name a DynamoDB table",
	} {
		if _, err := ReadSettings("tapway.yaml", []byte(text), "http://a"); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v\nwant %s", text, err, says)
		}
	}
}

// TestCountingInVPC: without a way to DynamoDB calls would be served uncounted.
func TestCountingInVPC(t *testing.T) {
	for vpc, warned := range map[string]bool{
		"egress: [{to: pl-1, description: S3}]":                                                 true,
		"egress: [{to: pl-1, description: S3}, {to: pl-2, description: DynamoDB}]":              false,
		"egress: [{to: 0.0.0.0/0}]":                                                             false,
		"egress: [{to: 10.0.0.0/8}], security_groups: [sg-1]":                                   false,
		"egress: [{to: 10.0.0.0/8, description: nothing}, {to: pl-3, description: interfaces}]": true,
	} {
		for limits, counts := range map[string]bool{"": false, "limits: {daily_calls: 5}\n": true} {
			s, err := ReadSettings("tapway.yaml", []byte(limits+"aws: {vpc: {subnets: [subnet-1], "+vpc+"}}"), "http://a")
			if err != nil {
				t.Fatal(err)
			}
			if got := len(s.Warnings) == 1; got != (warned && counts) {
				t.Errorf("%s%s: %q", limits, vpc, s.Warnings)
			}
		}
	}
}

// TestEmulated: an emulator of DynamoDB alone leaves the queues on AWS their policies.
func TestEmulated(t *testing.T) {
	for _, tt := range []struct {
		name, url           string
		emulated, pathStyle bool
	}{
		{"AWS_ENDPOINT_URL", "http://127.0.0.1:5000", true, true},
		{"AWS_ENDPOINT_URL", "https://aws.example.com", false, true},
		{"AWS_ENDPOINT_URL_SQS", "http://localhost:9324", true, false},
		{"AWS_ENDPOINT_URL_DYNAMODB", "http://localhost:8000", false, false},
	} {
		emulated, pathStyle := Emulated(func(name string) string { return map[string]string{tt.name: tt.url}[name] })
		if emulated != tt.emulated || pathStyle != tt.pathStyle {
			t.Errorf("%s=%s: %t, %t", tt.name, tt.url, emulated, pathStyle)
		}
	}
}

// TestCountersPolicy: who deploys must be allowed to make the table, where there is one.
func TestCountersPolicy(t *testing.T) {
	for _, counters := range []bool{false, true} {
		text, err := Policy(PolicyFor{Project: "shop", Region: "eu-west-1", Counters: counters})
		if err != nil {
			t.Fatal(err)
		}
		for _, part := range []string{"dynamodb:CreateTable", "dynamodb:DescribeContinuousBackups", "arn:aws:dynamodb:eu-west-1:*:table/shop-counters"} {
			if strings.Contains(text, part) != counters {
				t.Errorf("counters %t: %s in the policy: %t", counters, part, !counters)
			}
		}
	}
}
