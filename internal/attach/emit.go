package attach

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
)

// ServerConfig is the part of tapway.yaml that the tapway at the URL needs, so that calls go
// on to where they went before.
func (p *Plan) ServerConfig() string {
	var b strings.Builder
	base := ""
	if u, err := url.Parse(strings.TrimPrefix(p.Via, "url:")); err == nil {
		base = strings.TrimSuffix(u.Path, "/")
	}
	if len(p.Backends) == 1 && base == "" {
		fmt.Fprintf(&b, "backend: %s\n", p.Backends[0].Origin)
		if p.Backends[0].InsecureSkipVerify {
			b.WriteString("proxy: {tls: {insecure_skip_verify: true}}\n")
		}
		return b.String()
	}
	b.WriteString("routes:\n")
	for _, to := range p.Backends {
		tls := ""
		if to.InsecureSkipVerify {
			tls = ", tls: {insecure_skip_verify: true}"
		}
		at := base + to.Prefix
		root := at
		if root == "" {
			root = "/"
		}
		fmt.Fprintf(&b, "  - {match: \"ANY %s\", backend: \"%s/\"%s}\n", root, to.Origin, tls)
		fmt.Fprintf(&b, "  - {match: \"ANY %s/{proxy+}\", backend: \"%s/{proxy}\"%s}\n", at, to.Origin, tls)
	}
	return b.String()
}

// Emit writes what the owner of an API that Terraform or CloudFormation maintains is to write
// there, so that the next deployment does not undo the attachment but makes it.
func Emit(w io.Writer, form string, p *Plan) error {
	var b strings.Builder
	for _, c := range p.Changes {
		spec := c.After
		if p.Kind == HTTP {
			spec = p.Integrations[c.Integration]
		}
		in, err := object(hide(spec))
		if err != nil {
			return fmt.Errorf("%s: %w", c.Route, err)
		}
		e := emitter{&b, p, &c, in}
		switch {
		case form == "terraform" && p.Kind == REST:
			e.terraformREST()
		case form == "terraform":
			e.terraformHTTP()
		case p.Kind == REST:
			e.cloudFormationREST()
		default:
			e.cloudFormationHTTP()
		}
	}
	if pm := p.Permission; pm != nil {
		emitPermission(&b, form, pm)
	}
	if len(p.Invokes) > 0 {
		b.WriteString("\n# the proxy function's role needs lambda:InvokeFunction on (tapped_functions of the tapway module):\n")
		for _, arn := range p.Invokes {
			fmt.Fprintf(&b, "#   %s\n", arn)
		}
	}
	_, err := io.WriteString(w, b.String())
	return err
}

type emitter struct {
	b  *strings.Builder
	p  *Plan
	c  *Change
	in map[string]any
}

var notName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// name makes a route a name: "get_users_id", or "GetUsersId".
func (e *emitter) name(snake bool) string {
	parts := strings.Fields(notName.ReplaceAllString(e.c.Route, " "))
	for i, part := range parts {
		parts[i] = strings.ToLower(part)
		if !snake {
			parts[i] = strings.ToUpper(part[:1]) + strings.ToLower(part[1:])
		}
	}
	if snake {
		return strings.Join(parts, "_")
	}
	return strings.Join(parts, "")
}

// hclText is a string of HCL: a JSON string whose ${ and %{ are no templates.
func hclText(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(compact(s)))
}

// hcl writes a value of JSON in HCL, which takes JSON but for its colons in objects.
func hcl(v any, indent string) string {
	switch v := v.(type) {
	case string:
		return hclText(v)
	case map[string]any:
		var b strings.Builder
		b.WriteString("{\n")
		for _, key := range slices.Sorted(maps.Keys(v)) {
			fmt.Fprintf(&b, "%s  %s = %s\n", indent, hclText(key), hcl(v[key], indent+"  "))
		}
		return b.String() + indent + "}"
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = hcl(item, indent)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return string(compact(v))
}

// terraformNames are the arguments of aws_api_gateway_integration, by the API's names.
var terraformNames = []struct{ api, terraform string }{
	{"type", "type"}, {"httpMethod", "integration_http_method"}, {"uri", "uri"}, {"connectionType", "connection_type"},
	{"connectionId", "connection_id"}, {"credentials", "credentials"}, {"requestParameters", "request_parameters"},
	{"requestTemplates", "request_templates"}, {"passthroughBehavior", "passthrough_behavior"}, {"contentHandling", "content_handling"},
	{"timeoutInMillis", "timeout_milliseconds"}, {"cacheNamespace", "cache_namespace"}, {"cacheKeyParameters", "cache_key_parameters"},
	{"responseTransferMode", "response_transfer_mode"},
}

func (e *emitter) terraformREST() {
	fmt.Fprintf(e.b, "# %s: was %s\nresource \"aws_api_gateway_integration\" %q {\n", e.c.Route, e.c.From, e.name(true))
	fmt.Fprintf(e.b, "  rest_api_id = %q\n  resource_id = %q\n  http_method = %q\n", e.p.API, e.c.ResourceID, e.c.Method)
	for _, n := range terraformNames {
		if v := prune(e.in[n.api]); v != nil {
			fmt.Fprintf(e.b, "  %s = %s\n", n.terraform, hcl(v, "  "))
		}
	}
	if tls, ok := e.in["tlsConfig"].(map[string]any); ok && tls["insecureSkipVerification"] == true {
		e.b.WriteString("  tls_config {\n    insecure_skip_verification = true\n  }\n")
	}
	if e.in["type"] == "AWS_PROXY" {
		e.b.WriteString("  # aws_api_gateway_integration_response resources of this method have no use while it is attached\n")
	}
	e.b.WriteString("}\n\n")
}

func (e *emitter) terraformHTTP() {
	name := e.name(true)
	fmt.Fprintf(e.b, "# %s: was %s\nresource \"aws_apigatewayv2_integration\" \"tapway_%s\" {\n  api_id = %q\n", e.c.Route, e.c.From, name, e.p.API)
	for _, n := range []struct{ api, terraform string }{
		{"integrationType", "integration_type"}, {"integrationUri", "integration_uri"}, {"integrationMethod", "integration_method"},
		{"connectionType", "connection_type"}, {"payloadFormatVersion", "payload_format_version"}, {"timeoutInMillis", "timeout_milliseconds"},
		{"requestParameters", "request_parameters"},
	} {
		if v := prune(e.in[n.api]); v != nil {
			fmt.Fprintf(e.b, "  %s = %s\n", n.terraform, hcl(v, "  "))
		}
	}
	responses, _ := e.in["responseParameters"].(map[string]any)
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		fmt.Fprintf(e.b, "  response_parameters {\n    status_code = %q\n    mappings = %s\n  }\n", status, hcl(responses[status], "    "))
	}
	fmt.Fprintf(e.b, "}\n\n# in the aws_apigatewayv2_route of %s:\n#   target = \"integrations/${aws_apigatewayv2_integration.tapway_%s.id}\"\n\n", e.c.Route, name)
}

func (e *emitter) cloudFormationREST() {
	props := map[string]any{}
	for key, v := range e.in {
		if v = prune(v); v == nil || key == "integrationResponses" && e.in["type"] == "AWS_PROXY" {
			continue
		}
		switch key {
		case "httpMethod":
			key = "IntegrationHttpMethod"
		case "tlsConfig", "_links":
			continue
		case "integrationResponses":
			responses, _ := v.(map[string]any)
			list := []any{}
			for _, status := range slices.Sorted(maps.Keys(responses)) {
				r, _ := responses[status].(map[string]any)
				list = append(list, capitals(r))
			}
			v = list
		}
		props[capital(key)] = v
	}
	fmt.Fprintf(e.b, "# %s: was %s\n# the Integration of its AWS::ApiGateway::Method becomes:\n%s\n\n", e.c.Route, e.c.From,
		indented(map[string]any{"Integration": props}))
}

func (e *emitter) cloudFormationHTTP() {
	props := capitals(e.in)
	props["ApiId"] = e.p.API
	delete(props, "ResponseParameters")
	name := "Tapway" + e.name(false)
	fmt.Fprintf(e.b, "# %s: was %s\n%s\n# and the Target of its AWS::ApiGatewayV2::Route: {\"Fn::Sub\": \"integrations/${%s}\"}\n\n", e.c.Route, e.c.From,
		indented(map[string]any{name: map[string]any{"Type": "AWS::ApiGatewayV2::Integration", "Properties": props}}), name)
}

func capital(key string) string { return strings.ToUpper(key[:1]) + key[1:] }

func capitals(in map[string]any) map[string]any {
	out := map[string]any{}
	for key, v := range in {
		if v = prune(v); v != nil {
			out[capital(key)] = v
		}
	}
	return out
}

func emitPermission(b *strings.Builder, form string, p *Permission) {
	if form == "terraform" {
		fmt.Fprintf(b, "resource \"aws_lambda_permission\" \"tapway\" {\n  statement_id  = %q\n  action        = \"lambda:InvokeFunction\"\n  function_name = %q\n", p.Statement, p.Function.ARN)
		if p.Function.Qualifier != "" {
			fmt.Fprintf(b, "  qualifier     = %q\n", p.Function.Qualifier)
		}
		fmt.Fprintf(b, "  principal     = \"apigateway.amazonaws.com\"\n  source_arn    = %q\n}\n", p.SourceARN)
		return
	}
	name := json.RawMessage(compact(p.Function.qualified()))
	b.WriteString(indented(map[string]any{"TapwayPermission": map[string]any{"Type": "AWS::Lambda::Permission", "Properties": map[string]any{
		"Action": "lambda:InvokeFunction", "FunctionName": name, "Principal": "apigateway.amazonaws.com", "SourceArn": p.SourceARN}}}) + "\n")
}
