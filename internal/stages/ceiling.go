package stages

import (
	"errors"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
)

// ceiling is the decider of what a day may have, nil when there is no bound.
func (a Access) ceiling(c *config.Config) (access.Decider, error) {
	d := &access.Ceiling{Price: a.Price}
	if n := c.Limits.DailyCalls; n > 0 {
		d.Calls = access.NewBudget(a.State, "calls", "calls", int64(n), a.Log, a.Near)
	}
	if n := c.Limits.DailyCost; n > 0 {
		if a.Price == nil {
			return nil, errors.New("limits.daily_cost: a call has a price on Lambda alone; set limits.daily_calls here")
		}
		d.Cost = access.NewBudget(a.State, "cost", "billionths of a dollar", int64(n*access.Nano), a.Log, a.Near)
	}
	if d.Calls == nil && d.Cost == nil {
		return nil, nil
	}
	return d, nil
}
