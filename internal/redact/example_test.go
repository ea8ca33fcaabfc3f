package redact_test

import (
	"fmt"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/redact"
)

func Example() {
	r, err := redact.New(redact.Defaults().Merge(redact.Rules{JSON: []string{"$.users[*].email"}}))
	if err != nil {
		fmt.Println(err)
		return
	}
	ex := &tapway.Exchange{
		Meta:          tapway.Meta{Query: "page=2&access_token=abc"},
		RequestHeader: tapway.Header{{Name: "Authorization", Value: "Bearer abc"}},
		Response:      tapway.Body{Bytes: []byte(`{"users": [{"id": 7, "email": "janet@example.com"}], "token": "abc"}`)},
	}
	r.Apply(ex)
	fmt.Println(ex.Query)
	fmt.Println(ex.RequestHeader[0].Value)
	fmt.Println(string(ex.Response.Bytes))
	// Output:
	// page=2&access_token=[REDACTED]
	// [REDACTED]
	// {"users": [{"id": 7, "email": "[REDACTED]"}], "token": "[REDACTED]"}
}
