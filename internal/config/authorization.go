package config

import (
	"fmt"
	"strings"

	"github.com/tapway/tapway/internal/access"
)

// Auth is how callers prove who they are where no route says otherwise.
func (a Access) Auth() access.Auth {
	if auth, _ := access.ParseAuth(a.Authorization); auth != access.InheritAuth {
		return auth
	}
	ways := a.ways()
	if len(ways) == 1 {
		return ways[0]
	}
	return access.NoAuth
}

// Auth is what the route asks for itself.
func (r AccessRoute) Auth() access.Auth {
	auth, _ := access.ParseAuth(r.Authorization)
	switch {
	case r.Webhook != nil:
		return access.ByWebhook
	case auth == access.InheritAuth && len(r.Scopes) > 0:
		return access.ByJWT
	}
	return auth
}

// ways are the ways of authorization that are configured for all routes.
func (a Access) ways() (ways []access.Auth) {
	if a.JWT != nil {
		ways = append(ways, access.ByJWT)
	}
	if a.IAM != nil {
		ways = append(ways, access.ByIAM)
	}
	if a.Webhook != nil {
		ways = append(ways, access.ByWebhook)
	}
	return ways
}

// authorization tests that whatever is asked for can be given.
func (k *checker) authorization(c *Config) {
	a := &c.Access
	k.jwt(c)
	k.iam(c)
	k.clientCertificate(c)
	k.sameHeaders(a)
	ways := a.ways()
	can := map[string]bool{"": true, "none": true}
	var names []string
	for _, way := range ways {
		can[way.String()] = true
		names = append(names, way.String())
	}
	one := func(key, name string) {
		if !can[name] && !k.failed(key) {
			k.fail(key, fmt.Sprintf("%s is asked for, and there is no access.%s", name, name), "")
		}
	}
	one("access.authorization", a.Authorization)
	if len(ways) > 1 && a.Authorization == "" {
		k.fail("access", fmt.Sprintf("there are %s, and it is not said which of them a call needs", strings.Join(names, " and ")), "set access.authorization, and that of routes that need another")
	}
	k.webhook("access.webhook", a.Webhook)
	for i, r := range a.Routes {
		key := fmt.Sprintf("access.routes[%d]", i)
		switch {
		case len(r.Scopes) > 0 && (r.Webhook != nil || r.Auth() != access.ByJWT):
			k.fail(key+".scopes", "only tokens have scopes, and the route has another authorization", "remove them, or write authorization: jwt")
		case len(r.Scopes) > 0:
			one(key+".scopes", "jwt")
		case r.Webhook == nil:
			one(key+".authorization", r.Authorization)
		case r.Authorization != "" && r.Authorization != "webhook":
			k.fail(key+".authorization", "the route has a webhook's signatures, and another authorization", "keep one of them")
		}
		k.scopeNames(key+".scopes", r.Scopes)
		k.webhook(key+".webhook", r.Webhook)
	}
	if a.BodyMemory < a.MaxBody {
		k.fail("access.body_memory", fmt.Sprintf("%v is less than one body may have (access.max_body is %v)", a.BodyMemory, a.MaxBody), "")
	}
	if a.MaxBody == 0 {
		k.fail("access.max_body", "no body could be verified", "write 25MiB")
	}
}
