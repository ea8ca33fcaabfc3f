package stages

import (
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
)

// secret is the decider that asks for tapway's own secret, nil when there is none.
func (a Access) secret(c *config.Config) access.Decider {
	if len(c.Access.Secret) == 0 {
		return nil
	}
	values := make([]string, len(c.Access.Secret))
	for i, s := range c.Access.Secret {
		values[i] = s.Reveal()
	}
	decider := access.NewSecret(values...)
	decider.Exempt = a.Attached
	return decider
}
