package app

import (
	"errors"
	"fmt"
	"reflect"

	"github.com/tapway/tapway/internal/config"
)

// fixed are the keys that only a restart can change.
var fixed = []struct {
	key string
	of  func(*config.Config) any
}{
	{"listen", func(c *config.Config) any { return c.Listen }},
	{"tls (on or off)", func(c *config.Config) any { return c.TLS != nil }},
	{"h2c", func(c *config.Config) any { return c.H2C }},
	{"data", func(c *config.Config) any { return c.Data }},
	{"queue", func(c *config.Config) any { return c.Queue }},
	{"storage", func(c *config.Config) any { return c.Storage }},
	{"admin", func(c *config.Config) any { return c.Admin }},
	{"limits", func(c *config.Config) any { return c.Limits }},
	{"capture.max_body, memory, durability, on_failure", func(c *config.Config) any {
		return []any{c.Capture.MaxBody, c.Capture.Memory, c.Capture.Durability, c.Capture.OnFailure}
	}},
	{"destinations (a timeout this long)", func(c *config.Config) any { return lease(c.Destinations) }},
	{"log", func(c *config.Config) any { l := c.Log; l.Calls = false; return l }},
}

// Reload reads the configuration again and puts routes, rules, destinations and
// certificates into force; calls under way end as they began. On an error everything stays
// as it was. Either way one line is logged.
func (a *App) Reload() error {
	err := a.reload()
	if err != nil {
		a.log.Error("reload refused, the old configuration stays in force", "err", err)
	}
	return err
}

func (a *App) reload() error {
	source := a.options.Source
	if source.File == "" {
		return errors.New("there is no configuration file to read again: tapway was started with flags alone")
	}
	source.Text = nil
	c, err := config.Load(source)
	if err != nil {
		return err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	routes, err := newRoutes(c)
	if err != nil {
		return err
	}
	next, err := newRuleSet(c)
	if err != nil {
		return err
	}
	plan, err := a.destinations.plan(c.Destinations)
	if err != nil {
		return fmt.Errorf("destinations: %w", err)
	}
	if c.TLS != nil && a.config.TLS != nil {
		if _, err := a.certificate.load(c.TLS); err != nil {
			return err
		}
	}
	var restart []string
	for _, f := range fixed {
		if !reflect.DeepEqual(f.of(c), f.of(a.config)) {
			restart = append(restart, f.key)
		}
	}
	a.rules.swap(next)
	a.proxy.Reload(a.settings(c, routes))
	a.routes.close()
	a.routes, a.config = routes, keepFixed(c, a.config)
	a.destinations.apply(plan)
	a.log.Info("reloaded", "file", source.File, "routes", routes.count, "destinations", a.destinations.names())
	if len(restart) > 0 {
		a.log.Warn("changed keys that need a restart keep their old value", "keys", restart)
	}
	return nil
}

// keepFixed gives next with the values of now where only a restart can change them, so
// that a later reload compares with what is in force.
func keepFixed(next, now *config.Config) *config.Config {
	c := *next
	c.Listen, c.H2C, c.Data, c.Queue, c.Storage, c.Admin, c.Limits = now.Listen, now.H2C, now.Data, now.Queue, now.Storage, now.Admin, now.Limits
	c.Capture.MaxBody, c.Capture.Memory = now.Capture.MaxBody, now.Capture.Memory
	c.Capture.Durability, c.Capture.OnFailure = now.Capture.Durability, now.Capture.OnFailure
	if (next.TLS == nil) != (now.TLS == nil) {
		c.TLS = now.TLS
	}
	return &c
}
