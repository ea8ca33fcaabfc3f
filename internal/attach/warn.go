package attach

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// warn fills in what one should know before one says yes.
func (m *maker) warn() error {
	a, p := m.api, m.plan
	add := func(w Warning) { p.Warnings = append(p.Warnings, w) }
	stop := func(code, text string) { add(Warning{Code: code, Text: text, Stops: true}) }
	if at := a.Tags[TagState]; at != "" {
		stop("attached", "the API is attached already; its original state is kept in "+at)
	}
	if len(m.tapped) > 0 { // their own backends are only in the route table that there is, which this one would replace
		add(Warning{Code: "tapped", Stops: true, More: m.tapped, Text: "routes lead to this tapway already, though nothing says since when: with a new route table it would no longer know " +
			"where their calls go, and answer them with an error; put them back to their own backends first"})
	}
	if len(p.Changes) == 0 {
		stop("nothing", "there is no route to attach")
	}
	if a.Export == nil {
		stop("not-deployed", fmt.Sprintf("nothing is deployed in stage %s: deploy the API first", a.Stage))
	}
	if m.stage.Canary != nil && m.stage.Canary.DeploymentID != "" {
		stop("canary", fmt.Sprintf("stage %s has a canary of its own: promote or delete it first", a.Stage))
	}
	drift, err := a.Drift(nil)
	if err != nil {
		return err
	}
	if len(drift) > 0 {
		w := Warning{Code: "undeployed-edits", Stops: !m.options.IncludeDrift, Flag: "--include-drift",
			Text: fmt.Sprintf("the API has edits that are not deployed in stage %s; attaching deploys them too", a.Stage)}
		for _, d := range drift {
			w.More = append(w.More, strings.Replace(d.String(), ", now ", ", edited to ", 1))
		}
		add(w)
	}
	if owner := ownerOf(a.Tags); owner != "" {
		add(Warning{Code: "owned", Text: fmt.Sprintf("the API belongs to %s, whose next deployment undoes the attachment; --emit terraform or --emit cloudformation prints what to write there instead", owner)})
	}
	if others := slices.DeleteFunc(a.stageNames(), func(name string) bool { return name == a.Stage }); len(others) > 0 && a.Kind == REST {
		add(Warning{Code: "stages", Text: fmt.Sprintf("stages share one working copy: whoever deploys to %s while %s is attached takes tapway along", listed(others), a.Stage)})
	}
	m.warnSettings(add)
	m.warnFunctions(add)
	m.warnRoutes(add)
	return nil
}

// ownerOf guesses from its tags what maintains an API; "" if nothing shows.
func ownerOf(tags map[string]string) string {
	if stack := tags["aws:cloudformation:stack-name"]; stack != "" {
		for key, value := range tags {
			if key == "lambda:createdBy" && value == "SAM" {
				return "the SAM stack " + stack
			}
		}
		return "the CloudFormation stack " + stack
	}
	for _, key := range slices.Sorted(maps.Keys(tags)) {
		text := strings.ToLower(key + "=" + tags[key])
		for _, tool := range []string{"Terraform", "OpenTofu", "Pulumi", "Serverless", "CDK"} {
			if strings.Contains(text, strings.ToLower(tool)) {
				return fmt.Sprintf("%s (tag %s=%s)", tool, key, tags[key])
			}
		}
	}
	return ""
}

func (m *maker) warnSettings(add func(Warning)) {
	var api struct {
		Binary []string `json:"binaryMediaTypes"`
	}
	// What cannot be read here has been read by others before; it would only cost a warning.
	_ = json.Unmarshal(m.api.Raw, &api)
	if m.api.Kind == REST && m.options.Function != nil && !slices.Contains(api.Binary, "*/*") {
		add(Warning{Code: "binary", Text: "binaryMediaTypes is not */*: responses that are not UTF-8 text reach clients as base64 unless their Accept header names a listed type; tap routes that serve such by --via url:"})
	}
	caching := m.stage.CacheClusterEnabled
	for _, s := range m.stage.MethodSettings {
		caching = caching || s.CachingEnabled
	}
	if caching {
		add(Warning{Code: "cache", Text: fmt.Sprintf("stage %s caches responses: what the cache answers never reaches tapway", m.api.Stage)})
	}
	longest := 0
	for i := range m.chosen {
		longest = max(longest, m.timeout(&m.chosen[i]))
	}
	if f := m.options.Function; f != nil && f.TimeoutMS > 0 && f.TimeoutMS < longest {
		add(Warning{Code: "timeout", Text: fmt.Sprintf("the function is stopped after %d ms, but a backend may take %d ms: raise its timeout", f.TimeoutMS, longest)})
	}
	if m.options.URL != "" {
		add(Warning{Code: "public", Text: "the URL can be called by anyone; give tapway there the secret (access.secret, TAPWAY_SECRET) so that it refuses calls without it"})
	}
}

// warnFunctions tells what the proxy function must be allowed to do for routes with a Lambda function.
func (m *maker) warnFunctions(add func(Warning)) {
	invokes := m.plan.Invokes
	if len(invokes) == 0 {
		return
	}
	w := Warning{Code: "invoke", Stops: !m.options.MayInvoke, Flag: "--may-invoke", More: invokes,
		Text: "the proxy function's role needs lambda:InvokeFunction on what it taps (tapped_functions of the Terraform module; `tapway deploy` sees to it), or those routes answer 500 to everybody"}
	add(w)
	account := func(arn string) string { return strings.Split(arn, ":")[4] }
	foreign := slices.DeleteFunc(slices.Clone(invokes), func(arn string) bool { return account(arn) == account(m.options.Function.ARN) })
	if len(foreign) > 0 {
		add(Warning{Code: "other-account", Text: "functions of another account must let the proxy function's role in by their own policy, too", More: foreign})
	}
}

func (m *maker) warnRoutes(add func(Warning)) {
	byNote := map[string]int{}
	for i := range m.chosen {
		for _, note := range m.chosen[i].Notes {
			byNote[note]++
		}
	}
	for _, note := range slices.Sorted(maps.Keys(byNote)) {
		add(Warning{Code: "kept", Text: fmt.Sprintf("%s: %s; that stays", counted(byNote[note], "route"), note)})
	}
	vpc, templates := 0, 0
	for _, s := range m.plan.Skipped {
		if strings.Contains(s.Reason, "VPC") {
			vpc++
		}
		if strings.Contains(s.Reason, "template") {
			templates++
		}
	}
	if vpc > 0 {
		add(Warning{Code: "vpc-link", Text: counted(vpc, "route") + " behind a VPC link stay as they are"})
	}
	if templates > 0 && m.options.Function != nil {
		add(Warning{Code: "templates", Text: counted(templates, "route") + " with mapping templates stay as they are; --via url: keeps templates and taps them"})
	}
}

func counted(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
