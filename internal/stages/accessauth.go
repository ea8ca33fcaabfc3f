package stages

import (
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
)

// callers are the deciders by which callers prove who they are.
func (a Access) callers(c *config.Config, rules *access.Rules) (list []access.Decider, err error) {
	auth := c.Access.Auth()
	bodies := &access.Bodies{Max: int64(c.Access.MaxBody), Total: int64(c.Access.BodyMemory), State: a.State, Status: bodyStatus}
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
		if auth, _ := access.ParseAuth(r.Authorization); auth == way || r.Webhook != nil && way == access.ByWebhook {
			return true
		}
	}
	return false
}
