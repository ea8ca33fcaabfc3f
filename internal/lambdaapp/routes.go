package lambdaapp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/proxy"
	"github.com/tapway/tapway/internal/route"
	"github.com/tapway/tapway/internal/stages"
)

const (
	// tableAge is how old a table may be before it is compared with the bucket's, after a reply.
	tableAge = time.Minute

	// tablePause is how long a bucket is left alone after it gave no table, and how old a
	// table must be to be read again at once because a route is not in it.
	tablePause = 5 * time.Second

	// A table is read at most tableTries times, each for tableTry: a client waits for the first.
	tableTries = 2
	tableTry   = 1500 * time.Millisecond

	// tableVariables is the member of a table that has the stage's variables as they were when it was
	// written.
	tableVariables = "x-tapway-stage-variables"

	// maxTables bounds the APIs that are kept; no more call one function.
	maxTables = 1000
)

// tables are the route tables of the APIs that call this function, read from a bucket when an API
// first calls. It is a proxy.Router.
type tables struct {
	bucket, prefix string
	fetch          func(ctx context.Context, bucket, key, etag string) (text []byte, newETag string, err error)
	build          func(stages.Export) (*stages.Routes, error)
	others         proxy.Router // where calls go that come by no API with a table
	alone          bool         // there is nothing in others
	log            *slog.Logger
	now            func() time.Time

	mu   sync.Mutex
	apis map[string]*table // by id and stage
}

// table is that of one API and stage. Its mutex is held while it is read.
type table struct {
	api   tapway.API
	mu    sync.Mutex
	asked time.Time // when the bucket was asked last
	err   error     // why there is none; nil: there is one, or nobody has asked

	key, etag string // of the object
	text      []byte
	uses      bool   // stage variables
	variables string // as JSON, those it was made with
	routes    *stages.Routes
}

var (
	errNoTable      = errors.New("there is no route table for this API")
	errNotModified  = errors.New("it has not changed")
	errNotPermitted = errors.New("access denied")
)

// by gives the table of the API that a call came through, and has it read if need be; nil when it did not
// come through an API. An error says why there is none.
func (t *tables) by(r *http.Request) (*table, error) {
	facts, box := tapway.FactsFrom(r.Context()), boxOf(r.Context())
	if facts == nil || box == nil || facts.API == nil || !plain(facts.API.ID) || !plain(facts.API.Stage) || facts.Front != tapway.FrontREST && facts.Front != tapway.FrontHTTP {
		return nil, nil
	}
	if box.table == nil {
		box.table = t.of(facts.API)
	}
	one := box.table
	one.mu.Lock()
	defer one.mu.Unlock()
	if one.routes == nil && (one.asked.IsZero() || !t.settled(one) && t.now().Sub(one.asked) >= tablePause) {
		t.read(r.Context(), one, box.event)
	}
	if one.routes == nil {
		return nil, one.err
	}
	if one.uses {
		if v := gjson.GetBytes(box.event, "stageVariables").Raw; v != one.variables {
			t.make(one, one.text, v)
		}
	}
	return one, nil
}

// plain keeps what is no API's id, and no stage, out of the names of objects.
func plain(s string) bool {
	return s == "$default" || s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_") == ""
}

func (t *tables) of(api *tapway.API) *table {
	name := api.ID + "/" + api.Stage
	t.mu.Lock()
	defer t.mu.Unlock()
	one := t.apis[name]
	if one == nil {
		one = &table{api: tapway.API{ID: api.ID, Stage: api.Stage}}
		if t.apis == nil || len(t.apis) >= maxTables {
			t.apis = map[string]*table{}
		}
		t.apis[name] = one
	}
	return one
}

// read looks for a table, or for a newer one: the stage's own, or else the API's. What is there
// stays when nothing better is found. The caller holds one.mu.
func (t *tables) read(ctx context.Context, one *table, event []byte) {
	one.asked = t.now()
	var err error
	for _, key := range []string{one.api.ID + "/" + one.api.Stage + ".json", one.api.ID + ".json"} {
		etag := ""
		if key == one.key {
			etag = one.etag
		}
		text, newETag, readErr := t.ask(ctx, key, etag)
		switch {
		case errors.Is(readErr, errNotModified):
			return
		case errors.Is(readErr, tapway.ErrNotFound):
			continue
		case errors.Is(readErr, errNotPermitted): // without s3:ListBucket that may mean that it is not there
			err = errors.Join(err, readErr)
			continue
		case readErr != nil:
			t.failed(one, readErr)
			return
		}
		one.key, one.etag = key, newETag
		t.make(one, text, gjson.GetBytes(event, "stageVariables").Raw)
		return
	}
	if err == nil {
		err = errNoTable
	}
	t.failed(one, err)
}

// ask reads an object, again if that may help.
func (t *tables) ask(ctx context.Context, key, etag string) (text []byte, newETag string, err error) {
	for range tableTries {
		limited, cancel := context.WithTimeout(ctx, tableTry)
		text, newETag, err = t.fetch(limited, t.bucket, t.prefix+key, etag)
		cancel()
		if err == nil || ctx.Err() != nil || errors.Is(err, tapway.ErrNotFound) || errors.Is(err, errNotPermitted) || errors.Is(err, errNotModified) {
			break
		}
	}
	return text, newETag, err
}

// make makes routes of a table's text. Those that are there stay when the text is at fault.
func (t *tables) make(one *table, text []byte, variables string) {
	e := stages.Export{Name: "s3://" + t.bucket + "/" + t.prefix + one.key, Text: text, APIID: one.api.ID, Stage: one.api.Stage, StageVariables: map[string]string{}}
	for _, vars := range []gjson.Result{gjson.GetBytes(text, tableVariables), gjson.Parse(variables)} { // the call's own count
		vars.ForEach(func(name, value gjson.Result) bool {
			e.StageVariables[name.String()] = value.String()
			return true
		})
	}
	uses := strings.Contains(string(text), "stageVariables.")
	routes, err := t.build(e)
	if one.text, one.uses, one.variables = text, uses, variables; err != nil {
		t.failed(one, err)
		return
	}
	if one.routes != nil {
		one.routes.Close()
	}
	one.routes, one.err = routes, nil
	t.log.Info("route table", "api", one.api.ID, "stage", one.api.Stage, "table", e.Name, "routes", routes.Count())
}

// failed notes why there is no newer table, or none at all.
func (t *tables) failed(one *table, err error) {
	level, what := slog.LevelWarn, "the route table could not be read again; the one that is known stays"
	if one.routes == nil {
		one.err = err
		if errors.Is(err, errNoTable) && !t.alone {
			return // the API's calls go where the configuration says
		}
		level, what = slog.LevelError, "there is no route table for an API: `tapway attach` writes it; the function's role needs s3:GetObject on it, and s3:ListBucket to tell missing from forbidden"
	}
	t.log.Log(context.Background(), level, what, "api", one.api.ID, "stage", one.api.Stage, "below", "s3://"+t.bucket+"/"+t.prefix, "error", err)
}

// settled reports whether it is known that an API has no table and where its calls go instead: whether it
// has got one meanwhile is looked up after a reply, as for those that have.
func (t *tables) settled(one *table) bool {
	return one.routes != nil || !t.alone && errors.Is(one.err, errNoTable)
}

// refresh compares the table that an invocation has used with the bucket's, when that is due. It runs
// after the reply.
func (t *tables) refresh(ctx context.Context, box *outbox) {
	if t == nil || box.table == nil {
		return
	}
	one := box.table
	one.mu.Lock()
	defer one.mu.Unlock()
	if t.settled(one) && t.now().Sub(one.asked) >= tableAge {
		ctx, cancel := context.WithTimeout(ctx, tableTries*tableTry)
		defer cancel()
		t.read(ctx, one, box.event)
	}
}

// Attached reports whether a call came through an API with a table: an API that somebody has attached
// to this function on purpose.
func (t *tables) Attached(r *http.Request) bool {
	one, _ := t.by(r)
	return one != nil
}

// Route is proxy.Router.
func (t *tables) Route(in *http.Request, rawPath, rawQuery string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	one, err := t.by(in)
	switch {
	case one != nil:
		return t.through(one, in, rawPath, rawQuery, hasQuery)
	case (err == nil || errors.Is(err, errNoTable)) && !t.alone:
		return t.others.Route(in, rawPath, rawQuery, hasQuery)
	case errors.Is(err, errNoTable):
		return proxy.Hop{}, refusal("This API has no routes here: its route table is missing.", "no route table for this API")
	case err != nil:
		return proxy.Hop{}, refusal("This API has no routes here: its route table cannot be read.", "the route table cannot be read")
	}
	return proxy.Hop{}, refusal("There is no backend for calls that do not come through an attached API.", "no backend for this front")
}

func refusal(message, reason string) *proxy.Refusal {
	return &proxy.Refusal{Status: http.StatusBadGateway, Message: message, Reason: reason}
}

// through finds the route of a call by the one that API Gateway has chosen, which its event names. One
// that the table lacks makes a table that is not quite new be read again at once.
func (t *tables) through(one *table, in *http.Request, rawPath, rawQuery string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	box := boxOf(in.Context())
	one.mu.Lock()
	routes := one.routes
	one.mu.Unlock()
	method, template := chosen(box.event, in.Method)
	if template == "" {
		return routes.Route(in, rawPath, rawQuery, hasQuery)
	}
	found := routes.Find(method, template)
	if found == nil {
		one.mu.Lock()
		if t.now().Sub(one.asked) >= tablePause {
			t.read(in.Context(), one, box.event)
		}
		routes = one.routes
		one.mu.Unlock()
		if found = routes.Find(method, template); found == nil {
			if hop, no := routes.Route(in, rawPath, rawQuery, hasQuery); no == nil || no.Route != "" { // a table written by hand may say it otherwise
				return hop, no
			}
			r := refusal("This API has no such route here: its route table is not up to date.", "the route is not in the route table")
			r.Route = method + " " + template
			return proxy.Hop{}, r
		}
	}
	return along(routes, found, box, in, rawPath, rawQuery, hasQuery)
}

// along takes a call the way of the route that was chosen for it.
func along(routes *stages.Routes, found *route.Route, box *outbox, in *http.Request, rawPath, rawQuery string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	params, ok := found.Params(rawPath)
	if !ok {
		if params, ok = eventParams(found, box.event); !ok {
			r := refusal("Bad gateway", "the path does not fit the route")
			r.Route = found.Name()
			return proxy.Hop{}, r
		}
	}
	return routes.To(in, stages.Found{Route: found, Params: params}, rawPath, rawQuery, hasQuery)
}

// export are the routes of an export in the configuration. Nobody knows whether the API in front is the one that
// it describes or passes everything on, so a call goes by its path, and only where that leads nowhere by the route
// that the event names. It is a proxy.Router.
type export struct{ *stages.Routes }

func (e export) Route(in *http.Request, rawPath, rawQuery string, hasQuery bool) (proxy.Hop, *proxy.Refusal) {
	hop, no := e.Routes.Route(in, rawPath, rawQuery, hasQuery)
	if no == nil || no.Route != "" {
		return hop, no
	}
	facts, box := tapway.FactsFrom(in.Context()), boxOf(in.Context())
	if facts == nil || box == nil || facts.Front != tapway.FrontREST && facts.Front != tapway.FrontHTTP {
		return hop, no
	}
	method, template := chosen(box.event, in.Method)
	if template == "" {
		return hop, no
	}
	found := e.Find(method, template)
	if found == nil {
		return hop, no
	}
	return along(e.Routes, found, box, in, rawPath, rawQuery, hasQuery)
}

// chosen is the route that API Gateway has chosen: a REST API names its resource, an HTTP API
// its route key.
func chosen(event []byte, method string) (string, string) {
	if key := gjson.GetBytes(event, "routeKey").String(); key != "" {
		if m, template, ok := strings.Cut(key, " "); ok {
			return m, template
		}
		return route.Any, key
	}
	return method, gjson.GetBytes(event, "resource").String()
}

// eventParams takes parameters from the event, for a path that does not fit the template: an HTTP API's in which an encoded
// slash was decoded, or one with slashes that a REST API has overlooked. What is in them is encoded again.
func eventParams(r *route.Route, event []byte) ([]tapway.PathParam, bool) {
	given := gjson.GetBytes(event, "pathParameters").Map()
	rest := !gjson.GetBytes(event, "version").Exists() // a REST API leaves them encoded
	greedy := ""
	if name, ok := strings.CutSuffix(r.Template, "+}"); ok {
		greedy = name[strings.LastIndexByte(name, '{')+1:]
	}
	names := r.ParamNames()
	params := make([]tapway.PathParam, 0, len(names))
	for _, name := range names {
		v, ok := given[name]
		if !ok || v.String() == "" {
			return nil, false
		}
		segments := []string{v.String()}
		if name == greedy {
			segments = strings.Split(segments[0], "/")
		}
		for i, s := range segments {
			if decoded, err := url.PathUnescape(s); rest && err == nil {
				s = decoded
			}
			segments[i] = url.PathEscape(s)
		}
		value := strings.Join(segments, "/")
		params = append(params, tapway.PathParam{Name: name, Value: value})
	}
	return params, true
}
