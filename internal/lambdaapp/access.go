package lambdaapp

import (
	"log/slog"
	"net/http"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/access"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/lambdahttp"
	"github.com/tapway/tapway/internal/proxy"
	"github.com/tapway/tapway/internal/stages"
)

// balancerTLS is what load balancers in front are said to do with client certificates.
func balancerTLS(c *config.Config) lambdahttp.BalancerTLS {
	if cert := c.Access.ClientCertificate; cert != nil && cert.ALB != "off" {
		return lambdahttp.BalancerTLS(cert.ALB)
	}
	return lambdahttp.BalancerIgnores
}

// newGate makes the access rules.
func newGate(c *config.Config, h *proxy.Handler, apis *tables, cloud *cloud, way *egress.Dialer, count counting, log *slog.Logger) (*access.Gate, error) {
	rules := stages.Access{State: access.NewState(count.counter, time.Now()), Region: cloud.base.Region, Page: h.Refuse, Log: log}
	rules.State.KeyDir = cloud.scratch
	rules.Price, rules.Refused, rules.Near = count.price, count.refused, count.near
	rules.Client = func(urls ...string) *http.Client { return stages.FetchClient(way, urls...) }
	if apis != nil {
		rules.Attached = apis.Attached
	}
	chain, err := rules.Chain(c)
	if err != nil {
		return nil, &SettingsError{err.Error()}
	}
	gate := new(access.Gate)
	gate.Set(chain)
	return gate, nil
}

// checkAccess tells of rules that a function cannot keep: each execution environment would count
// for itself, and a client could have any number of them.
func checkAccess(c *config.Config) error {
	table, _ := c.Access.CounterTable()
	if counted := c.Counts(); len(counted) > 0 && table == "" && c.Access.Counters != "local" {
		return settingsf("%s: rates and quotas need a store that all execution environments share, and so do ceilings; set access.counters: dynamodb://TABLE (the Terraform module makes the table with shared_counters = true), let API Gateway bound the calls, or set access.counters: local so that each environment counts for itself and begins anew", strings.Join(counted, ", "))
	}
	if c.Access.KeyRequired() && len(c.Access.APIKeys) == 0 {
		return settingsf("access.api_key is required and there is no key: those of `tapway keys create` are on the machine where they were made; set access.api_keys")
	}
	return nil
}
