package stages

import (
	"net/http"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
)

// callers are the deciders by which callers prove who they are.
func (a Access) callers(c *config.Config, rules *access.Rules) (list []access.Decider, err error) {
	auth := c.Access.Auth()
	bodies := &access.Bodies{Max: int64(c.Access.MaxBody), Total: int64(c.Access.BodyMemory), State: a.State, Status: bodyStatus}
	if j := c.Access.JWT; j != nil { // also where no route asks: nobody may send its headers
		list = append(list, a.jwt(*j, auth, rules))
	}
	if asked(c, access.ByWebhook) {
		hooks := &access.Webhooks{Default: auth, Rules: rules, Bodies: bodies, State: a.State}
		if c.Access.Webhook != nil {
			if hooks.Webhook, err = c.Access.Webhook.Access("access.webhook", a.Hooks); err != nil {
				return nil, err
			}
		}
		list = append(list, hooks)
	}
	return list, nil
}

// asked reports whether any call has to prove itself in that way.
func asked(c *config.Config, way access.Auth) bool {
	if c.Access.Auth() == way {
		return true
	}
	for _, r := range c.Access.Routes {
		if r.Auth() == way {
			return true
		}
	}
	return false
}

func (a Access) jwt(j config.JWT, auth access.Auth, rules *access.Rules) access.Decider {
	source := j.Source()
	var client *http.Client
	if a.Client != nil {
		client = a.Client(source.URLs()...)
	}
	return &access.JWT{
		Default: auth, Rules: rules, Issuer: j.Issuer, Audience: j.Audience, Algorithms: j.Algorithms, Scopes: j.Scopes,
		Header: j.Header(), Leeway: j.Leeway.D(), Headers: j.Headers,
		Keys: a.State.Keyring(source, access.KeyTimes{Refresh: j.Refresh.D(), Keep: j.Keep.D()}, client, a.Log),
	}
}
