package config

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

// Access is who may come in.
type Access struct {
	TrustedProxies    []string           `yaml:"trusted_proxies" kind:"cidr" example:"10.0.0.0/8" doc:"Peers whose X-Forwarded-For or Forwarded is believed, and whose other headers about where a call came from (X-Real-IP, CF-Connecting-IP, …) are passed on."`
	ClientAddress     string             `yaml:"client_address" def:"x-forwarded-for" enum:"x-forwarded-for forwarded" doc:"The header that the trusted proxies keep. It is read from the right up to the first address that is not trusted; the other one is not asked, because a proxy that does not keep it passes on what the client wrote."`
	ProxyProtocol     bool               `yaml:"proxy_protocol" doc:"Connections of trusted proxies begin with a PROXY protocol header, version 1 or 2, that says who the client is; those without are closed. Those of others are taken as they are."`
	ResourcePolicy    string             `yaml:"resource_policy" kind:"file" example:"policy.json" doc:"An API Gateway resource policy, unchanged. It is evaluated as AWS does: Deny over Allow, and what nothing allows is denied."`
	APIStage          string             `yaml:"api_stage" example:"prod" doc:"The API stage that this gateway is, for resources of the policy such as execute-api:/prod/GET/pets; default on Lambda the one that the front names. A policy whose resources name a stage needs it."`
	Methods           []string           `yaml:"methods" example:"GET" doc:"Methods that are passed on; others are answered 403. Without it all are."`
	Secret            []tapway.Secret    `yaml:"secret" env:"TAPWAY_SECRET" example:"${TAPWAY_SECRET:-change-me-16-characters}" doc:"What every call must carry in X-Tapway-Secret, 16 characters or more; others are answered 403. It is how an API that is attached by URL proves itself (tapway attach --via url:…). The header goes no further. A list of several while rotating."`
	APIKey            string             `yaml:"api_key" enum:"required off" example:"required" doc:"Whether a call needs an API key in x-api-key; default required when there are api_keys or usage_plans, off otherwise. Keys stand in api_keys, or are made with tapway keys create."`
	APIKeys           []APIKey           `yaml:"api_keys" doc:"API keys and who has them."`
	UsagePlans        []UsagePlan        `yaml:"usage_plans" doc:"What the keys of a plan may use, each key for itself."`
	Authorization     string             `yaml:"authorization" enum:"none jwt iam webhook" example:"jwt" doc:"How a caller proves who it is where no route says otherwise; default the one of jwt, iam and webhook that is there. API keys and client certificates go beside it."`
	JWT               *JWT               `yaml:"jwt" doc:"JSON Web Tokens, as a JWT authorizer of API Gateway's HTTP APIs."`
	IAM               *IAM               `yaml:"iam" doc:"Calls signed with AWS Signature Version 4, as API Gateway's AWS_IAM, for credentials of one's own."`
	Webhook           *Webhook           `yaml:"webhook" doc:"Calls that a provider signs because it cannot send an API key. The body is verified before the backend sees it."`
	ClientCertificate *ClientCertificate `yaml:"client_certificate" doc:"Which of the certificates that tls.client_ca lets in may come in, and what the backend is told of them. Goes beside authorization."`
	MaxBody           Size               `yaml:"max_body" def:"25MiB" doc:"Largest body that is verified, for webhook and iam; more is answered 413. Other bodies stream."`
	BodyMemory        Size               `yaml:"body_memory" def:"256MiB" doc:"Memory for all bodies being verified together; without room calls are answered 503."`
	Throttle          *Throttle          `yaml:"throttle" doc:"All calls together; more are answered 429."`
	Routes            []AccessRoute      `yaml:"routes" doc:"What is different for some calls. The first entry whose match takes a call counts, whatever spelling of the path the client has chosen."`
	Counters          string             `yaml:"counters" def:"auto" kind:"counters" env:"TAPWAY_COUNTERS" doc:"Where rates, quotas and ceilings are counted. auto: in this process and its data directory, and on Lambda nowhere, which makes them an error there. dynamodb://TABLE: in a DynamoDB table, for all processes that name it together; dynamodb://TABLE/NAME keeps gateways of different names apart. local: in this process; on Lambda that means that every execution environment counts for itself and begins anew."`
	CountersFailure   string             `yaml:"counters_on_failure" def:"serve" enum:"serve refuse" doc:"When the table cannot be reached and nothing is reserved: serve calls and count them afterwards, or refuse them with 503."`
	CountersWait      Duration           `yaml:"counters_wait" def:"50ms" doc:"How long a call waits for the table at most, when nothing is reserved. With refuse on Lambda set 500ms: the first call of an environment has to connect."`
}

// APIKey is one API key.
type APIKey struct {
	Name  string        `yaml:"name" required:"true" example:"partner" doc:"Whose it is, in the log and in tapway keys usage; letters, digits, '-', '_', '.'."`
	Value tapway.Secret `yaml:"value" required:"true" example:"${PARTNER_KEY:-change-me-20-to-128-characters}" doc:"The key itself, 20 to 128 characters."`
	Plan  string        `yaml:"plan" example:"global-plan" doc:"Its usage plan; without one it has no bounds of its own."`
}

// UsagePlan is what a key may use.
type UsagePlan struct {
	Name   string      `yaml:"name" required:"true" example:"global-plan" doc:"Its name in api_keys and tapway keys create."`
	Rate   *float64    `yaml:"rate" example:"50" doc:"Calls per second of one key, on average; more are answered 429."`
	Burst  int         `yaml:"burst" example:"100" doc:"Calls of one key at once; default the rate."`
	Quota  *Quota      `yaml:"quota" doc:"Calls of one key in a period; more are answered 429."`
	Routes []PlanRoute `yaml:"routes" doc:"Rates in place of the plan's for some calls; the first entry whose match takes a call counts."`
}

// Quota is how many calls a period has.
type Quota struct {
	Limit  int    `yaml:"limit" required:"true" doc:"Calls in a period. Refused calls do not count."`
	Period string `yaml:"period" required:"true" enum:"DAY WEEK MONTH" doc:"How long until it begins anew, at midnight UTC."`
	Offset int    `yaml:"offset" doc:"Day on which a period begins: of a WEEK 0 is Sunday, 6 Saturday; of a MONTH 0 is the first, 27 the twenty-eighth."`
}

// PlanRoute is a rate for some calls.
type PlanRoute struct {
	Match string  `yaml:"match" required:"true" kind:"match" doc:"Method (or ANY) and path template."`
	Rate  float64 `yaml:"rate" required:"true" doc:"Calls per second of one key, on average."`
	Burst int     `yaml:"burst" doc:"Calls of one key at once; default the rate."`
}

// Throttle is a rate.
type Throttle struct {
	Rate  float64 `yaml:"rate" required:"true" example:"100" doc:"Calls per second, on average."`
	Burst int     `yaml:"burst" example:"50" doc:"Calls at once; default the rate."`
}

// AccessRoute is what is different for some calls.
type AccessRoute struct {
	Match         string    `yaml:"match" required:"true" kind:"match" example:"ANY /public/{proxy+}" doc:"Method (or ANY) and path template."`
	APIKey        string    `yaml:"api_key" enum:"required off" example:"off" doc:"Whether an API key is needed; default as everywhere."`
	Authorization string    `yaml:"authorization" enum:"none jwt iam webhook" doc:"How a caller proves who it is; default as everywhere."`
	Scopes        []string  `yaml:"scopes" doc:"A token of these calls needs one of these; default access.jwt.scopes. Makes authorization jwt."`
	Webhook       *Webhook  `yaml:"webhook" doc:"Signatures of these calls alone, in place of any other authorization."`
	Methods       []string  `yaml:"methods" doc:"Methods that are passed on; default as everywhere."`
	Throttle      *Throttle `yaml:"throttle" doc:"These calls together, besides what bounds all."`
}

// KeyRequired reports whether calls need an API key where no route says otherwise.
func (a Access) KeyRequired() bool {
	return a.APIKey == "required" || a.APIKey == "" && (len(a.APIKeys) > 0 || len(a.UsagePlans) > 0)
}

// Counts names the keys of the file whose rules have to count calls; nil if none does.
func (a Access) Counts() (keys []string) {
	for i, p := range a.UsagePlans {
		if p.Rate != nil || p.Quota != nil || len(p.Routes) > 0 {
			keys = append(keys, fmt.Sprintf("access.usage_plans[%d]", i))
		}
	}
	if a.Throttle != nil {
		keys = append(keys, "access.throttle")
	}
	for i, r := range a.Routes {
		if r.Throttle != nil {
			keys = append(keys, fmt.Sprintf("access.routes[%d].throttle", i))
		}
	}
	return keys
}

// Policy reads the resource policy; nil if there is none.
func (a Access) Policy() (*access.Policy, error) {
	if a.ResourcePolicy == "" {
		return nil, nil
	}
	text, err := os.ReadFile(a.ResourcePolicy)
	if err != nil {
		return nil, fmt.Errorf("access.resource_policy: %w", err)
	}
	p, err := access.ParsePolicy(text)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", a.ResourcePolicy, err)
	}
	return p, nil
}

// access tests what the rules say together, and reads the policy.
func (k *checker) access(c *Config) {
	a := &c.Access
	if a.ProxyProtocol && len(a.TrustedProxies) == 0 {
		k.fail("access.proxy_protocol", "nobody is trusted to send a PROXY header", "name the proxies in access.trusted_proxies")
	}
	if a.Secret != nil && len(a.Secret) == 0 {
		k.fail("access.secret", "there is no secret in it", "write one, or remove the key")
	}
	for i, s := range a.Secret {
		if len(s) < 16 {
			k.fail(fmt.Sprintf("access.secret[%d]", i), "shorter than 16 characters", "use a random one: openssl rand -hex 16")
		}
	}
	k.ceilings(c)
	k.policy(a)
	k.methods("access.methods", a.Methods)
	plans := k.plans(a)
	k.apiKeys(a, plans)
	k.authorization(c)
	if a.Throttle != nil {
		k.rate("access.throttle", a.Throttle.Rate, a.Throttle.Burst)
	}
	for i, r := range a.Routes {
		key := fmt.Sprintf("access.routes[%d]", i)
		k.pattern(key+".match", r.Match)
		k.methods(key+".methods", r.Methods)
		if r.Throttle != nil {
			k.rate(key+".throttle", r.Throttle.Rate, r.Throttle.Burst)
		}
	}
	if rate := c.Limits.ConnectionRate; rate != 0 {
		k.rate("limits.connection_rate", rate, 0)
	}
}

// policy tells what is wrong with the policy, at its place in its own file.
func (k *checker) policy(a *Access) {
	if a.ResourcePolicy == "" || k.failed("access.resource_policy") {
		return
	}
	p, err := a.Policy()
	var bad *access.PolicyError
	if errors.As(err, &bad) {
		k.d.problems = append(k.d.problems, Problem{File: a.ResourcePolicy, Line: bad.Line, Column: bad.Column, Key: "access.resource_policy", Message: bad.Message, Hint: bad.Hint})
		return
	}
	if err != nil {
		k.fail("access.resource_policy", err.Error(), "")
		return
	}
	stages := p.Stages()
	switch {
	case len(stages) > 0 && a.APIStage == "":
		k.fail("access.resource_policy", fmt.Sprintf("the policy's resources name the API stage %q, and it is not said which one this gateway is", stages[0]), "set access.api_stage: "+stages[0])
	case a.APIStage != "" && !made(a.APIStage, letters+"-_$", 1, 128):
		k.fail("access.api_stage", fmt.Sprintf("%q is not the name of an API stage", a.APIStage), "")
	}
}

func (k *checker) methods(key string, list []string) {
	for i, m := range list {
		at := fmt.Sprintf("%s[%d]", key, i)
		switch {
		case k.failed(at):
		case m == "*" || strings.EqualFold(m, "ANY"):
			k.fail(at, fmt.Sprintf("%q is not a method", m), "leave "+key+" out to pass all on")
		case !made(m, letters+"0123456789!#$%&'*+-.^_`|~", 1, 64):
			k.fail(at, fmt.Sprintf("%q is not a method", m), "")
		case m != strings.ToUpper(m):
			k.fail(at, fmt.Sprintf("methods are in capitals, and %q is another than %q", m, strings.ToUpper(m)), "write "+strings.ToUpper(m))
		}
	}
}

func (k *checker) pattern(key, match string) {
	if match == "" || k.failed(key) {
		return
	}
	if _, err := access.ParsePattern(match); err != nil {
		message, hint, _ := strings.Cut(err.Error(), "; ")
		k.fail(key, message, hint)
	}
}

func (k *checker) rate(key string, rate float64, burst int) {
	if k.failed(key+".rate") || k.failed(key+".burst") {
		return
	}
	if err := (access.Rate{PerSecond: rate, Burst: burst}).Check(); err != nil {
		message, hint, _ := strings.Cut(err.Error(), "; ")
		k.fail(key, message, hint)
	}
}

func (k *checker) plans(a *Access) map[string]bool {
	names := map[string]bool{}
	for i, p := range a.UsagePlans {
		key := fmt.Sprintf("access.usage_plans[%d]", i)
		if p.Name != "" && names[p.Name] {
			k.fail(key+".name", fmt.Sprintf("%q is taken by a plan above", p.Name), "")
		}
		names[p.Name] = true
		switch {
		case p.Rate != nil:
			k.rate(key, *p.Rate, p.Burst)
		case p.Burst > 0:
			k.fail(key+".burst", "a burst without a rate bounds nothing", "set rate as well")
		}
		if p.Quota != nil && !k.failed(key+".quota.period") && p.Quota.Period != "" {
			if err := p.Quota.Access().Check(); err != nil {
				message, hint, _ := strings.Cut(err.Error(), "; ")
				k.fail(key+".quota", message, hint)
			}
		}
		for j, r := range p.Routes {
			at := fmt.Sprintf("%s.routes[%d]", key, j)
			k.pattern(at+".match", r.Match)
			k.rate(at, r.Rate, r.Burst)
		}
	}
	return names
}

// Access is the quota in the stage's words.
func (q Quota) Access() access.Quota {
	return access.Quota{Limit: int64(q.Limit), Period: access.Period(q.Period), Offset: q.Offset}
}

func (k *checker) apiKeys(a *Access, plans map[string]bool) {
	names, hashes := map[string]bool{}, map[access.Hash]bool{}
	for i, one := range a.APIKeys {
		key := fmt.Sprintf("access.api_keys[%d]", i)
		switch {
		case one.Name == "":
		case !made(one.Name, letters+"0123456789-_.", 1, 64):
			k.fail(key+".name", fmt.Sprintf("%q is not a name", one.Name), "use up to 64 letters, digits, '-', '_' and '.'")
		case names[one.Name]:
			k.fail(key+".name", fmt.Sprintf("%q is taken by a key above", one.Name), "")
		}
		names[one.Name] = true
		if one.Value != "" && !k.failed(key+".value") && !k.d.isUnchecked(key+".value") {
			hash := access.HashKey(one.Value.Reveal())
			if err := access.CheckKey(one.Value.Reveal()); err != nil {
				k.fail(key+".value", err.Error(), "")
			} else if hashes[hash] {
				k.fail(key+".value", "a key above has the same value", "give everyone a key of his own")
			}
			hashes[hash] = true
		}
		if one.Plan != "" && !plans[one.Plan] && !k.failed(key+".plan") {
			k.fail(key+".plan", fmt.Sprintf("there is no usage plan %q", one.Plan), didYouMean(one.Plan, planNames(a)))
		}
	}
}

func planNames(a *Access) (names []string) {
	for _, p := range a.UsagePlans {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}
