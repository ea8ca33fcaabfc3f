package main

import (
	"log/slog"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/stages"
)

// explained are rules that know what has been counted so far. A price is only needed where calls are served.
func explained(c *config.Config, data string, log *slog.Logger) (stages.Access, error) {
	rules := stages.Access{Price: func(*access.Request, time.Duration) int64 { return 0 }}
	shared, err := app.SharedCounter(c, log)
	if err != nil {
		return rules, err
	}
	if shared != nil {
		rules.State = access.NewState(shared, time.Now())
		return rules, nil
	}
	counter, err := access.OpenCounter(app.UsageFile(data), log)
	rules.State = access.NewState(counter, time.Now())
	return rules, err
}
