// Package awsdynamo makes the two calls of DynamoDB by which counters are shared: UpdateItem, to add to a
// number unless that would exceed a bound, and GetItem, to read it. There is no SDK client behind it, so the
// Lambda bootstrap stays small.
//
// What a newcomer gets wrong: a call is tried once. Adding is not idempotent, so whoever gets an error must
// know whether the item may have changed all the same: see [Untouched].
//
// The protocol: https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/Programming.LowLevelAPI.html.
package awsdynamo

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"

	"github.com/tapway/tapway/internal/awsbase"
	"github.com/tapway/tapway/internal/awssign"
)

// The attributes of an item. The table's only key is Key, a string; TTL is to be switched on for Expires.
const (
	Key     = "id"
	Used    = "used"
	Expires = "expires" // seconds since 1970
)

// maxAnswer is far above an item of three attributes.
const maxAnswer = 64 << 10

// Client calls DynamoDB for one table. It is safe for concurrent use.
type Client struct {
	Table string

	config   aws.Config
	endpoint string
	signer   awssign.Signer
	now      func() time.Time
}

// New makes a client of a table in cfg's region, at endpoint; nil is where AWS has it. Of cfg it takes the
// region, the credentials and the HTTP client; without one it is one with connections of its own.
func New(cfg aws.Config, endpoint *string, table string) *Client {
	c := &Client{Table: table, config: cfg, signer: awssign.Signer{Service: "dynamodb"}, now: time.Now, endpoint: "https://dynamodb." + cfg.Region + "." + awsbase.Domain(cfg.Region) + "/"}
	if endpoint != nil {
		c.endpoint = strings.TrimSuffix(*endpoint, "/") + "/"
	}
	if c.config.HTTPClient == nil {
		c.config.HTTPClient = awsbase.Client(newTransport())
	}
	return c
}

// newTransport forgets connections early: a function's that has slept are dead, and what is sent on them may
// or may not have arrived.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:               http.ProxyFromEnvironment,
		DialContext:         (&net.Dialer{Timeout: 3 * time.Second, KeepAlive: 15 * time.Second}).DialContext,
		TLSHandshakeTimeout: 3 * time.Second,
		MaxIdleConnsPerHost: 16,
		IdleConnTimeout:     20 * time.Second,
	}
}

// Error is DynamoDB's refusal of a call.
type Error struct {
	Operation string
	Status    int    // of the HTTP answer
	Code      string // "ConditionalCheckFailedException"; "" when it said none
	Message   string // DynamoDB's, perhaps ""
}

func (e *Error) Error() string {
	text := fmt.Sprintf("DynamoDB %s: status %d", e.Operation, e.Status)
	if e.Code != "" {
		text += ", " + e.Code
	}
	if e.Message != "" {
		text += ": " + e.Message
	}
	return text
}

// Untouched reports whether a call that gave err has certainly changed nothing: it did not reach DynamoDB, or
// was refused by it. After a time-out or a broken connection nobody knows.
func Untouched(err error) bool {
	var refused *Error
	if errors.As(err, &refused) {
		return refused.Status < http.StatusInternalServerError
	}
	var way *net.OpError
	var name *net.DNSError
	return errors.As(err, &name) || errors.As(err, &way) && way.Op == "dial" || errors.Is(err, errBefore)
}

// errBefore is wrapped by what fails before anything is sent.
var errBefore = errors.New("nothing was sent")

// value is a value of an attribute: S is a text, N a number.
type value struct {
	S string `json:",omitempty"`
	N string `json:",omitempty"`
}

func number(n int64) value { return value{N: strconv.FormatInt(n, 10)} }

type item map[string]value

func (i item) used() (int64, error) {
	v, ok := i[Used]
	if !ok {
		return 0, nil
	}
	n, err := strconv.ParseInt(v.N, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("the attribute %s is %q, no whole number", Used, v.N)
	}
	return n, nil
}

// Add adds n, which may be below 0, to the count of an item and gives what it is then. If it was above most
// before, or most is below 0, nothing is added and used is what it is. The item ends some time after expires.
func (c *Client) Add(ctx context.Context, id string, n, most int64, expires time.Time) (used int64, added bool, err error) {
	in := map[string]any{
		"TableName": c.Table, "Key": item{Key: {S: id}},
		"UpdateExpression":         "ADD #u :n SET #e = :e",
		"ConditionExpression":      "attribute_not_exists(#u) OR #u <= :m",
		"ExpressionAttributeNames": map[string]string{"#u": Used, "#e": Expires},
		"ExpressionAttributeValues": item{
			":n": number(n), ":m": number(most), ":e": number(expires.Unix()),
		},
		"ReturnValues": "UPDATED_NEW", "ReturnValuesOnConditionCheckFailure": "ALL_OLD",
	}
	if most < 0 { // a count that is not there yet is 0
		in["ConditionExpression"] = "#u <= :m"
	}
	var out struct{ Attributes item }
	var failed struct{ Item item }
	err = c.call(ctx, "UpdateItem", in, &out, &failed)
	var refused *Error
	if errors.As(err, &refused) && refused.Code == "ConditionalCheckFailedException" {
		used, err = failed.Item.used()
		return used, false, err
	}
	if err != nil {
		return 0, false, err
	}
	used, err = out.Attributes.used()
	return used, err == nil, err
}

// Read gives the count of an item; of one that is not there it is 0.
func (c *Client) Read(ctx context.Context, id string) (int64, error) {
	var out struct{ Item item }
	err := c.call(ctx, "GetItem", map[string]any{"TableName": c.Table, "Key": item{Key: {S: id}}, "ConsistentRead": true}, &out, nil)
	if err != nil {
		return 0, err
	}
	return out.Item.used()
}

// call makes one call and reads the answer into out, or a refusal also into failed.
func (c *Client) call(ctx context.Context, operation string, in, out, failed any) error {
	req, err := c.request(ctx, operation, in)
	if err != nil {
		return fmt.Errorf("DynamoDB %s: %w: %w", operation, errBefore, err)
	}
	resp, err := c.config.HTTPClient.Do(req)
	if err != nil {
		return fmt.Errorf("DynamoDB %s: %w", operation, err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	switch {
	case err != nil:
		return fmt.Errorf("DynamoDB %s: read the answer: %w", operation, err)
	case resp.StatusCode != http.StatusOK:
		if failed != nil {
			_ = json.Unmarshal(answer, failed) // a gateway on the way may answer with anything
		}
		return refusal(operation, resp, answer)
	case len(answer) > maxAnswer:
		return fmt.Errorf("DynamoDB %s: the answer has more than %d bytes", operation, maxAnswer)
	}
	if err := json.Unmarshal(answer, out); err != nil {
		return fmt.Errorf("DynamoDB %s: the answer is not understood: %w", operation, err)
	}
	return nil
}

// request makes a signed request.
func (c *Client) request(ctx context.Context, operation string, in any) (*http.Request, error) {
	if c.config.Credentials == nil {
		return nil, errors.New("there are no AWS credentials")
	}
	credentials, err := c.config.Credentials.Retrieve(ctx)
	if err != nil {
		return nil, fmt.Errorf("AWS credentials: %w", err)
	}
	body, err := json.Marshal(in)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, c.endpoint, bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.GetBody = nil // a transport must not send it twice: an addition would count twice
	req.Header.Set("Content-Type", "application/x-amz-json-1.0")
	req.Header.Set("X-Amz-Target", "DynamoDB_20120810."+operation)
	req.Header.Set("User-Agent", "tapway")
	c.signer.Sign(req, credentials, c.config.Region, c.now(), sha256.Sum256(body))
	return req, nil
}

// refusal reads an error: its name is in __type, behind a namespace.
func refusal(operation string, resp *http.Response, answer []byte) error {
	var said struct {
		Type    string `json:"__type"`
		Message string `json:"message"` // encoding/json takes "Message" as well
	}
	_ = json.Unmarshal(answer, &said)
	code := said.Type[strings.LastIndexByte(said.Type, '#')+1:]
	return &Error{Operation: operation, Status: resp.StatusCode, Code: code, Message: awsbase.Said(said.Message)}
}
