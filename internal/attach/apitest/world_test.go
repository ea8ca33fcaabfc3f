package apitest_test

import (
	"context"
	"errors"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
	"github.com/aws/smithy-go"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// world is a server with AWS's own clients in front of it.
type world struct {
	*apitest.Server
	t    *testing.T
	v1   *apigateway.Client
	v2   *apigatewayv2.Client
	fn   *lambda.Client
	conf aws.Config
}

func newWorld(t *testing.T) *world {
	s := apitest.New()
	w := &world{Server: s, t: t}
	w.connect("http://apitest.invalid", s.Client())
	return w
}

func (w *world) connect(endpoint string, client aws.HTTPClient) {
	w.conf = aws.Config{Region: w.Region, BaseEndpoint: aws.String(endpoint), HTTPClient: client,
		Retryer: func() aws.Retryer { return aws.NopRetryer{} },
		Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
			return aws.Credentials{AccessKeyID: "test", SecretAccessKey: "test"}, nil
		})}
	w.v1, w.v2, w.fn = apigateway.NewFromConfig(w.conf), apigatewayv2.NewFromConfig(w.conf), lambda.NewFromConfig(w.conf)
}

func ok[T any](t *testing.T) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

// code is AWS's code of an error, "" for none.
func code(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	if err != nil {
		return err.Error()
	}
	return ""
}
