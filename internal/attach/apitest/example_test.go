package apitest_test

import (
	"context"
	"fmt"
	"net/http"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"

	"github.com/tapway/tapway/internal/attach/apitest"
)

// A test gives the server to AWS's own client, and decides what goes wrong.
func Example() {
	s := apitest.New()
	client := apigateway.New(apigateway.Options{Region: s.Region, HTTPClient: s.Client(), BaseEndpoint: aws.String("http://apitest.invalid"),
		Credentials: aws.AnonymousCredentials{}, Retryer: aws.NopRetryer{}})
	s.Before = func(op string, r *http.Request) *apitest.Fault {
		if op == "CreateRestApi" {
			return apitest.Lost // it is made, but the client never hears of it
		}
		return nil
	}
	_, err := client.CreateRestApi(context.Background(), &apigateway.CreateRestApiInput{Name: aws.String("pets")})
	list, _ := client.GetRestApis(context.Background(), &apigateway.GetRestApisInput{})
	fmt.Println(err != nil, *list.Items[0].Name, s.Count("CreateRestApi"))
	// Output: true pets 1
}
