package awsdynamo

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awsdynamo/dynamotest"
	"github.com/tapway/tapway/internal/mototest"
)

func client(url string) *Client {
	return New(aws.Config{Region: "eu-west-1", Credentials: aws.CredentialsProviderFunc(func(context.Context) (aws.Credentials, error) {
		return aws.Credentials{AccessKeyID: "AKID", SecretAccessKey: "aws-secret"}, nil
	})}, &url, "counters")
}

// startMoto is DynamoDB by somebody else: what the fake and we misunderstand alike, it may not.
func startMoto(t *testing.T) string {
	t.Helper()
	url := mototest.Start(t)
	in := map[string]any{
		"TableName": "counters", "BillingMode": "PAY_PER_REQUEST",
		"AttributeDefinitions": []map[string]string{{"AttributeName": Key, "AttributeType": "S"}},
		"KeySchema":            []map[string]string{{"AttributeName": Key, "KeyType": "HASH"}},
	}
	var out map[string]any
	if err := client(url).call(t.Context(), "CreateTable", in, &out, nil); err != nil {
		t.Fatal(err)
	}
	return url
}

// TestAdd: to the last that fits and no further, the same with the fake and with moto.
func TestAdd(t *testing.T) {
	fake := httptest.NewServer(new(dynamotest.Server))
	defer fake.Close()
	for name, url := range map[string]string{"fake": fake.URL, "moto": startMoto(t)} {
		t.Run(name, func(t *testing.T) {
			c, later := client(url), time.Now().Add(time.Hour)
			for i, tt := range []struct {
				id       string
				n, most  int64
				used     int64
				added    bool
				readsNow int64
			}{
				{"a", 3, -1, 0, false, 0}, // nothing fits
				{"a", 3, 0, 3, true, 3},
				{"a", 2, 2, 3, false, 3}, // one too many
				{"a", 2, 3, 5, true, 5},  // the last that fits
				{"a", -4, 1 << 62, 1, true, 1},
				{"b", 1, 5, 1, true, 1},
				{"é \"\\/1", 1, 5, 1, true, 1},
			} {
				used, added, err := c.Add(t.Context(), tt.id, tt.n, tt.most, later)
				if err != nil || used != tt.used || added != tt.added {
					t.Errorf("%d: %d %v %v", i, used, added, err)
				}
				if now, err := c.Read(t.Context(), tt.id); err != nil || now != tt.readsNow {
					t.Errorf("%d: it reads %d, %v", i, now, err)
				}
			}
			callers := 8
			if name == "moto" { // which looks at the condition and writes in two steps: two callers at once may both be let in
				callers = 1
			}
			var wg sync.WaitGroup
			var got atomic.Int64
			for range callers {
				wg.Go(func() {
					for range 80 / callers {
						if _, added, err := c.Add(t.Context(), "together", 3, 97, later); err != nil {
							t.Error(err)
						} else if added {
							got.Add(3)
						}
					}
				})
			}
			wg.Wait()
			if got.Load() != 99 {
				t.Errorf("together %d of 100, by threes", got.Load())
			}
		})
	}
}

// TestErrors: of each failure it is known whether the item may have changed.
func TestErrors(t *testing.T) {
	var answer atomic.Pointer[func(w http.ResponseWriter)]
	server := httptest.NewServer(&dynamotest.Server{Fault: func(w http.ResponseWriter, _ *http.Request) bool { (*answer.Load())(w); return true }})
	defer server.Close()
	gone := httptest.NewServer(nil)
	gone.Close()
	refuse := func(status int, text string) func(http.ResponseWriter) {
		return func(w http.ResponseWriter) { w.WriteHeader(status); io.WriteString(w, text) }
	}
	keyless := client(server.URL)
	keyless.config.Credentials = nil
	for i, tt := range []struct {
		c         *Client
		answer    func(http.ResponseWriter)
		code      string
		untouched bool
	}{
		{nil, refuse(400, `{"__type":"com.amazonaws.dynamodb.v20120810#ResourceNotFoundException","message":"no table"}`), "ResourceNotFoundException", true},
		{nil, refuse(403, `<html>`), "", true},
		{nil, refuse(500, `{"__type":"x#InternalServerError"}`), "InternalServerError", false},
		{nil, refuse(200, `{`), "", false},
		{nil, refuse(200, `{"Attributes":{"used":{"N":"many"}}}`), "", false},
		{nil, func(w http.ResponseWriter) { panic(http.ErrAbortHandler) }, "", false},
		{client(gone.URL), nil, "", true},
		{keyless, nil, "", true},
	} {
		c := tt.c
		if c == nil {
			c = client(server.URL)
		}
		answer.Store(&tt.answer)
		_, added, err := c.Add(t.Context(), "a", 1, 1, time.Now())
		var refused *Error
		if err == nil || added || Untouched(err) != tt.untouched || tt.code != "" && (!errors.As(err, &refused) || refused.Code != tt.code) {
			t.Errorf("%d: %v, untouched %v", i, err, Untouched(err))
		}
		if bytes.Contains([]byte(fmt.Sprint(err)), []byte("aws-secret")) {
			t.Errorf("%d: the secret is in the error", i)
		}
	}
}

func TestWhere(t *testing.T) {
	for region, want := range map[string]string{
		"eu-west-1": "https://dynamodb.eu-west-1.amazonaws.com/", "cn-north-1": "https://dynamodb.cn-north-1.amazonaws.com.cn/",
	} {
		if got := New(aws.Config{Region: region}, nil, "t").endpoint; got != want {
			t.Error(got)
		}
	}
}
