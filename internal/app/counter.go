package app

import (
	"context"
	"fmt"
	"log/slog"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/awsdynamo"
	"github.com/tapway/tapway/internal/cloud"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/sharedcount"
)

// keeper is a counter that has something to look after.
type keeper interface {
	access.Counter
	Run(ctx context.Context) error
}

// openCounter opens what c says that calls are counted by.
func openCounter(c *config.Config, log *slog.Logger) (keeper, error) {
	if table, _ := c.Access.CounterTable(); table == "" {
		return access.OpenCounter(UsageFile(c.Data), log)
	}
	return SharedCounter(c, log)
}

// SharedCounter is the counter in the table that c names; nil if it names none. It makes no call.
func SharedCounter(c *config.Config, log *slog.Logger) (*sharedcount.Counter, error) {
	table, prefix := c.Access.CounterTable()
	if table == "" {
		return nil, nil
	}
	account, err := cloud.Open(context.Background(), "", "")
	if err != nil {
		return nil, fmt.Errorf("access.counters: %w", err)
	}
	endpoint, err := account.Endpoint("DYNAMODB")
	if err != nil {
		return nil, fmt.Errorf("access.counters: %w", err)
	}
	cfg := account.Config
	cfg.HTTPClient = nil // it has one of its own
	return &sharedcount.Counter{
		Store: awsdynamo.New(cfg, endpoint, table), Prefix: prefix, Wait: c.Access.CountersWait.D(), Refuse: c.Access.CountersFailure == "refuse", Log: log,
	}, nil
}
