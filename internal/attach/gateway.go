package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigateway/types"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	typesv2 "github.com/aws/aws-sdk-go-v2/service/apigatewayv2/types"
)

// restIntegration is an integration of a REST API, all 17 settings of it.
type restIntegration struct {
	Type                 string
	HTTPMethod           *string `json:"httpMethod"`
	URI                  *string `json:"uri"`
	ConnectionType       string
	ConnectionID         *string `json:"connectionId"`
	Credentials          *string
	RequestParameters    map[string]string
	RequestTemplates     map[string]string
	PassthroughBehavior  *string
	ContentHandling      string
	TimeoutInMillis      *int32
	CacheNamespace       *string
	CacheKeyParameters   []string
	IntegrationResponses map[string]restResponse
	TLSConfig            *struct{ InsecureSkipVerification bool } `json:"tlsConfig"`
	ResponseTransferMode string
	IntegrationTarget    *string
}

type restResponse struct {
	StatusCode         string
	SelectionPattern   *string
	ResponseParameters map[string]string
	ResponseTemplates  map[string]string
	ContentHandling    string
}

// putIntegration makes a method's integration what raw says, responses included. What is
// there is wiped.
func (c *Clients) putIntegration(ctx context.Context, api string, ch *Change, raw json.RawMessage) error {
	var in restIntegration
	if err := json.Unmarshal(raw, &in); err != nil {
		return fmt.Errorf("read the integration to put: %w", err)
	}
	put := &apigateway.PutIntegrationInput{
		RestApiId: &api, ResourceId: &ch.ResourceID, HttpMethod: &ch.Method,
		Type: types.IntegrationType(in.Type), IntegrationHttpMethod: in.HTTPMethod, Uri: in.URI,
		ConnectionType: types.ConnectionType(in.ConnectionType), ConnectionId: in.ConnectionID, Credentials: in.Credentials,
		RequestParameters: in.RequestParameters, RequestTemplates: in.RequestTemplates, PassthroughBehavior: in.PassthroughBehavior,
		ContentHandling: types.ContentHandlingStrategy(in.ContentHandling), TimeoutInMillis: in.TimeoutInMillis,
		CacheNamespace: in.CacheNamespace, CacheKeyParameters: in.CacheKeyParameters,
		ResponseTransferMode: types.ResponseTransferMode(in.ResponseTransferMode), IntegrationTarget: in.IntegrationTarget,
	}
	if in.TLSConfig != nil {
		put.TlsConfig = &types.TlsConfig{InsecureSkipVerification: in.TLSConfig.InsecureSkipVerification}
	}
	if _, err := c.REST.PutIntegration(ctx, put); err != nil {
		return err
	}
	for _, status := range slices.Sorted(maps.Keys(in.IntegrationResponses)) {
		r := in.IntegrationResponses[status]
		if _, err := c.REST.PutIntegrationResponse(ctx, &apigateway.PutIntegrationResponseInput{
			RestApiId: &api, ResourceId: &ch.ResourceID, HttpMethod: &ch.Method, StatusCode: &status,
			SelectionPattern: r.SelectionPattern, ResponseParameters: r.ResponseParameters, ResponseTemplates: r.ResponseTemplates,
			ContentHandling: types.ContentHandlingStrategy(r.ContentHandling),
		}); err != nil {
			return err
		}
	}
	return nil
}

// patchIntegration changes URI and request parameters in one call, to what raw has of them.
func (c *Clients) patchIntegration(ctx context.Context, api string, ch *Change, now, raw json.RawMessage) error {
	var is, want restIntegration
	if err := json.Unmarshal(now, &is); err != nil {
		return fmt.Errorf("read the integration: %w", err)
	}
	if err := json.Unmarshal(raw, &want); err != nil {
		return fmt.Errorf("read the integration to put: %w", err)
	}
	ops := []types.PatchOperation{{Op: types.OpReplace, Path: aws.String("/uri"), Value: want.URI}}
	for _, name := range slices.Sorted(maps.Keys(want.RequestParameters)) {
		op := types.OpAdd
		if old, there := is.RequestParameters[name]; there {
			if op = types.OpReplace; old == want.RequestParameters[name] {
				continue
			}
		}
		ops = append(ops, types.PatchOperation{Op: op, Path: aws.String("/requestParameters/" + pointer(name)), Value: aws.String(want.RequestParameters[name])})
	}
	for _, name := range slices.Sorted(maps.Keys(is.RequestParameters)) {
		if _, keep := want.RequestParameters[name]; !keep {
			ops = append(ops, types.PatchOperation{Op: types.OpRemove, Path: aws.String("/requestParameters/" + pointer(name))})
		}
	}
	_, err := c.REST.UpdateIntegration(ctx, &apigateway.UpdateIntegrationInput{RestApiId: &api, ResourceId: &ch.ResourceID, HttpMethod: &ch.Method, PatchOperations: ops})
	return err
}

// pointer escapes a name in a JSON pointer (RFC 6901 §3).
func pointer(name string) string {
	return strings.NewReplacer("~", "~0", "/", "~1").Replace(name)
}

// set makes a route what it is to be, from what it is now, and looks when AWS is in doubt.
func (c *Clients) set(ctx context.Context, st *State, ch *Change, now json.RawMessage, want verdict) error {
	a := st.Before
	to := ch.Before
	if want == asAfter {
		to = ch.After
	}
	var err error
	switch {
	case a.Kind == HTTP:
		target := targetOf(ch.Before)
		if want == asAfter {
			target = "integrations/" + st.Integrations[ch.Integration]
		}
		_, err = c.HTTP.UpdateRoute(ctx, &apigatewayv2.UpdateRouteInput{ApiId: &a.ID, RouteId: &ch.RouteID, Target: &target})
	case st.Plan.byURL() && ours(st, ch, now):
		err = c.patchIntegration(ctx, a.ID, ch, now, to)
	default:
		err = c.putIntegration(ctx, a.ID, ch, to)
	}
	if err == nil {
		return nil
	}
	if is, lookErr := c.lookAt(ctx, a, ch); lookErr == nil {
		if v, judgeErr := st.judge(ch, is); judgeErr == nil && v == want {
			return nil
		}
	}
	return failed("change "+ch.Route, err)
}

func (p *Plan) byURL() bool { return strings.HasPrefix(p.Via, "url:") }

// ours tells that a route is as before or as after, so that the patch between them will do.
func ours(st *State, ch *Change, now json.RawMessage) bool {
	v, err := st.judge(ch, now)
	return err == nil && (v == asBefore || v == asAfter)
}

// lookAt reads one route, in the form of a change's Before.
func (c *Clients) lookAt(ctx context.Context, a *API, ch *Change) (json.RawMessage, error) {
	var raw []byte
	if a.Kind == HTTP {
		out, err := c.HTTP.GetRoute(ctx, &apigatewayv2.GetRouteInput{ApiId: &a.ID, RouteId: &ch.RouteID})
		if err != nil {
			return nil, err
		}
		return compact(map[string]any{"target": aws.ToString(out.Target)}), nil
	}
	_, err := c.REST.GetIntegration(withRaw(ctx, &raw), &apigateway.GetIntegrationInput{RestApiId: &a.ID, ResourceId: &ch.ResourceID, HttpMethod: &ch.Method})
	return raw, err
}

// createIntegration makes an HTTP API's new integration and gives its id.
func (c *Clients) createIntegration(ctx context.Context, api, description string, spec json.RawMessage) (string, error) {
	var in httpIntegration
	if err := json.Unmarshal(spec, &in); err != nil {
		return "", fmt.Errorf("read the integration to make: %w", err)
	}
	optional := func(s string) *string {
		if s == "" {
			return nil
		}
		return &s
	}
	var timeout *int32
	if in.Timeout > 0 {
		timeout = &in.Timeout
	}
	out, err := c.HTTP.CreateIntegration(ctx, &apigatewayv2.CreateIntegrationInput{
		ApiId: &api, Description: &description, IntegrationType: typesv2.IntegrationType(in.Type), IntegrationUri: optional(in.URI),
		IntegrationMethod: optional(in.Method), ConnectionType: typesv2.ConnectionType(in.ConnectionType), ConnectionId: optional(in.ConnectionID),
		CredentialsArn: optional(in.Credentials), PayloadFormatVersion: optional(in.PayloadFormat), TimeoutInMillis: timeout,
		RequestParameters: in.RequestParameters, ResponseParameters: in.ResponseParameters,
	})
	if err != nil {
		return "", err
	}
	return aws.ToString(out.IntegrationId), nil
}

// tag sets the tag that says where the state lies; "" takes it away.
func (c *Clients) tag(ctx context.Context, a *API, location string) error {
	kind := "restapis"
	if a.Kind == HTTP {
		kind = "apis"
	}
	arn := fmt.Sprintf("arn:%s:apigateway:%s::/%s/%s", partition(a.Region), a.Region, kind, a.ID)
	tags, keys := map[string]string{TagState: location}, []string{TagState}
	var err error
	switch {
	case a.Kind == REST && location != "":
		_, err = c.REST.TagResource(ctx, &apigateway.TagResourceInput{ResourceArn: &arn, Tags: tags})
	case a.Kind == REST:
		_, err = c.REST.UntagResource(ctx, &apigateway.UntagResourceInput{ResourceArn: &arn, TagKeys: keys})
	case location != "":
		_, err = c.HTTP.TagResource(ctx, &apigatewayv2.TagResourceInput{ResourceArn: &arn, Tags: tags})
	default:
		_, err = c.HTTP.UntagResource(ctx, &apigatewayv2.UntagResourceInput{ResourceArn: &arn, TagKeys: keys})
	}
	if err != nil {
		return failed("tag the API", err)
	}
	return nil
}
