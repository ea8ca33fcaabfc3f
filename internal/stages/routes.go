package stages

import (
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/http1"
	"github.com/tapway/tapway/internal/proxy"
	"github.com/tapway/tapway/internal/route"
)

// Routes is the table of one configuration with the connections to its backends. It is a
// proxy.Router.
type Routes struct {
	table      *route.Table
	backends   []*proxy.Backend // by route.Route.Ref
	transports []*http1.Transport
	forwarded  proxy.Forwarded
	refusal    *proxy.Refusal // of a call that matches no route
	bases      map[*route.Route]bases
	way        *egress.Dialer
	known      egress.Known // the backends' hosts
}

// NewRoutes reads what the configuration says of backends. way is asked for every connection.
func NewRoutes(c *config.Config, way *egress.Dialer) (*Routes, error) {
	switch {
	case strings.HasPrefix(c.OpenAPI, "s3://"):
		return nil, fmt.Errorf("openapi: %s is read by the Lambda function alone; copy it here with `aws s3 cp` and name the file", c.OpenAPI)
	case c.OpenAPI != "":
		text, err := os.ReadFile(c.OpenAPI)
		if err != nil {
			return nil, fmt.Errorf("read the export: %w", err)
		}
		return NewAPIRoutes(c, way, Export{Name: c.OpenAPI, Text: text, StageVariables: c.StageVariables})
	case c.Backend == "" && len(c.Routes) == 0:
		return nil, errors.New("there is nowhere to send calls: lambda.routes is for the Lambda function alone; set backend, routes or openapi")
	}
	return newRoutes(c, way, (*Routes).list)
}

// NoRoutes is a table without routes: every call is answered 404.
func NoRoutes(c *config.Config, way *egress.Dialer) (*Routes, error) {
	return newRoutes(c, way, func(*Routes, *config.Config) ([]route.Route, error) { return nil, nil })
}

// newRoutes makes a table of what list gives.
func newRoutes(c *config.Config, way *egress.Dialer, list func(*Routes, *config.Config) ([]route.Route, error)) (*Routes, error) {
	r := &Routes{way: way, refusal: &proxy.Refusal{Status: http.StatusNotFound, Message: "Not Found"}}
	if c.Proxy.Forwarded == "off" {
		r.forwarded.Off = true
	}
	for _, text := range c.Access.TrustedProxies {
		prefix, err := access.ParsePrefix(text)
		if err != nil {
			return nil, fmt.Errorf("access.trusted_proxies: %w", err)
		}
		r.forwarded.Trusted = append(r.forwarded.Trusted, prefix)
	}
	common, err := r.backend(c, config.Route{})
	if err != nil {
		return nil, err
	}
	r.backends = []*proxy.Backend{common}
	all, err := list(r, c)
	if err != nil {
		return nil, err
	}
	if r.table, err = route.NewTable(all); err != nil {
		return nil, err
	}
	r.bases = map[*route.Route]bases{}
	var urls []string
	for _, one := range r.table.Routes() {
		r.bases[one] = basesOf(one)
		if one.Backend != "" {
			urls = append(urls, one.Backend)
		}
	}
	r.known = egress.URLs(urls...)
	return r, nil
}

// list gives the routes and makes the backend of each.
func (r *Routes) list(c *config.Config) ([]route.Route, error) {
	if c.Backend != "" {
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

// backend makes the way to a backend. Routes with the same TLS share connections.
func (r *Routes) backend(c *config.Config, one config.Route) (*proxy.Backend, error) {
	b := &proxy.Backend{Timeout: c.Proxy.Timeout.D(), TotalTimeout: c.Proxy.TotalTimeout.D(), PreserveHost: c.Proxy.PreserveHost, MaxResponse: int64(c.Proxy.MaxResponse)}
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
		DialContext: r.way.For(r.Known),
		TLSConfig:   tlsConfig, HTTP2: c.Proxy.HTTP2, H2C: c.Proxy.H2C,
		ConnectTimeout: c.Proxy.ConnectTimeout.D(), ResponseHeaderTimeout: c.Proxy.FirstByteTimeout.D(), BodyIdleTimeout: c.Proxy.IdleTimeout.D(),
		MaxConnsPerHost: c.Proxy.MaxConnections, Dialed: proxy.Dialed,
	}
	r.transports = append(r.transports, t)
	b.Transport = t
	return b, nil
}

// Known tells whether a route's backend is at host and port. A host that found its way here
// otherwise would be a stranger's.
func (r *Routes) Known(host string, port uint16) bool { return r.known(host, port) }

// Close lets idle connections go; calls under way keep theirs.
func (r *Routes) Close() {
	for _, t := range r.transports {
		t.CloseIdleConnections()
	}
}

// Route is proxy.Router.
func (r *Routes) Route(in *http.Request, rawPath, rawQuery string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	found, params, status := r.table.Match(in.Method, rawPath)
	if status != route.Found {
		return proxy.Hop{}, r.refusal
	}
	return r.To(in, Found{found, params}, rawPath, rawQuery, hasQuery)
}

// Found is a route of the table with the values of its parameters.
type Found struct {
	Route  *route.Route
	Params []tapway.PathParam
}

// Find gives the route of a method and a template that API Gateway has chosen. Params are not cut
// out yet.
func (r *Routes) Find(method, template string) *route.Route { return r.table.Find(method, template) }

// To is Route for a call whose route has been chosen.
func (r *Routes) To(in *http.Request, f Found, rawPath, rawQuery string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	found, params := f.Route, f.Params
	if found.Unsupported != "" {
		return proxy.Hop{}, &proxy.Refusal{Status: http.StatusNotImplemented, Message: "This route cannot be served here", Reason: "unsupported integration: " + found.Unsupported,
			Route: found.Name(), Params: params}
	}
	if found.Function != "" {
		return proxy.Hop{Route: found.Name(), Params: params, Backend: r.backends[found.Ref], Scheme: "https", Host: "lambda.invalid", Path: "/"}, nil
	}
	call := tapway.CallFrom(in.Context())
	target, err := found.Target(&route.Request{
		Method: in.Method, Path: rawPath, Query: rawQuery, HasQuery: hasQuery, Header: in.Header, Host: in.Host, Proto: in.Proto,
		ClientIP: call.ClientIP, Call: call,
	}, params)
	switch {
	case errors.Is(err, route.ErrPlace):
		return proxy.Hop{}, &proxy.Refusal{Status: http.StatusBadRequest, Message: "The request path is malformed.", Reason: "path parameter leads out of its place",
			Route: found.Name(), Params: params}
	case err != nil:
		return proxy.Hop{}, &proxy.Refusal{Status: http.StatusBadGateway, Message: "Bad gateway", Reason: err.Error(), Route: found.Name(), Params: params}
	}
	hop := proxy.Hop{
		Route: found.Name(), Params: params, Backend: r.backends[found.Ref],
		Method: target.Method, Scheme: target.Scheme, Host: target.Host, Path: target.Path, Query: target.Query, HasQuery: target.HasQuery,
		OnlyMapped: target.OnlySet, BackendBase: r.bases[found].backend, PublicBase: r.bases[found].public,
	}
	if found.Response != nil {
		hop.Response = found.Response.Apply
	}
	if len(target.SetHeader) > 0 {
		hop.Header = tapway.Header(target.SetHeader).HTTP()
	}
	for _, name := range target.RemoveHeader {
		if hop.Header == nil {
			hop.Header = http.Header{}
		}
		hop.Header[name] = nil
	}
	return hop, nil
}

// bases are the path prefixes that stand for each other on both sides of a route.
type bases struct{ public, backend string }

// basesOf strips what a route's template and its backend's path end with alike:
// /api/users/{id} and https://h/v1/users/{id} leave /api and /v1.
func basesOf(r *route.Route) bases {
	path := r.Backend
	if _, rest, ok := strings.Cut(path, "://"); ok {
		path = rest
	}
	path, _, _ = strings.Cut(path, "?")
	_, path, _ = strings.Cut(path, "/")
	backend := strings.Split(strings.TrimSuffix(path, "/"), "/")
	if r.Template == route.Default {
		return bases{backend: base(backend)}
	}
	public := strings.Split(strings.Trim(r.Template, "/"), "/")
	for len(public) > 0 && len(backend) > 0 && strings.Replace(public[len(public)-1], "+}", "}", 1) == backend[len(backend)-1] {
		public, backend = public[:len(public)-1], backend[:len(backend)-1]
	}
	if strings.Contains(base(public)+base(backend), "{") {
		return bases{} // a parameter differs: nothing fixed stands for anything
	}
	return bases{base(public), base(backend)}
}

func base(segments []string) string {
	if joined := strings.Join(segments, "/"); joined != "" {
		return "/" + joined
	}
	return ""
}

// List gives the routes in force, in the order of the configuration. They are read-only.
func (r *Routes) List() []*route.Route { return r.table.Routes() }

// Count is how many routes there are.
func (r *Routes) Count() int { return len(r.table.Routes()) }

// Settings are the proxy stage's, from the configuration that r was made from. redact and log
// are for what ?dump_request=y shows.
func (r *Routes) Settings(c *config.Config, redact func(*tapway.Exchange), log *slog.Logger) proxy.Settings {
	return proxy.Settings{
		Router: r, Forwarded: r.forwarded,
		NoHeaders: c.Proxy.NoHeaders, MaxRequestBody: int64(c.Proxy.MaxRequest), BodyStatus: bodyStatus,
		AppName: c.Proxy.AppName, ErrorTitle: c.Proxy.ErrorTitle,
		Debug: c.Proxy.Debug, Redact: redact, Log: log,
	}
}

// bodyStatus is what to answer when the server could not read a request's body to its end.
func bodyStatus(err error) int {
	var broken *http1.ProtocolError
	if errors.As(err, &broken) {
		return broken.Status
	}
	return 0
}
