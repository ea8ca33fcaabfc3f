package route

import (
	"fmt"
	"strings"
	"testing"
)

func TestFunctionARN(t *testing.T) {
	const arn = "arn:aws:lambda:eu-west-1:123456789012:function:users"
	invoke := func(arn string) string {
		return "arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/" + arn + "/invocations"
	}
	for uri, want := range map[string]string{
		arn: arn, arn + ":live": arn + ":live", arn + ":$LATEST": arn + ":$LATEST", invoke(arn): arn, invoke(arn + ":7"): arn + ":7",
		strings.ReplaceAll(arn, "aws", "aws-cn"): strings.ReplaceAll(arn, "aws", "aws-cn"),
		"":                                       "",
		arn + ":a:b":                             "",
		arn + ":":                                "",
		strings.TrimSuffix(arn, "users"):         "",
		strings.ReplaceAll(arn, "users", "us/../ers"):                        "",
		strings.ReplaceAll(arn, "users", "us ers"):                           "",
		strings.ReplaceAll(arn, "users", "${x}"):                             "",
		strings.ReplaceAll(arn, "lambda", "sqs"):                             "",
		strings.ReplaceAll(arn, "eu-west-1", "evil.example.com"):             "",
		strings.ReplaceAll(arn, "eu-west-1", "x/@h"):                         "",
		strings.TrimSuffix(invoke(arn), "/invocations"):                      "",
		strings.ReplaceAll(invoke(arn), "/invo", "/response-streaming-invo"): "",
		"https://lambda.example.com":                                         "",
	} {
		got, err := FunctionARN(uri)
		if got != want || (err == nil) != (want != "") {
			t.Errorf("%s: %q, %v; want %q", uri, got, err, want)
		}
	}
}

func TestTapFunctions(t *testing.T) {
	const rest = `"type":"aws_proxy","httpMethod":"POST","uri":"arn:aws:apigateway:eu-west-1:lambda:path/2015-03-31/functions/arn:aws:lambda:eu-west-1:1:function:${stageVariables.f}/invocations"`
	const http = `"type":"aws_proxy","uri":"arn:aws:lambda:eu-west-1:1:function:users","payloadFormatVersion":"2.0"`
	for _, tt := range []struct {
		path, integration, want string // ": " and the function, or a part of the reason
	}{
		{"/a", rest, ": users"},
		{"/a", rest + `,"requestParameters":{"integration.request.header.x":"'ignored'"}`, ": users"},
		{"/a", rest + `,"credentials":"arn:aws:iam::1:role/api"`, ": users"},
		{"/a", rest + `,"credentials":"arn:aws:iam::*:user/*"`, "the caller's credentials"},
		{"/a", strings.Replace(rest, "POST", "GET", 1), "answers with 500"},
		{"/a", strings.Replace(rest, "stageVariables.f", "stageVariables.g", 1), `stage variable "g"`},
		{"/a", strings.Replace(rest, "/invocations", "/response-streaming-invocations", 1), "streams"},
		{"/a", rest + `,"responseTransferMode":"STREAM"`, "streams"},
		{"/a", rest + `,"contentHandling":"CONVERT_TO_TEXT"`, "contentHandling"},
		{"/a", strings.Replace(rest, "aws_proxy", "aws", 1), "it calls a Lambda function"},
		{"/a", http, ": users"},
		{"/$default", http, ": users"},
		{"/a", http + `,"requestParameters":{"overwrite:path":"/x"}`, "parameter mapping"},
		{"/a", `"type":"aws_proxy","integrationSubtype":"SQS-SendMessage","payloadFormatVersion":"1.0"`, "it calls an AWS service"},
	} {
		doc := fmt.Sprintf(`{"openapi":"3.0.1","paths":{%q:{"x-amazon-apigateway-any-method":{"x-amazon-apigateway-integration":{%s}}}}}`, tt.path, tt.integration)
		opts := OpenAPIOptions{StageVariables: map[string]string{"f": "users"}, Functions: true}
		d, err := ReadOpenAPI([]byte(doc), opts)
		if err != nil {
			t.Fatal(err)
		}
		op := d.Operations[0]
		got := op.Reason
		if op.Tappable {
			got = ": " + op.Function[strings.LastIndexByte(op.Function, ':')+1:]
		}
		if !strings.Contains(got, tt.want) {
			t.Errorf("%s: %s, want %s", tt.integration, got, tt.want)
		}
		table, err := NewTable(d.Routes())
		if err != nil {
			t.Fatal(err)
		}
		if r := table.Routes()[0]; (r.Function == "") == op.Tappable || (r.Unsupported == "") != op.Tappable {
			t.Errorf("%s: the route has %q, %q", tt.integration, r.Function, r.Unsupported)
		}
		opts.Functions = false // as on one machine
		if d, err := ReadOpenAPI([]byte(doc), opts); err != nil || d.Operations[0].Tappable {
			t.Errorf("%s: on one machine: %v", tt.integration, err)
		}
	}
}
