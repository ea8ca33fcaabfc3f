package stages

import (
	"log/slog"
	"net/http"

	"github.com/tapway/tapway/internal/cache"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/route"
)

// CacheSettings are those of a configuration for the calls that r routes. page answers in
// tapway's own name.
func (r *Routes) CacheSettings(c *config.Config, page func(w http.ResponseWriter, r *http.Request, status int, message, reason string), log *slog.Logger) (cache.Settings, error) {
	s := cache.Settings{
		Memory: int64(c.Cache.Memory), MaxEntry: int64(c.Cache.MaxEntry), Anyone: c.Cache.Invalidation == "anyone", Page: page, Log: log,
		Refused: map[string]cache.Refused{"fail": cache.Fail, "warn": cache.Warn, "ignore": cache.Ignore}[c.Cache.Unauthorized],
	}
	if len(c.Cache.Routes) == 0 {
		return s, nil
	}
	configured, err := c.Cache.Rules()
	if err != nil {
		return s, err
	}
	table, err := config.CacheTable(configured)
	if err != nil {
		return s, err
	}
	rules := make([]cache.Rule, len(configured))
	for i, one := range configured {
		rules[i] = cache.Rule{Name: one.Method + " " + one.Template, TTL: one.TTL, Query: one.Query, Whole: one.Whole, Headers: one.Headers,
			Callers: map[string]cache.Callers{"separate": cache.Separate, "shared": cache.Shared}[one.Callers]}
		if one.RFC9111 {
			rules[i].Mode = cache.RFC9111
		}
		s.Rules = append(s.Rules, rules[i].Name)
	}
	for _, name := range c.Cache.Credentials {
		s.Credentials = append(s.Credentials, http.CanonicalHeaderKey(name))
	}
	if j := c.Access.JWT; j != nil {
		s.Credentials = append(s.Credentials, http.CanonicalHeaderKey(j.Header()))
	}
	s.Match = func(in *http.Request, rawPath string) (cache.Route, bool) {
		found, _, status := table.Match(http.MethodGet, rawPath)
		if status != route.Found {
			return cache.Route{}, false
		}
		rule := &rules[found.Ref]
		if in.Method != http.MethodGet && in.Method != http.MethodHead {
			return cache.Route{Rule: rule}, true // for what it changes
		}
		to, params, status := r.table.Match(http.MethodGet, rawPath)
		if status != route.Found || to.Unsupported != "" {
			return cache.Route{}, false
		}
		if in.Method == http.MethodHead {
			if other, _, status := r.table.Match(http.MethodHead, rawPath); status != route.Found || other != to {
				return cache.Route{}, false // it goes elsewhere, or nowhere
			}
		}
		return cache.Route{Rule: rule, Name: to.Name(), Params: params}, true
	}
	return s, nil
}
