package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
)

// benchKey is the API key that every call has.
const benchKey = "bench-0123456789abcdefghij"

// accessRules puts the access rules under measurement into c: "on" is all of them, and lets calls
// pass; the others refuse every call by one rule.
func accessRules(c *config.Config, which string) error {
	a := &c.Access
	rate := 1e6
	switch which {
	case "":
	case "on":
		a.UsagePlans = []config.UsagePlan{{Name: "gold", Rate: &rate, Quota: &config.Quota{Limit: 1 << 40, Period: "MONTH"}}}
		a.APIKeys = []config.APIKey{{Name: "bench", Value: benchKey, Plan: "gold"}}
		a.Throttle = &config.Throttle{Rate: rate}
		a.Methods = []string{"GET", "POST"}
		c.Proxy.FilteredPaths = []string{"/internal", "/admin"}
		c.Limits.Calls, c.Limits.CallsPer = 10000, 10000
		if err := manyKeys(c.Data, 10000); err != nil {
			return err
		}
		return writePolicy(c, denied(""))
	case "address":
		return writePolicy(c, denied(`"127.0.0.0/8",`))
	case "policy":
		return writePolicy(c, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"IpAddress":{"aws:SourceIp":"127.0.0.0/8"}}}`)
	case "key":
		a.APIKeys = []config.APIKey{{Name: "other", Value: tapway.Secret(strings.ToUpper(benchKey))}}
	case "cached":
		c.Cache.Routes = []config.CacheRoute{{Match: "GET /{proxy+}"}}
	case "token":
		// Nobody has a token: the keys are never asked for.
		a.JWT = &config.JWT{Issuer: "https://idp.example.com/", Audience: []string{"bench"}, JWKS: filepath.Join(c.Data, "keys.json"), IdentitySource: "$request.header.Authorization"}
		if err := os.MkdirAll(c.Data, 0o700); err != nil {
			return err
		}
		return os.WriteFile(a.JWT.JWKS, []byte(`{"keys":[{"kty":"OKP","crv":"Ed25519","alg":"EdDSA","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"}]}`), 0o600)
	case "rate":
		a.Throttle = &config.Throttle{Rate: 0.001, Burst: 1}
	default:
		return fmt.Errorf("no rules %q", which)
	}
	return nil
}

// denied is a statement that denies 200 networks, and those in more.
func denied(more string) string {
	var networks []string
	for i := range 200 {
		networks = append(networks, fmt.Sprintf("%d.%d.0.0/17", 11+i/200, i))
	}
	return `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"IpAddress":{"aws:SourceIp":[` + more + `"` + strings.Join(networks, `","`) + `"]}}}`
}

func writePolicy(c *config.Config, statement string) error {
	c.Access.ResourcePolicy = filepath.Join(c.Data, "policy.json")
	if err := os.MkdirAll(c.Data, 0o700); err != nil {
		return err
	}
	return os.WriteFile(c.Access.ResourcePolicy, []byte(`{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},`+statement+`]}`), 0o600)
}

// manyKeys writes a file of keys as `tapway keys create` would.
func manyKeys(data string, n int) error {
	if err := os.MkdirAll(data, 0o700); err != nil {
		return err
	}
	var b strings.Builder
	b.WriteString(`{"version":1,"keys":[`)
	for i := range n {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"k%d","name":"k%[1]d","plan":"gold","sha256":"%x","created":%q}`, i, access.HashKey(fmt.Sprintf("%s-%d", benchKey, i)), time.Now().UTC().Format(time.RFC3339))
	}
	b.WriteString("]}")
	return os.WriteFile(app.KeysFile(data), []byte(b.String()), 0o600)
}

// benchAccess measures what the access rules add to a call that passes them all, and what a call
// costs that one of them refuses, its record included.
func benchAccess() error {
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	refusals = true
	defer func() { refusals = false }()
	for _, durability := range []string{"write", "commit"} {
		with := func(rules string) func(string) (*process, func(), error) {
			return tapwayWith(append(paused, "-durability", durability, "-rules", rules)...)
		}
		list := []contender{{"served, no rules", with("")}, {"served, all rules on (200 networks, 10,000 keys)", with("on")}}
		list = append(list, contender{"refused by the resource policy", with("policy")}, contender{"refused for its address (201 networks)", with("address")},
			contender{"refused without a token", with("token")}, contender{"refused without a valid key", with("key")}, contender{"refused by a rate", with("rate")})
		all, err := compare(list, "http://"+backend.addr, 1<<10, 0)
		if err != nil {
			return err
		}
		fmt.Printf("\n## Access rules, POST 1 KiB, durability: %s, deliveries paused\n\n| | calls/s | ÷ served (min–max) | ÷ served with rules | CPU µs/call | served ÷ it (min–max) | served with rules ÷ it | failed |\n|---|---|---|---|---|---|---|---|\n", durability)
		for i, s := range all {
			fmt.Printf("| %s | %.0f | %s | %s | %.1f | %s | %s | %d |\n", list[i].name, median(s.perSec), span(ratios(s.perSec, all[0].perSec)), span(ratios(s.perSec, all[1].perSec)),
				median(s.cpu), span(ratios(all[0].cpu, s.cpu)), span(ratios(all[1].cpu, s.cpu)), s.failed)
		}
	}
	return nil
}
