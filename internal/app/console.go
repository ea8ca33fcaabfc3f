package app

import (
	"net"
	"net/netip"
	"net/url"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/config"
)

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
