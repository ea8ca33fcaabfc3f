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
	names := map[string]bool{}
	for i, c := range p.Changes {
		spec := c.After
		if p.Kind == HTTP {
			spec = p.Integrations[c.Integration]
		}
		in, err := object(hide(spec))
		if err != nil {
			return fmt.Errorf("%s: %w", c.Route, err)
		}
		e := emitter{&b, p, &c, in, names}
		if e.keepSecret(form) && i == 0 {
			b.WriteString(secretParameter(form))
		}
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

	names map[string]bool // that routes have
}

var notName = regexp.MustCompile(`[^A-Za-z0-9]+`)

// name makes a route a name, "get_users_id" or "GetUsersId", with a number where another route
// (GET /a-b beside GET /a/b) has it already.
func (e *emitter) name(snake bool) string {
	parts := strings.Fields(notName.ReplaceAllString(e.c.Route, " "))
	for i, part := range parts {
		parts[i] = strings.ToLower(part)
		if !snake {
			parts[i] = strings.ToUpper(part[:1]) + strings.ToLower(part[1:])
		}
	}
	separator := ""
	if snake {
		separator = "_"
	}
	name := strings.Join(parts, separator)
	for n := 2; e.names[name]; n++ {
		name = strings.Join(append(parts, fmt.Sprint(n)), separator)
	}
	e.names[name] = true
	return name
}

// hclText is a string of HCL: a JSON string whose ${ and %{ are no templates.
func hclText(s string) string {
	return strings.NewReplacer("${", "$${", "%{", "%%{").Replace(string(compact(s)))
}

// expression is HCL as it stands there.
type expression string

// hcl writes a value of JSON in HCL, which takes JSON but for its colons in objects.
func hcl(v any, indent string) string {
	switch v := v.(type) {
	case expression:
		return string(v)
	case string:
		return hclText(v)
	case map[string]any:
		var list []attribute
		for _, key := range slices.Sorted(maps.Keys(v)) {
			list = append(list, attribute{hclText(key), hcl(v[key], indent+"  ")})
		}
		return "{\n" + attributes(list, indent+"  ") + indent + "}"
	case []any:
		items := make([]string, len(v))
		for i, item := range v {
			items[i] = hcl(item, indent)
		}
		return "[" + strings.Join(items, ", ") + "]"
	}
	return string(compact(v))
}

// attribute is a name and its value in HCL.
type attribute struct{ name, value string }

// attributes writes them as terraform fmt does: values of one line below each other.
func attributes(list []attribute, indent string) string {
	var b strings.Builder
	for len(list) > 0 {
		run, width := 0, 0
		for run < len(list) && !strings.Contains(list[run].value, "\n") {
			width = max(width, len(list[run].name))
			run++
		}
		if run == 0 {
			run = 1
		}
		for _, a := range list[:run] {
			fmt.Fprintf(&b, "%s%-*s = %s\n", indent, width, a.name, a.value)
		}
		list = list[run:]
	}
	return b.String()
}

// keepSecret puts a parameter of the template in the secret's place.
func (e *emitter) keepSecret(form string) bool {
	params, _ := e.in["requestParameters"].(map[string]any)
	found := false
	for key := range params {
		if !isSecret(key) {
			continue
		}
		quote := "" // a static value of a REST API is quoted
		if e.p.Kind == REST {
			quote = "'"
		}
		switch {
		case form != "terraform":
			params[key] = map[string]any{"Fn::Sub": quote + "${TapwaySecret}" + quote}
		case quote == "":
			params[key] = expression("var.tapway_secret")
		default:
			params[key] = expression(`"'${var.tapway_secret}'"`)
		}
		found = true
	}
	return found
}

// secretParameter is what keepSecret refers to.
func secretParameter(form string) string {
	if form == "terraform" {
		return "variable \"tapway_secret\" {\n  description = \"The secret that tapway at the URL knows too.\"\n  type        = string\n  sensitive   = true\n}\n\n"
	}
	return "# the secret that tapway at the URL knows too:\n" + indented(map[string]any{"Parameters": map[string]any{"TapwaySecret": map[string]any{"Type": "String", "NoEcho": true}}}) + "\n\n"
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
	list := []attribute{{"rest_api_id", hclText(e.p.API)}, {"resource_id", hclText(e.c.ResourceID)}, {"http_method", hclText(e.c.Method)}}
	for _, n := range terraformNames {
		if v := prune(e.in[n.api]); v != nil {
			list = append(list, attribute{n.terraform, hcl(v, "  ")})
		}
	}
	fmt.Fprintf(e.b, "# %s: was %s\nresource \"aws_api_gateway_integration\" %q {\n%s", e.c.Route, e.c.From, e.name(true), attributes(list, "  "))
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
	list := []attribute{{"api_id", hclText(e.p.API)}}
	for _, n := range []struct{ api, terraform string }{
		{"integrationType", "integration_type"}, {"integrationUri", "integration_uri"}, {"integrationMethod", "integration_method"},
		{"connectionType", "connection_type"}, {"payloadFormatVersion", "payload_format_version"}, {"timeoutInMillis", "timeout_milliseconds"},
		{"requestParameters", "request_parameters"},
	} {
		if v := prune(e.in[n.api]); v != nil {
			list = append(list, attribute{n.terraform, hcl(v, "  ")})
		}
	}
	fmt.Fprintf(e.b, "# %s: was %s\nresource \"aws_apigatewayv2_integration\" \"tapway_%s\" {\n%s", e.c.Route, e.c.From, name, attributes(list, "  "))
	responses, _ := e.in["responseParameters"].(map[string]any)
	for _, status := range slices.Sorted(maps.Keys(responses)) {
		fmt.Fprintf(e.b, "  response_parameters {\n%s  }\n", attributes([]attribute{{"status_code", hclText(status)}, {"mappings", hcl(responses[status], "    ")}}, "    "))
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
	note := ""
	if tls, ok := e.in["tlsConfig"].(map[string]any); ok && tls["insecureSkipVerification"] == true {
		note = "# CloudFormation cannot set its tlsConfig.insecureSkipVerification: true; without it API Gateway verifies the certificate.\n"
	}
	fmt.Fprintf(e.b, "# %s: was %s\n%s# the Integration of its AWS::ApiGateway::Method becomes:\n%s\n\n", e.c.Route, e.c.From, note,
		indented(map[string]any{"Integration": props}))
}

func (e *emitter) cloudFormationHTTP() {
	props := capitals(e.in)
	props["ApiId"] = e.p.API
	if responses, ok := props["ResponseParameters"].(map[string]any); ok {
		for status, v := range responses {
			mappings, _ := v.(map[string]any)
			list := []any{}
			for _, to := range slices.Sorted(maps.Keys(mappings)) {
				list = append(list, map[string]any{"Destination": to, "Source": mappings[to]})
			}
			responses[status] = map[string]any{"ResponseParameters": list}
		}
	}
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
