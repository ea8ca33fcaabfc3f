package app

import (
	"context"
	"net"
	"net/netip"
	"net/url"
	"path/filepath"
	"sync"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/series"
)

// openFigures opens what is kept for people to look at: the charts, and when keys were last used.
// A gateway serves without them as well as with them, so nothing here fails its start.
func (a *App) openFigures(c *config.Config) {
	var err error
	if a.series, err = series.Open(filepath.Join(c.Data, "series"), a.log); err != nil {
		a.log.Error("the charts end with this process", "err", err)
		a.series, _ = series.Open("", a.log) // without a file nothing can fail
	}
	a.shown = openShown(shownFile(c.Data), a.gate.access.State, a.log)
}

// runFigures keeps them on disk until ctx ends.
func (a *App) runFigures(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { a.shown.run(ctx) })
	if err := a.series.Run(ctx); err != nil {
		a.log.Error("the last figures of the charts are not written", "err", err)
	}
	both.Wait()
}

// gatewayURL is where the gateway is reached from its own machine: for replays through it.
func (a *App) gatewayURL(c *config.Config) string {
	host, port, err := net.SplitHostPort(a.Addr())
	if err != nil {
		return ""
	}
	if ip, err := netip.ParseAddr(host); err == nil && ip.IsUnspecified() {
		host = "localhost"
	}
	u := url.URL{Scheme: "http", Host: net.JoinHostPort(host, port)}
	if c.TLS != nil {
		u.Scheme = "https"
	}
	return u.String()
}

// routeList is the routes in force, for the console.
func (a *App) routeList() []admin.Route {
	a.mu.Lock()
	defer a.mu.Unlock()
	var out []admin.Route
	for _, r := range a.routes.List() {
		out = append(out, admin.Route{Match: r.Name(), Backend: withoutUser(r.Backend), Unsupported: r.Unsupported})
	}
	return out
}

// withoutUser leaves out user name and password of a URL, which may have {parameters} in it.
func withoutUser(text string) string {
	u, err := url.Parse(text)
	if err != nil {
		return "(not shown: the URL cannot be read)"
	}
	if u.User == nil {
		return text
	}
	u.User = nil
	return u.String()
}
