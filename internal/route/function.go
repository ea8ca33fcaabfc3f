package route

import (
	"fmt"
	"strings"
)

// FunctionARN takes a Lambda function's ARN out of an integration's URI: a REST API's
// arn:aws:apigateway:REGION:lambda:path/2015-03-31/functions/ARN/invocations, or the ARN itself, as an HTTP API has it. A
// qualifier, of an alias or a version, stays.
func FunctionARN(uri string) (string, error) {
	arn := uri
	if _, path, ok := strings.Cut(uri, ":lambda:path/"); ok {
		_, rest, found := strings.Cut(path, "/functions/")
		if strings.HasSuffix(rest, "/response-streaming-invocations") {
			return "", fmt.Errorf("it streams the response of a Lambda function")
		}
		if arn, ok = strings.CutSuffix(rest, "/invocations"); !ok || !found {
			return "", fmt.Errorf("its URI does not name a Lambda function to invoke")
		}
	}
	p := strings.Split(arn, ":")
	if len(p) < 7 || len(p) > 8 || p[0] != "arn" || p[2] != "lambda" || p[5] != "function" {
		return "", fmt.Errorf("its URI does not name a Lambda function by its ARN")
	}
	for i, part := range p {
		plain := strings.Trim(part, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
		if part == "" || !plain && !(i == 7 && part == "$LATEST") {
			return "", fmt.Errorf("its URI does not name a Lambda function by its ARN")
		}
	}
	return arn, nil
}

// tapFunction makes op's route to a Lambda function, or says why calls cannot be led there with the event as it is.
func (r *reader) tapFunction(op *Operation, in *integrationObject) error {
	uri, err := expandStageVariables(in.URI, r.opts.StageVariables)
	if err != nil {
		return err
	}
	op.URI = uri
	arn, err := FunctionARN(uri)
	switch {
	case err != nil:
		return err
	case strings.EqualFold(in.ResponseTransferMode, "STREAM"):
		return fmt.Errorf("it streams the response of a Lambda function")
	case in.PayloadFormatVersion == nil && op.IntegrationMethod != "POST":
		return fmt.Errorf("it calls a Lambda function with %s, which API Gateway answers with 500", op.IntegrationMethod)
	case in.PayloadFormatVersion != nil && (len(in.RequestParameters) > 0 || len(in.ResponseParameters) > 0):
		return fmt.Errorf("it changes requests or responses by an HTTP API's parameter mapping")
	case in.ContentHandling != "":
		return fmt.Errorf("it converts the request body (contentHandling %s)", in.ContentHandling)
	case strings.Contains(in.Credentials, "*"):
		return fmt.Errorf("it calls a Lambda function with the caller's credentials")
	}
	op.Function, op.route.Function = arn, arn
	return nil
}
