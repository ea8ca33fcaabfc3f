package config

import (
	"errors"
	"fmt"
	"net/http"
	"time"

	"github.com/tapway/tapway/internal/route"
)

// Cache is what need not be asked twice.
type Cache struct {
	Routes       []CacheRoute `yaml:"routes" doc:"The calls whose answers are kept, and how. Of several entries the one counts that would as a route: static before parameter before greedy. Nothing is kept of calls that none takes."`
	Mode         string       `yaml:"mode" def:"apigateway" enum:"apigateway rfc9111" doc:"apigateway: 200s to GET are kept for ttl, whatever the backend says in Cache-Control, as in an API Gateway's stage cache. rfc9111: a shared cache; the backend's Cache-Control, Expires and Vary say what is kept and how long."`
	TTL          Duration     `yaml:"ttl" def:"300s" doc:"With apigateway: how long an answer is kept, up to 3600s. 0 switches the cache off, in either mode."`
	Memory       Size         `yaml:"memory" def:"64MiB" doc:"Memory for all answers; the ones not used for the longest time go first. A reload empties the cache."`
	MaxEntry     Size         `yaml:"max_entry" def:"1MiB" doc:"Largest body that is kept; larger ones are passed on."`
	Invalidation string       `yaml:"invalidation" def:"policy" enum:"policy anyone" doc:"Who may ask for a new answer with Cache-Control: max-age=0 or no-cache. policy: those whom access.resource_policy allows execute-api:InvalidateCache, without a policy nobody. anyone: every caller."`
	Unauthorized string       `yaml:"unauthorized" def:"warn" enum:"fail warn ignore" doc:"What becomes of others who ask for one. fail: 403. warn: the header is ignored, and a Warning header says so. ignore: the header is ignored."`
	Credentials  []string     `yaml:"credentials" example:"X-Session" doc:"Headers by which callers are told apart, besides Authorization, Cookie, X-Api-Key and the like (docs/cache.md)."`
}

// CacheRoute is what is kept of some calls.
type CacheRoute struct {
	Match   string    `yaml:"match" required:"true" kind:"match" example:"GET /catalog/{proxy+}" doc:"GET (or ANY) and an API Gateway path template. HEAD is answered from GET."`
	Mode    string    `yaml:"mode" enum:"apigateway rfc9111" doc:"Default cache.mode."`
	TTL     *Duration `yaml:"ttl" example:"60s" doc:"Default cache.ttl."`
	Query   *[]string `yaml:"query" doc:"Names of query parameters in the key; calls that differ in others only get the same answer. Default the whole query, as it was sent; [] is none, as is API Gateway's default."`
	Headers []string  `yaml:"headers" example:"Accept-Language" doc:"Names of headers in the key."`
	Callers string    `yaml:"callers" def:"bypass" enum:"bypass separate shared" doc:"Calls that say who is calling. bypass: they go to the backend, unless headers has what they say or (rfc9111) the response is public or has s-maxage. separate: each caller has answers of his own. shared: all callers get the same answers; only for what is the same for everybody."`
}

// CacheRule is an entry with what it inherits.
type CacheRule struct {
	Method, Template string
	RFC9111          bool
	TTL              time.Duration
	Query            []string
	Whole            bool
	Headers          []string
	Callers          string
}

// Rules are the entries of routes, ready to be used.
func (c *Cache) Rules() ([]CacheRule, error) {
	var out []CacheRule
	for _, r := range c.Routes {
		method, template, err := route.ParseMatch(r.Match)
		if err != nil {
			return nil, err
		}
		if method != http.MethodGet && method != route.Any {
			return nil, fmt.Errorf("cache.routes: %s: only answers to GET are kept", r.Match)
		}
		one := CacheRule{Method: method, Template: template, RFC9111: c.Mode == "rfc9111", TTL: c.TTL.D(), Whole: r.Query == nil, Callers: r.Callers}
		if r.Mode != "" {
			one.RFC9111 = r.Mode == "rfc9111"
		}
		if r.TTL != nil {
			one.TTL = r.TTL.D()
		}
		if r.Query != nil {
			one.Query = *r.Query
		}
		for _, name := range r.Headers {
			one.Headers = append(one.Headers, http.CanonicalHeaderKey(name))
		}
		out = append(out, one)
	}
	return out, nil
}

// CacheTable finds the entry of a path: by its route.Route.Ref.
func CacheTable(rules []CacheRule) (*route.Table, error) {
	list := make([]route.Route, len(rules))
	for i, r := range rules {
		list[i] = route.Route{Method: r.Method, Template: r.Template, Backend: "http://cache.invalid", Ref: i}
	}
	return route.NewTable(list)
}

const maxCacheTTL = Duration(time.Hour)

func (k *checker) cache(c *Config) {
	m := &c.Cache
	k.cacheTTL("cache.ttl", m.TTL, m.Mode)
	k.headerNames("cache.credentials", m.Credentials)
	bad := false
	for i, r := range m.Routes {
		key := fmt.Sprintf("cache.routes[%d]", i)
		if r.TTL != nil {
			mode := m.Mode
			if r.Mode != "" {
				mode = r.Mode
			}
			k.cacheTTL(key+".ttl", *r.TTL, mode)
		}
		k.headerNames(key+".headers", r.Headers)
		method, _, err := route.ParseMatch(r.Match)
		if err != nil {
			bad = true // has been told, or is missing
		} else if method != http.MethodGet && method != route.Any {
			k.fail(key+".match", "only answers to GET are kept", "write GET, which HEAD is answered from too")
			bad = true
		}
	}
	if len(m.Routes) > 0 && m.MaxEntry > m.Memory {
		k.fail("cache.max_entry", "it is more than cache.memory", "")
	}
	if bad {
		return
	}
	rules, err := m.Rules()
	if err == nil {
		_, err = CacheTable(rules)
	}
	var one *route.Error
	switch {
	case errors.As(err, &one):
		k.fail(fmt.Sprintf("cache.routes[%d].match", one.Index), one.Err.Error(), "")
	case err != nil:
		k.fail("cache.routes", err.Error(), "")
	}
}

func (k *checker) cacheTTL(key string, ttl Duration, mode string) {
	if ttl > maxCacheTTL && mode != "rfc9111" && !k.failed(key) {
		k.fail(key, fmt.Sprintf("%v is longer than an API Gateway's cache keeps anything", ttl), "write at most 3600s")
	}
}

func (k *checker) headerNames(key string, list []string) {
	for i, name := range list {
		if !made(name, letters+"-!#$%&'*+.^_`|~", 1, 1<<16) {
			k.fail(fmt.Sprintf("%s[%d]", key, i), fmt.Sprintf("%q is not a header name", name), "")
		}
	}
}
