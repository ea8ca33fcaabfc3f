package torture

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync/atomic"

	"github.com/tapway/tapway/internal/attach/apitest"
)

const (
	stageName  = "prod"
	secretFile = "secret.txt"
)

// api is an API Gateway with one API, whose routes lead to the backend, and the directory of whoever
// attaches it.
type api struct {
	w      *world
	plan   *behind
	server *apitest.Server
	id     string
	dir    string
	secret string // that the attached API sends with every call
	front  *front // nil until a tapway lives
	before apiState

	fault atomic.Pointer[func() *apitest.Fault]
}

// apiState is what must be the same when it is detached again.
type apiState struct {
	settled, export []byte
	deployments     []string // of a REST API; an HTTP API's others come and go
}

// newAPI makes the API of a life.
func (w *world) newAPI(l life) (*api, error) {
	a := &api{w: w, plan: l.behind, server: apitest.New(), dir: filepath.Join(w.o.Dir, fmt.Sprintf("api-%d", l.no))}
	a.secret = w.secrets.value(rand.New(rand.NewPCG(w.o.Seed, uint64(l.no)|1<<55))) // whatever looks for a secret finds it
	a.server.Before = func(string, *http.Request) *apitest.Fault {
		if f := a.fault.Load(); f != nil {
			return (*f)()
		}
		return nil
	}
	if err := os.Mkdir(a.dir, 0o700); err != nil {
		return nil, err
	}
	if err := writeFile(filepath.Join(a.dir, secretFile), a.secret+"\n"); err != nil {
		return nil, err
	}
	build := a.buildREST
	if a.plan.http {
		build = a.buildHTTP
	}
	if err := build(w.backend.URL); err != nil {
		return nil, fmt.Errorf("make an API: %w", err)
	}
	a.before = a.state()
	return a, nil
}

// object is a body of a call to API Gateway.
type object map[string]any

// build is a row of calls to API Gateway, up to the first that fails.
type build struct {
	server *apitest.Server
	err    error
}

// call gives the id of what it made.
func (b *build) call(method, path string, in object) string {
	if b.err != nil {
		return ""
	}
	text, err := b.server.Call(method, path, in)
	var out struct{ ID, APIID, IntegrationID string }
	if err == nil && len(text) > 0 {
		err = json.Unmarshal(text, &out)
	}
	b.err = err
	return out.ID + out.APIID + out.IntegrationID
}

// buildREST makes two routes that clients call, one with templates and one without a backend.
func (a *api) buildREST(backend string) error {
	b := build{server: a.server}
	a.id = b.call("POST", "/restapis", object{"name": "shop", "tags": map[string]string{"team": "orders"}})
	if b.err != nil {
		return b.err
	}
	root := ""
	for id := range a.server.REST(a.id).Resources {
		root = id
	}
	at := "/restapis/" + a.id + "/resources/"
	proxy := func(parent, uri string) {
		m := at + b.call("POST", at+parent, object{"pathPart": "{proxy+}"}) + "/methods/ANY"
		b.call("PUT", m, object{"authorizationType": "NONE", "requestParameters": map[string]bool{"method.request.path.proxy": true}})
		b.call("PUT", m+"/integration", object{"type": "HTTP_PROXY", "httpMethod": "ANY", "uri": backend + uri,
			"requestParameters": map[string]string{"integration.request.path.proxy": "method.request.path.proxy"}})
	}
	proxy(root, "/{proxy}")
	proxy(b.call("POST", at+root, object{"pathPart": "a"}), "/a/{proxy}")
	get := func(path string, in object) {
		m := at + b.call("POST", at+root, object{"pathPart": path}) + "/methods/GET"
		b.call("PUT", m, object{"authorizationType": "NONE"})
		b.call("PUT", m+"/responses/200", object{})
		b.call("PUT", m+"/integration", in)
		b.call("PUT", m+"/integration/responses/200", object{"selectionPattern": "2.."})
	}
	get("orders", object{"type": "HTTP", "httpMethod": "GET", "uri": backend + "/orders", "requestTemplates": map[string]string{"application/json": "#set($x = 1)"}})
	get("health", object{"type": "MOCK"})
	if b.err != nil {
		return b.err
	}
	_, err := a.server.Deploy(a.id, stageName)
	return err
}

// buildHTTP makes two routes that clients call, each with an integration.
func (a *api) buildHTTP(backend string) error {
	b := build{server: a.server}
	a.id = b.call("POST", "/v2/apis", object{"name": "shop", "protocolType": "HTTP", "tags": map[string]string{"team": "orders"}})
	at := "/v2/apis/" + a.id
	for _, path := range []string{"/", "/a/"} {
		in := b.call("POST", at+"/integrations", object{"integrationType": "HTTP_PROXY", "integrationMethod": "ANY", "payloadFormatVersion": "1.0",
			"integrationUri": backend + path + "{proxy}"})
		b.call("POST", at+"/routes", object{"routeKey": "ANY " + path + "{proxy+}", "target": "integrations/" + in})
	}
	b.call("POST", at+"/stages", object{"stageName": stageName, "autoDeploy": a.plan.auto})
	if b.err != nil || a.plan.auto {
		return b.err
	}
	_, err := a.server.Deploy(a.id, stageName)
	return err
}

// open lets clients call the API, behind which a tapway lives now.
func (a *api) open(tapway string) {
	w := a.w
	a.front = newFront(frontConf{
		resolve: func(method, path string) (apitest.Target, bool) {
			return a.server.Resolve(a.id, stageName, method, path)
		},
		backend: w.backend.Listener.Addr().String(), tapway: tapway, led: &w.led, problem: w.problem, mayBreak: w.refuses, timeout: proxyTimeout,
	})
}

// tapwayEnds is called before the tapway behind it is told to end or is killed.
func (a *api) tapwayEnds() {
	if a != nil {
		a.front.living.Store(false)
	}
}

// close ends it. No client calls it any more.
func (a *api) close() {
	if a != nil && a.front != nil {
		a.front.close()
	}
}

func (a *api) state() apiState {
	s := apiState{settled: a.server.Settled(), export: a.server.Export(a.id, stageName)}
	if rest := a.server.REST(a.id); rest != nil {
		for id := range rest.Deployments {
			s.deployments = append(s.deployments, id)
		}
		slices.Sort(s.deployments)
	}
	return s
}

// differs says in what the API is not as it was in the beginning, "" if it is.
func (a *api) differs() string {
	now := a.state()
	if d := apitest.Diff(a.before.settled, now.settled); d != "" {
		return "the API:\n" + d
	}
	if d := apitest.Diff(a.before.export, now.export); d != "" && !a.plan.auto { // its export has the time of the newest deployment
		return "the export of the stage:\n" + d
	}
	if !slices.Equal(a.before.deployments, now.deployments) {
		return fmt.Sprintf("the deployments: %v, now %v", a.before.deployments, now.deployments)
	}
	if h := a.server.HTTP(a.id); h != nil {
		for _, d := range h.Deployments {
			if strings.HasPrefix(d.Description, "tapway") {
				return fmt.Sprintf("a deployment is left over: %s (%s)", d.ID, d.Description)
			}
		}
	}
	return ""
}

// strays says which routes that clients call do not lead to a host, "" if all do.
func (a *api) strays(host string) string {
	for _, path := range []string{"/a/1", "/b/1"} {
		t, ok := a.server.Resolve(a.id, stageName, "GET", path)
		if _, rest, _ := strings.Cut(t.URI, "://"); !ok || !strings.HasPrefix(rest, host+"/") {
			return fmt.Sprintf("%s leads to %q", path, t.URI)
		}
	}
	return ""
}

// phase is how far an attachment is, as the saved state says: "" if there is none.
func (a *api) phase() string {
	text, err := os.ReadFile(filepath.Join(a.dir, "tapway-"+a.id+".json"))
	if errors.Is(err, os.ErrNotExist) {
		return ""
	}
	var st struct{ Phase string }
	if err == nil {
		err = json.Unmarshal(text, &st)
	}
	if err != nil {
		a.w.problem("the saved state of an API", "%v", err)
	}
	return st.Phase
}
