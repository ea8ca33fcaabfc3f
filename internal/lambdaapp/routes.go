package lambdaapp

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"strings"
	"sync"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/proxy"
	"github.com/tapway/tapway/internal/stages"
)

const (
	tableAge   = time.Minute     // after which a route table is looked at again
	tableRetry = 5 * time.Second // after which one that could not be had is
	tableTime  = 3 * time.Second // for reading one, all tries together; a call may wait for it
)

// fetcher reads an object of S3; an error that wraps tapway.ErrNotFound says that it is not there.
type fetcher func(ctx context.Context, bucket, key string) ([]byte, error)

// apiRoutes are the route tables of the APIs that are attached to this function: API Gateway
// tells which API and which of its routes a call came by, but not where it used to go. It is
// a proxy.Router.
type apiRoutes struct {
	bucket, prefix string
	fetch          fetcher
	build          func(name string, text []byte, stageVariables map[string]string) (*stages.Routes, error)
	own            *stages.Routes // the configuration's
	owns           bool           // it has a route at all
	log            *slog.Logger
	now            func() time.Time

	mu     sync.Mutex
	tables map[string]*apiTable // by API
}

// apiTable is one API's. mu is held while it is read, so that calls that come together read it
// once.
type apiTable struct {
	mu     sync.Mutex
	routes *stages.Routes // nil: it could not be had
	text   []byte
	looked time.Time
	err    error
}

func newAPIRoutes(c *config.Config, way *egress.Dialer, own *stages.Routes, fetch fetcher, log *slog.Logger) *apiRoutes {
	bucket, prefix, _ := strings.Cut(strings.TrimPrefix(c.Lambda.Routes, "s3://"), "/")
	return &apiRoutes{
		bucket: bucket, prefix: prefix, fetch: fetch, own: own, owns: own.Count() > 0, log: log, now: time.Now, tables: map[string]*apiTable{},
		build: func(name string, text []byte, vars map[string]string) (*stages.Routes, error) {
			return stages.NewTable(c, way, name, text, vars)
		},
	}
}

// Route is proxy.Router.
func (a *apiRoutes) Route(r *http.Request, rawPath, rawQuery string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	call := tapway.CallFrom(r.Context())
	api := call.API
	if api == nil || !plainID(api.ID) || call.Front != tapway.FrontREST && call.Front != tapway.FrontHTTP {
		return a.fallback(r, rawPath, rawQuery, hasQuery, "route table: the call names no API")
	}
	a.mu.Lock()
	t := a.tables[api.ID]
	if t == nil {
		t = new(apiTable)
		a.tables[api.ID] = t
	}
	a.mu.Unlock()
	routes, err := a.table(r.Context(), api.ID, t)
	switch {
	case routes != nil:
		return routes.Route(r, rawPath, rawQuery, hasQuery)
	case errors.Is(err, tapway.ErrNotFound):
		return a.fallback(r, rawPath, rawQuery, hasQuery, "route table: there is none for API "+api.ID)
	}
	return proxy.Hop{}, &proxy.Refusal{Status: http.StatusBadGateway, Message: "Bad gateway", Reason: "route table: it cannot be read"}
}

func (a *apiRoutes) fallback(r *http.Request, rawPath, rawQuery string, hasQuery bool, why string) (proxy.Hop, *proxy.Refusal) {
	if a.owns {
		return a.own.Route(r, rawPath, rawQuery, hasQuery)
	}
	return proxy.Hop{}, &proxy.Refusal{Status: http.StatusBadGateway, Message: "Bad gateway", Reason: why}
}

// plainID keeps what is no API's id out of the names of objects.
func plainID(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < '0' || c > '9') {
			return false
		}
	}
	return id != ""
}

// table gives an API's routes, and reads them at its first call, or a while after that failed.
// That an API has none is no failure where there are other routes: refresh looks again.
func (a *apiRoutes) table(ctx context.Context, id string, t *apiTable) (*stages.Routes, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	failed := t.err != nil && !(a.owns && errors.Is(t.err, tapway.ErrNotFound))
	if t.looked.IsZero() || failed && t.routes == nil && a.now().Sub(t.looked) >= tableRetry {
		a.read(ctx, id, t)
	}
	return t.routes, t.err
}

// read looks at an API's table; one that was read before stays in force when the new one cannot
// be.
func (a *apiRoutes) read(ctx context.Context, id string, t *apiTable) {
	ctx, cancel := context.WithTimeout(ctx, tableTime)
	defer cancel()
	key := a.prefix + id + ".json"
	text, err := a.fetch(ctx, a.bucket, key)
	if err != nil && !errors.Is(err, tapway.ErrNotFound) && ctx.Err() == nil {
		text, err = a.fetch(ctx, a.bucket, key)
	}
	t.looked = a.now()
	if err == nil && t.routes != nil && bytes.Equal(text, t.text) {
		return
	}
	var routes *stages.Routes
	if err == nil {
		routes, err = a.build("s3://"+a.bucket+"/"+key, text, stageVariables(text))
	}
	if err != nil {
		t.err = fmt.Errorf("route table of API %s: %w", id, err)
		a.log.Error("the route table of an API cannot be had; `tapway attach --route-table` writes it", "api", id, "bucket", a.bucket, "key", key, "kept", t.routes != nil, "error", err)
		return
	}
	if t.routes != nil {
		t.routes.Close()
	}
	t.routes, t.text, t.err = routes, text, nil
	a.log.Info("route table", "api", id, "bucket", a.bucket, "key", key, "routes", routes.Count())
}

// refresh looks again at tables that are a minute old. It is called when the client has its
// response.
func (a *apiRoutes) refresh(ctx context.Context) {
	a.mu.Lock()
	tables := maps.Clone(a.tables)
	a.mu.Unlock()
	for id, t := range tables {
		t.mu.Lock()
		if a.now().Sub(t.looked) >= tableAge {
			a.read(ctx, id, t)
		}
		t.mu.Unlock()
	}
}

// stageVariables are those that `tapway attach` has written into a table.
func stageVariables(text []byte) map[string]string {
	var table struct {
		Variables map[string]string `json:"x-tapway-stage-variables"`
	}
	_ = json.Unmarshal(text, &table) // what is wrong with it is told by who reads its routes
	return table.Variables
}
