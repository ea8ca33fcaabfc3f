package attach

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/apigateway"
	"github.com/aws/aws-sdk-go-v2/service/apigatewayv2"
	"github.com/aws/aws-sdk-go-v2/service/sts"
)

// Progress is told how far a long operation is; total 0 says that nobody knows yet.
type Progress func(what string, done, total int)

func (p Progress) say(what string, done, total int) {
	if p != nil {
		p(what, done, total)
	}
}

// ErrNoAPI says that there is no API of this id in the region, of either kind.
var ErrNoAPI = errors.New("there is no such API")

// Read reads an API: the REST API of this id, or else the HTTP API. stageName chooses the
// stage whose deployed state is read; "" is the only stage there is, or none.
func (c *Clients) Read(ctx context.Context, id, stageName string, progress Progress) (*API, error) {
	a := &API{ID: id, Region: c.Region, Kind: REST}
	err := c.readHead(ctx, a, progress)
	if notFound(err) {
		a.Kind = HTTP
		err = c.readHead(ctx, a, progress)
	}
	if notFound(err) {
		return nil, fmt.Errorf("%w: no REST API and no HTTP API %q in %s; is it another region or account?", ErrNoAPI, id, c.Region)
	}
	if err != nil {
		return nil, err
	}
	if err := c.readBody(ctx, a, progress); err != nil {
		return nil, err
	}
	if stageName == "" && len(a.Stages) == 1 {
		stageName = a.stageNames()[0]
	}
	a.Stage = stageName
	if stageName == "" {
		return a, nil
	}
	s, ok := a.stage(stageName)
	if !ok {
		return nil, fmt.Errorf("API %s has no stage %q; its stages: %s", id, stageName, listed(a.stageNames()))
	}
	progress.say("export the deployed state", 0, 0)
	if a.Kind == HTTP {
		if a.Working, err = c.exportHTTP(ctx, id, ""); err != nil {
			return nil, err
		}
	}
	if s.DeploymentID != "" || s.AutoDeploy {
		a.Export, err = c.export(ctx, a.Kind, id, stageName)
	}
	return a, err
}

// look reads an API's working copy again.
func (c *Clients) look(ctx context.Context, before *API, progress Progress) (*API, error) {
	a := &API{Kind: before.Kind, ID: before.ID, Region: before.Region, Account: before.Account, Stage: before.Stage}
	err := c.readHead(ctx, a, progress)
	if notFound(err) {
		return nil, fmt.Errorf("%w: API %s is gone from %s", ErrNoAPI, a.ID, a.Region)
	}
	if err != nil {
		return nil, err
	}
	return a, c.readBody(ctx, a, progress)
}

// readHead reads the API itself.
func (c *Clients) readHead(ctx context.Context, a *API, progress Progress) error {
	progress.say("read the API", 0, 0)
	var raw []byte
	var err error
	if a.Kind == REST {
		_, err = c.REST.GetRestApi(withRaw(ctx, &raw), &apigateway.GetRestApiInput{RestApiId: &a.ID})
	} else {
		_, err = c.HTTP.GetApi(withRaw(ctx, &raw), &apigatewayv2.GetApiInput{ApiId: &a.ID})
	}
	if err != nil {
		return failed("read API "+a.ID, err)
	}
	var head struct {
		Name     string
		Tags     map[string]string
		Protocol string `json:"protocolType"`
	}
	if err := json.Unmarshal(raw, &head); err != nil {
		return fmt.Errorf("read API %s: %w", a.ID, err)
	}
	if head.Protocol != "" && head.Protocol != "HTTP" {
		return fmt.Errorf("API %s is a %s API; tapway taps REST and HTTP APIs", a.ID, strings.ToLower(head.Protocol))
	}
	a.Raw, a.Name, a.Tags = raw, head.Name, head.Tags
	return nil
}

func (c *Clients) readBody(ctx context.Context, a *API, progress Progress) error {
	if a.Kind == REST {
		return c.readREST(ctx, a, progress)
	}
	return c.readHTTP(ctx, a, progress)
}

func listed(names []string) string {
	if len(names) == 0 {
		return "none"
	}
	return strings.Join(names, ", ")
}

// Identify fills in the account that the credentials belong to.
func (c *Clients) Identify(ctx context.Context, a *API) error {
	out, err := c.STS.GetCallerIdentity(ctx, &sts.GetCallerIdentityInput{})
	if err != nil {
		return failed("ask which account this is", err)
	}
	a.Account = aws.ToString(out.Account)
	return nil
}

func (c *Clients) readREST(ctx context.Context, a *API, progress Progress) error {
	var raw []byte
	if _, err := c.REST.GetStages(withRaw(ctx, &raw), &apigateway.GetStagesInput{RestApiId: &a.ID}); err != nil {
		return failed("read the stages", err)
	}
	if err := json.Unmarshal(raw, &struct {
		Item *[]json.RawMessage `json:"item"`
	}{&a.Stages}); err != nil {
		return fmt.Errorf("read the stages: %w", err)
	}
	in := &apigateway.GetResourcesInput{RestApiId: &a.ID, Embed: []string{"methods"}, Limit: aws.Int32(500)}
	for {
		progress.say("read the resources", len(a.Resources), 0)
		out, err := c.REST.GetResources(withRaw(ctx, &raw), in)
		if err != nil {
			return failed("read the resources", err)
		}
		var page struct {
			Item []json.RawMessage `json:"item"`
		}
		if err := json.Unmarshal(raw, &page); err != nil {
			return fmt.Errorf("read the resources: %w", err)
		}
		a.Resources = append(a.Resources, page.Item...)
		if in.Position = out.Position; aws.ToString(in.Position) == "" {
			return nil
		}
	}
}

func (c *Clients) readHTTP(ctx context.Context, a *API, progress Progress) error {
	page := func(what string, into *[]json.RawMessage, call func(ctx context.Context, token *string) (*string, error)) error {
		var token *string
		for {
			progress.say("read the "+what, len(*into), 0)
			var raw []byte
			next, err := call(withRaw(ctx, &raw), token)
			if err != nil {
				return failed("read the "+what, err)
			}
			var items struct {
				Items []json.RawMessage `json:"items"`
			}
			if err := json.Unmarshal(raw, &items); err != nil {
				return fmt.Errorf("read the %s: %w", what, err)
			}
			*into = append(*into, items.Items...)
			if token = next; aws.ToString(token) == "" {
				return nil
			}
		}
	}
	err := page("stages", &a.Stages, func(ctx context.Context, token *string) (*string, error) {
		out, err := c.HTTP.GetStages(ctx, &apigatewayv2.GetStagesInput{ApiId: &a.ID, NextToken: token})
		if err != nil {
			return nil, err
		}
		return out.NextToken, nil
	})
	if err != nil {
		return err
	}
	err = page("routes", &a.Routes, func(ctx context.Context, token *string) (*string, error) {
		out, err := c.HTTP.GetRoutes(ctx, &apigatewayv2.GetRoutesInput{ApiId: &a.ID, NextToken: token})
		if err != nil {
			return nil, err
		}
		return out.NextToken, nil
	})
	if err != nil {
		return err
	}
	return page("integrations", &a.Integrations, func(ctx context.Context, token *string) (*string, error) {
		out, err := c.HTTP.GetIntegrations(ctx, &apigatewayv2.GetIntegrationsInput{ApiId: &a.ID, NextToken: token})
		if err != nil {
			return nil, err
		}
		return out.NextToken, nil
	})
}

// export is the deployed state of a stage, as OpenAPI with all of API Gateway's extensions.
func (c *Clients) export(ctx context.Context, kind Kind, id, stageName string) (json.RawMessage, error) {
	if kind == HTTP {
		return c.exportHTTP(ctx, id, stageName)
	}
	out, err := c.REST.GetExport(ctx, &apigateway.GetExportInput{
		RestApiId: &id, StageName: &stageName, ExportType: aws.String("oas30"), Accepts: aws.String("application/json"),
		Parameters: map[string]string{"extensions": "apigateway"},
	})
	if err != nil {
		return nil, failed("export stage "+stageName, err)
	}
	return validExport(out.Body)
}

// exportHTTP exports a stage; "" is the working copy.
func (c *Clients) exportHTTP(ctx context.Context, id, stageName string) (json.RawMessage, error) {
	in := &apigatewayv2.ExportApiInput{ApiId: &id, OutputType: aws.String("JSON"), Specification: aws.String("OAS30"), IncludeExtensions: aws.Bool(true)}
	what := "export the working copy"
	if stageName != "" {
		in.StageName, what = &stageName, "export stage "+stageName
	}
	out, err := c.HTTP.ExportApi(ctx, in)
	if err != nil {
		return nil, failed(what, err)
	}
	return validExport(out.Body)
}

func validExport(body []byte) (json.RawMessage, error) {
	if _, err := object(body); err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	return body, nil
}

// notFound tells that AWS says that something is not there.
func notFound(err error) bool { return statusOf(err) == http.StatusNotFound }

func statusOf(err error) int {
	var s interface{ HTTPStatusCode() int }
	if errors.As(err, &s) {
		return s.HTTPStatusCode()
	}
	return 0
}

// Tags reads the tags of an API of either kind.
func (c *Clients) Tags(ctx context.Context, id string) (map[string]string, error) {
	a := &API{ID: id, Region: c.Region, Kind: REST}
	err := c.readHead(ctx, a, nil)
	if notFound(err) {
		a.Kind = HTTP
		err = c.readHead(ctx, a, nil)
	}
	if notFound(err) {
		return nil, fmt.Errorf("%w: no REST API and no HTTP API %q in %s; is it another region or account?", ErrNoAPI, id, c.Region)
	}
	return a.Tags, err
}
