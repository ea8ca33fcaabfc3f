package route

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"slices"
	"strings"
	"time"
)

// OpenAPIOptions says what an export leaves open.
type OpenAPIOptions struct {
	StageVariables map[string]string

	// Base is put before every path: "/prod" where clients go on sending the API stage in
	// the path, "/orders" for a custom domain's base path. "" for none.
	Base string

	// APIID and Stage are what calls come through, in place of what the definition says; "" leaves
	// that.
	APIID, Stage string

	// Functions says that Lambda functions can be invoked here, with the event that a call came as.
	Functions bool
}

// Definition is an API Gateway export.
type Definition struct {
	Title   string
	Version string
	Format  string // "OpenAPI 3.0.1", "Swagger 2.0"

	// Host, Stage and APIID are what the export says of where it was deployed; "" if it
	// does not. On a custom domain Stage is the base path.
	Host  string
	Stage string
	APIID string

	Operations []Operation // by path, then method
}

// Operation is one method of one resource, and what becomes of it here.
type Operation struct {
	Method string // Any for x-amazon-apigateway-any-method
	Path   string // as in the export, without Base
	ID     string // operationId

	Type               string // http, http_proxy, aws, aws_proxy, mock; "" without integration
	URI                string // stage variables put in, where they are given
	IntegrationMethod  string
	ConnectionType     string        // INTERNET or VPC_LINK
	Timeout            time.Duration // of the integration; API Gateway's own default is 29 s
	Function           string        // ARN of the Lambda function that it invokes, with Functions; else ""
	InsecureSkipVerify bool          // tlsConfig.insecureSkipVerification

	Tappable bool
	Reason   string   // why not; "" if it is
	Notes    []string // what API Gateway does besides and this machine does not, such as an authorizer

	route Route
}

// DefaultTimeout is API Gateway's when an integration says nothing.
const DefaultTimeout = 29 * time.Second

// Routes gives a route for every operation, those that cannot be tapped with the reason as
// Unsupported, so that their calls do not fall to a wider template. Ref is the operation's
// index.
func (d *Definition) Routes() []Route {
	out := make([]Route, len(d.Operations))
	for i := range d.Operations {
		out[i] = d.Operations[i].route
		out[i].Ref = i
	}
	return out
}

type document struct {
	OpenAPI    any                          `json:"openapi"`
	Swagger    any                          `json:"swagger"`
	Info       struct{ Title, Version any } `json:"info"`
	Host       string                       `json:"host"`
	BasePath   string                       `json:"basePath"`
	Servers    []server                     `json:"servers"`
	Paths      map[string]json.RawMessage   `json:"paths"`
	Security   []map[string]any             `json:"security"`
	Components struct {
		Integrations map[string]json.RawMessage `json:"x-amazon-apigateway-integrations"`
	} `json:"components"`
}

type server struct {
	URL       string `json:"url"`
	Variables map[string]struct {
		Default any `json:"default"`
	} `json:"variables"`
}

const anyMethodKey = "x-amazon-apigateway-any-method"

var methodKeys = map[string]string{"get": "GET", "put": "PUT", "post": "POST", "delete": "DELETE", "options": "OPTIONS",
	"head": "HEAD", "patch": "PATCH", "trace": "TRACE", anyMethodKey: Any}

// ReadOpenAPI reads an export in JSON: OpenAPI 3 or Swagger 2 with API Gateway's extensions
// ("extensions: integrations" or "apigateway"). What cannot be reproduced is no error; it
// is an operation with a Reason.
func ReadOpenAPI(data []byte, opts OpenAPIOptions) (*Definition, error) {
	data = bytes.TrimSpace(bytes.TrimPrefix(data, []byte("\ufeff")))
	if len(data) == 0 || data[0] != '{' {
		return nil, errors.New("the API definition is not JSON; YAML is not read: export it with --accepts application/json")
	}
	var doc document
	if err := json.Unmarshal(data, &doc); err != nil {
		return nil, fmt.Errorf("the API definition: %w", locate(data, err))
	}
	d := &Definition{Title: text(doc.Info.Title), Version: text(doc.Info.Version)}
	switch version, old := text(doc.OpenAPI), text(doc.Swagger); {
	case strings.HasPrefix(version, "3."):
		d.Format = "OpenAPI " + version
	case old == "2.0" || old == "2":
		d.Format = "Swagger 2.0"
	default:
		return nil, errors.New(`the API definition is neither OpenAPI 3 ("openapi": "3.0.1") nor Swagger 2 ("swagger": "2.0")`)
	}
	if base := opts.Base; base != "" && (base[0] != '/' || strings.HasSuffix(base, "/") || strings.ContainsAny(base, "{}")) {
		return nil, fmt.Errorf("the base path %q does not begin with a slash, or ends with one, or has a parameter", base)
	}
	d.locate(&doc)
	if opts.APIID != "" {
		d.APIID = opts.APIID
	}
	if opts.Stage != "" {
		d.Stage = opts.Stage
	}
	r := reader{doc: &doc, opts: opts, stage: Stage{APIID: d.APIID, Name: d.Stage, Base: opts.Base, Variables: opts.StageVariables}}
	for _, path := range slices.Sorted(maps.Keys(doc.Paths)) {
		ops, err := r.path(path)
		if err != nil {
			return nil, fmt.Errorf("the API definition: path %q: %w", path, err)
		}
		d.Operations = append(d.Operations, ops...)
	}
	if len(d.Operations) == 0 {
		return nil, errors.New("the API definition has no operations")
	}
	return d, nil
}

// locate fills Host, Stage and APIID.
func (d *Definition) locate(doc *document) {
	d.Host, d.Stage = doc.Host, strings.Trim(doc.BasePath, "/")
	if len(doc.Servers) > 0 {
		s := doc.Servers[0]
		raw := s.URL
		for name, v := range s.Variables {
			raw = strings.ReplaceAll(raw, "{"+name+"}", strings.TrimPrefix(text(v.Default), "/"))
		}
		if u, err := url.Parse(raw); err == nil {
			d.Host, d.Stage = u.Host, strings.Trim(u.Path, "/")
		}
	}
	if id, rest, ok := strings.Cut(d.Host, "."); ok && strings.HasPrefix(rest, "execute-api.") {
		d.APIID = id
	}
	if strings.ContainsAny(d.Stage, "/{}") {
		d.Stage = ""
	}
}

// locate adds line and column to a JSON error.
func locate(data []byte, err error) error {
	offset := int64(-1)
	if e, ok := errors.AsType[*json.SyntaxError](err); ok {
		offset = e.Offset
	} else if e, ok := errors.AsType[*json.UnmarshalTypeError](err); ok {
		offset = e.Offset
	}
	if offset < 0 || offset > int64(len(data)) {
		return err
	}
	before := data[:offset]
	line := 1 + bytes.Count(before, []byte("\n"))
	column := offset - int64(bytes.LastIndexByte(before, '\n')+1)
	return fmt.Errorf("line %d, column %d: %w", line, max(column, 1), err)
}

// text gives a scalar as text: "version: 1" is as good as "1".
func text(v any) string {
	switch v := v.(type) {
	case string:
		return v
	case float64:
		return fmt.Sprint(v)
	}
	return ""
}
