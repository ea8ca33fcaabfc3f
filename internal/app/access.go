package app

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"path/filepath"
	"sync"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/stages"
)

// KeysFile and UsageFile are where a data directory has the API keys made on the command line,
// and what all keys have used.
func KeysFile(data string) string  { return filepath.Join(data, "access-keys.json") }
func UsageFile(data string) string { return filepath.Join(data, "access-usage.json") }

// HooksFile is where a data directory has the addresses of GitHub's webhooks, once they have
// been fetched.
func HooksFile(data string) string { return filepath.Join(data, "github-hooks.json") }

// gate is the access rules with what they remember.
type gate struct {
	access.Gate
	access  stages.Access
	counter keeper
	guard   *access.Listener // nil: connections are not looked at
}

// openGate reads keys and counts, and puts the rules of c into force.
func (a *App) openGate(c *config.Config) (err error) {
	g := &a.gate
	if g.counter, err = openCounter(c, a.log); err != nil {
		return err
	}
	g.access = stages.Access{
		State: access.NewState(g.counter, time.Now()), Page: a.proxy.Refuse, Log: a.log,
		Client: fetcher(a.way), More: a.options.Rules,
		Refused: a.metrics.refusal,
	}
	g.access.State.KeyDir = c.Data
	if g.access.Keys, err = access.OpenKeyFile(KeysFile(c.Data), g.access.State, a.log); err != nil {
		return err
	}
	if table, _ := c.Access.CounterTable(); table != "" && g.access.Keys.Own() > 0 {
		a.log.Warn("API keys made by an older tapway count on each machine apart, in spite of access.counters: run `tapway keys migrate` on each", "keys", g.access.Keys.Own())
	}
	if g.access.Hooks, err = access.OpenHookFile(HooksFile(c.Data), a.log); err != nil {
		return err
	}
	chain, err := g.access.Chain(c)
	if err != nil {
		return err
	}
	g.Set(chain)
	return nil
}

// fetcher makes what fetches an identity provider's keys.
func fetcher(way *egress.Dialer) func(urls ...string) *http.Client {
	return func(urls ...string) *http.Client { return stages.FetchClient(way, urls...) }
}

// run keeps the counts on disk and looks after keys and rules until ctx ends.
func (g *gate) run(ctx context.Context) error {
	var watching sync.WaitGroup
	watching.Go(func() { g.access.Keys.Run(ctx) }) // they only end with ctx
	watching.Go(func() { g.Run(ctx) })
	err := g.counter.Run(ctx)
	watching.Wait()
	if err != nil {
		return fmt.Errorf("write what the API keys have used: %w", err)
	}
	return nil
}

// guard bounds the connections of l as c says, and finds out whose they are.
func (a *App) guard(c *config.Config, l net.Listener) net.Listener {
	if !c.Access.ProxyProtocol && c.Limits.PerAddress == 0 && c.Limits.ConnectionRate == 0 {
		return l
	}
	trusted, _ := access.ParseSet(c.Access.TrustedProxies...) // the configuration was checked
	a.gate.guard = &access.Listener{
		Listener: l, Trusted: trusted, ProxyProtocol: c.Access.ProxyProtocol, HeaderTimeout: limit(c.Limits.HeaderTimeout),
		PerAddress: c.Limits.PerAddress, Log: a.log, Refused: a.metrics.refusal,
	}
	if rate := c.Limits.ConnectionRate; rate > 0 {
		a.gate.guard.Rate = &access.Rate{PerSecond: rate}
	}
	return a.gate.guard
}

// use puts other rules into force.
func (g *gate) use(chain *access.Chain, c *config.Config) {
	g.Set(chain)
	if g.guard != nil {
		trusted, _ := access.ParseSet(c.Access.TrustedProxies...) // the configuration was checked
		g.guard.SetTrusted(trusted)
	}
}
