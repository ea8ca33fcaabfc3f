package stages

import (
	"fmt"
	"net/http"

	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/proxy"
	"github.com/tapway/tapway/internal/route"
)

// Export is an API's definition with API Gateway's integrations, to take the routes from.
type Export struct {
	Name string // for messages: a file, or s3://BUCKET/KEY
	Text []byte

	StageVariables map[string]string
	APIID, Stage   string // what calls come through, if that is known; "" leaves it to Text

	// Function makes the way to a Lambda function, by its ARN; nil: such routes cannot be served.
	Function func(arn string) http.RoundTripper
}

// NewAPIRoutes takes the routes from an export, and everything else of backends from the configuration. A
// call that matches none is answered 403, as API Gateway does.
func NewAPIRoutes(c *config.Config, way *egress.Dialer, e Export) (*Routes, error) {
	return newRoutes(c, way, func(r *Routes, c *config.Config) ([]route.Route, error) { return r.export(c, e) })
}

func (r *Routes) export(c *config.Config, e Export) ([]route.Route, error) {
	d, err := route.ReadOpenAPI(e.Text, route.OpenAPIOptions{StageVariables: e.StageVariables, APIID: e.APIID, Stage: e.Stage, Functions: e.Function != nil})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", e.Name, err)
	}
	r.refusal = &proxy.Refusal{Status: http.StatusForbidden, Message: "Missing Authentication Token"}
	secure, open, able := r.backends[0], (*proxy.Backend)(nil), false
	list := d.Routes()
	for i := range list {
		op := &d.Operations[list[i].Ref]
		able = able || op.Tappable
		way := secure
		if op.InsecureSkipVerify && !c.Proxy.TLS.InsecureSkipVerify {
			if open == nil {
				settings := c.Proxy.TLS
				settings.InsecureSkipVerify = true
				if open, err = r.backend(c, config.Route{TLS: &settings}); err != nil {
					return nil, err
				}
			}
			way = open
		}
		b := *way
		b.Timeout = op.Timeout
		if op.Function != "" {
			b.Transport, b.MaxResponse = e.Function(op.Function), 0 // its reply goes out as it is
		}
		list[i].Ref = len(r.backends)
		r.backends = append(r.backends, &b)
	}
	if !able {
		return nil, fmt.Errorf("%s has no route that can be served here; `tapway discover --openapi %s` tells why", e.Name, e.Name)
	}
	return list, nil
}
