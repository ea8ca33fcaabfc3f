package app

import (
	"fmt"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/http1"
	"github.com/tapway/tapway/internal/proxy"
	"github.com/tapway/tapway/internal/route"
)

// routes is the table of one configuration with the connections to its backends. It is a
// proxy.Router.
type routes struct {
	table      *route.Table
	backends   []*proxy.Backend // by route.Route.Ref
	transports []*http1.Transport
	forwarded  proxy.Forwarded
	refusal    *proxy.Refusal // of a call that matches no route
	count      int
}

// newRoutes reads what the configuration says of backends.
func newRoutes(c *config.Config) (*routes, error) {
	r := &routes{refusal: &proxy.Refusal{Status: http.StatusNotFound, Message: "Not Found"}}
	if c.Proxy.Forwarded == "off" {
		r.forwarded.Off = true
	}
	for _, text := range c.Access.TrustedProxies {
		prefix, err := netip.ParsePrefix(text)
		if err != nil {
			addr, err := netip.ParseAddr(text)
			if err != nil {
				return nil, fmt.Errorf("access.trusted_proxies: %w", err)
			}
			prefix = netip.PrefixFrom(addr, addr.BitLen())
		}
		r.forwarded.Trusted = append(r.forwarded.Trusted, prefix)
	}
	list, err := r.list(c)
	if err != nil {
		return nil, err
	}
	r.count = len(list)
	r.table, err = route.NewTable(list)
	return r, err
}

// list gives the routes and makes the backend of each.
func (r *routes) list(c *config.Config) ([]route.Route, error) {
	common, err := r.backend(c, config.Route{})
	if err != nil {
		return nil, err
	}
	r.backends = []*proxy.Backend{common}
	switch {
	case c.OpenAPI != "":
		return r.openAPI(c)
	case c.Backend != "":
		return []route.Route{route.CatchAll(c.Backend)}, nil
	}
	var list []route.Route
	for _, configured := range c.Routes {
		method, template, err := route.ParseMatch(configured.Match)
		if err != nil {
			return nil, err
		}
		one := route.Route{Method: method, Template: template, Backend: configured.Backend}
		if configured.TLS != nil || configured.Timeout != nil || configured.PreserveHost != nil {
			b, err := r.backend(c, configured)
			if err != nil {
				return nil, fmt.Errorf("route %s: %w", configured.Match, err)
			}
			one.Ref = len(r.backends)
			r.backends = append(r.backends, b)
		}
		list = append(list, one)
	}
	return list, nil
}

// openAPI takes the routes from an API Gateway export.
func (r *routes) openAPI(c *config.Config) ([]route.Route, error) {
	text, err := os.ReadFile(c.OpenAPI)
	if err != nil {
		return nil, fmt.Errorf("read the export: %w", err)
	}
	d, err := route.ReadOpenAPI(text, route.OpenAPIOptions{StageVariables: c.StageVariables})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", c.OpenAPI, err)
	}
	r.refusal = &proxy.Refusal{Status: http.StatusForbidden, Message: "Missing Authentication Token"}
	list := d.Routes()
	if len(list) == 0 {
		return nil, fmt.Errorf("%s has no route that this machine can serve; `tapway discover --openapi %s` tells why", c.OpenAPI, c.OpenAPI)
	}
	for i := range list {
		if timeout := list[i].Timeout; timeout > 0 {
			limit := config.Duration(timeout)
			b, err := r.backend(c, config.Route{Timeout: &limit})
			if err != nil {
				return nil, err
			}
			list[i].Ref = len(r.backends)
			r.backends = append(r.backends, b)
		}
	}
	return list, nil
}

// backend makes the way to a backend. Routes with the same TLS share connections.
func (r *routes) backend(c *config.Config, one config.Route) (*proxy.Backend, error) {
	b := &proxy.Backend{Timeout: c.Proxy.Timeout.D(), PreserveHost: c.Proxy.PreserveHost, MaxResponse: int64(c.Proxy.MaxResponse)}
	if one.Timeout != nil {
		b.Timeout = one.Timeout.D()
	}
	if one.PreserveHost != nil {
		b.PreserveHost = *one.PreserveHost
	}
	if one.TLS == nil && len(r.transports) > 0 {
		b.Transport = r.transports[0]
		return b, nil
	}
	settings := c.Proxy.TLS
	if one.TLS != nil {
		settings = *one.TLS
	}
	tlsConfig, err := ClientTLS(settings)
	if err != nil {
		return nil, err
	}
	t := &http1.Transport{
		TLSConfig: tlsConfig, HTTP2: c.Proxy.HTTP2, H2C: c.Proxy.H2C,
		ConnectTimeout: c.Proxy.ConnectTimeout.D(), ResponseHeaderTimeout: c.Proxy.FirstByteTimeout.D(), BodyIdleTimeout: c.Proxy.IdleTimeout.D(),
		MaxConnsPerHost: c.Proxy.MaxConnections, Dialed: proxy.Dialed,
	}
	r.transports = append(r.transports, t)
	b.Transport = t
	return b, nil
}

// close lets idle connections go; calls under way keep theirs.
func (r *routes) close() {
	for _, t := range r.transports {
		t.CloseIdleConnections()
	}
}

// Route is proxy.Router.
func (r *routes) Route(in *http.Request, rawPath, rawQuery string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	found, params, status := r.table.Match(in.Method, rawPath)
	if status != route.Found {
		return proxy.Hop{}, r.refusal
	}
	target, err := found.Target(rawPath, params, rawQuery, hasQuery, &mappingRequest{in, params, &r.forwarded})
	if err != nil {
		return proxy.Hop{}, &proxy.Refusal{Status: http.StatusInternalServerError, Message: "Internal server error", Reason: "parameter mapping: " + err.Error()}
	}
	return proxy.Hop{
		Route: found.Name(), Params: params, Backend: r.backends[found.Ref],
		Method: target.Method, Scheme: target.Scheme, Host: target.Host, Path: target.Path, Query: target.Query, HasQuery: target.HasQuery,
		Header: target.Header, OnlyMapped: target.OnlyMapped, BackendBase: target.BackendBase, PublicBase: target.PublicBase,
	}, nil
}

// settings are the proxy stage's, from a configuration and its routes.
func (a *App) settings(c *config.Config, r *routes) proxy.Settings {
	return proxy.Settings{
		Router: r, Forwarded: r.forwarded,
		FilteredPaths: c.Proxy.FilteredPaths, FilteredMessage: c.Proxy.FilteredMessage,
		NoHeaders: c.Proxy.NoHeaders, MaxRequestBody: int64(c.Proxy.MaxRequest),
		AppName: c.Proxy.AppName, ErrorTitle: c.Proxy.ErrorTitle,
		Debug: c.Proxy.Debug, Redact: a.rules.redact, Log: a.log,
	}
}

var _ = []any{time.Now, tapway.NewID, url.Parse}
