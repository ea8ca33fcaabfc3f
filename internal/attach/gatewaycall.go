package attach

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"

	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/smithy-go"
	"github.com/aws/smithy-go/middleware"
	smithyhttp "github.com/aws/smithy-go/transport/http"
)

// ask makes one call of API Gateway's management API, of either version, by its path. Unlike the
// SDK's own calls it sends and gives back all there is, settings that the SDK does not know
// included, so that what was read can be written. Endpoint, signature, pace and retries are
// those of the REST client. segments are escaped; query may be nil, and body for none.
func (c *Clients) ask(ctx context.Context, verb string, segments []string, query url.Values, body any) (json.RawMessage, error) {
	call := &plainCall{verb: verb, query: query.Encode()}
	for _, s := range segments {
		call.path += "/" + s
		call.escaped += "/" + strings.ReplaceAll(url.QueryEscape(s), "+", "%20")
	}
	if body != nil {
		call.body = compact(body)
	}
	_, err := c.REST.GetAccount(ctx, &apigateway.GetAccountInput{}, func(o *apigateway.Options) {
		o.APIOptions = append(o.APIOptions[:len(o.APIOptions):len(o.APIOptions)], call.add)
	})
	if err != nil {
		// The name of the operation is what failed() makes the missing permission of.
		name := map[string]string{http.MethodGet: "Get", http.MethodPut: "Put", http.MethodPost: "Create", http.MethodPatch: "Update", http.MethodDelete: "Delete"}[verb]
		return nil, &smithy.OperationError{ServiceID: "API Gateway", OperationName: name + " " + call.path, Err: err}
	}
	return call.answer, nil
}

// plainCall takes the place of an operation's serializer and deserializer.
type plainCall struct {
	verb, path, escaped, query string
	body                       []byte
	answer                     json.RawMessage
}

func (p *plainCall) add(s *middleware.Stack) error {
	if _, err := s.Serialize.Swap("OperationSerializer", middleware.SerializeMiddlewareFunc("OperationSerializer", p.serialize)); err != nil {
		return err
	}
	_, err := s.Deserialize.Swap("OperationDeserializer", middleware.DeserializeMiddlewareFunc("OperationDeserializer", p.deserialize))
	return err
}

func (p *plainCall) serialize(ctx context.Context, in middleware.SerializeInput, next middleware.SerializeHandler) (middleware.SerializeOutput, middleware.Metadata, error) {
	r, ok := in.Request.(*smithyhttp.Request)
	if !ok {
		return middleware.SerializeOutput{}, middleware.Metadata{}, fmt.Errorf("unknown transport %T", in.Request)
	}
	r.Method, r.URL.Path, r.URL.RawPath, r.URL.RawQuery = p.verb, p.path, p.escaped, p.query
	if p.body != nil {
		var err error
		if r, err = r.SetStream(bytes.NewReader(p.body)); err != nil {
			return middleware.SerializeOutput{}, middleware.Metadata{}, err
		}
		r.Header.Set("Content-Type", "application/json")
	}
	in.Request = r
	return next.HandleSerialize(ctx, in)
}

func (p *plainCall) deserialize(ctx context.Context, in middleware.DeserializeInput, next middleware.DeserializeHandler) (middleware.DeserializeOutput, middleware.Metadata, error) {
	out, meta, err := next.HandleDeserialize(ctx, in)
	if err != nil {
		return out, meta, err
	}
	res, ok := out.RawResponse.(*smithyhttp.Response)
	if !ok {
		return out, meta, fmt.Errorf("unknown transport %T", out.RawResponse)
	}
	text, err := io.ReadAll(http.MaxBytesReader(nil, res.Body, maxAnswer))
	if err != nil {
		return out, meta, fmt.Errorf("read the answer: %w", err)
	}
	if res.StatusCode >= 300 {
		return out, meta, refusal(res, text)
	}
	p.answer, out.Result = text, &apigateway.GetAccountOutput{}
	return out, meta, nil
}

// refusal is AWS's error of an answer (restJson1): the code in a header, or in the body.
func refusal(res *smithyhttp.Response, text []byte) error {
	var body struct {
		Code    string `json:"__type"`
		Message string `json:"message"` // "Message" too: names of members are matched in any case
	}
	_ = json.Unmarshal(text, &body) // an answer that is no JSON is shown by its status
	code := res.Header.Get("X-Amzn-Errortype")
	if code == "" {
		code = body.Code
	}
	code, _, _ = strings.Cut(code, ":")
	if _, after, ok := strings.Cut(code, "#"); ok {
		code = after
	}
	if code == "" {
		code = http.StatusText(res.StatusCode)
	}
	e := &smithy.GenericAPIError{Code: code, Message: body.Message, Fault: smithy.FaultClient}
	if res.StatusCode >= 500 {
		e.Fault = smithy.FaultServer
	}
	return e
}

// list reads all pages of a list, each thing as AWS sent it.
func (c *Clients) list(ctx context.Context, segments ...string) ([]json.RawMessage, error) {
	all := []json.RawMessage{}
	query := url.Values{}
	next := "position"
	if segments[0] == "v2" {
		next = "nextToken"
	} else {
		query.Set("limit", "500")
	}
	for {
		text, err := c.ask(ctx, http.MethodGet, segments, query, nil)
		if err != nil {
			return nil, err
		}
		var page struct {
			Item      []json.RawMessage `json:"item"`
			Items     []json.RawMessage `json:"items"`
			Position  string            `json:"position"`
			NextToken string            `json:"nextToken"`
		}
		if err := json.Unmarshal(text, &page); err != nil {
			return nil, fmt.Errorf("read %s: %w", strings.Join(segments, "/"), err)
		}
		all = append(append(all, page.Item...), page.Items...)
		if page.Position+page.NextToken == "" {
			return all, nil
		}
		query.Set(next, page.Position+page.NextToken)
	}
}
