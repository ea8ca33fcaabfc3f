package app

import (
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
)

// egress makes the way out that every connection of this configuration takes.
func (a *App) egress(c *config.Config) (*egress.Dialer, error) {
	policy, err := c.Egress.Policy()
	if err != nil {
		return nil, err
	}
	return &egress.Dialer{Policy: policy, Observe: a.metrics.dialled, Log: a.log}, nil
}
