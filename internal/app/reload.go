package app

import (
	"crypto/tls"
	"errors"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/stages"
)

// fixed are the keys, with everything below them, that only a restart can change.
var fixed = []string{
	"listen", "h2c", "data", "queue", "bucket", "lambda", "storage", "admin", "limits", "access_log", "telemetry", "log.format", "log.level",
	"capture.max_body", "capture.memory", "capture.durability", "capture.on_failure",
	"access.proxy_protocol", "access.counters", "access.counters_on_failure", "access.counters_wait",
}

// Reload reads the configuration again and puts routes, rules, destinations and
// certificates into force; calls under way end as they began. It gives the changed keys
// that keep their old value until a restart. On an error everything stays as it was. Either
// way it is logged, and the access log's file is opened anew.
func (a *App) Reload() (restart []string, err error) {
	if a.accessLog != nil {
		a.accessLog.Reopen()
	}
	restart, err = a.reload()
	if err != nil {
		a.log.Error("reload refused, the old configuration stays in force", "err", err)
	}
	return restart, err
}

func (a *App) reload() ([]string, error) {
	c, err := readAgain(a.options.Source)
	if err != nil {
		return nil, err
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	var front *tls.Config
	if c.TLS != nil {
		if front, err = readCertificate(c.TLS); err != nil {
			return nil, err
		}
	}
	restart := keepBack(c, a.config, a.lease)
	way := a.way
	if !reflect.DeepEqual(c.Egress, a.config.Egress) {
		if way, err = wayOut(c, a.metrics, a.log); err != nil {
			return nil, err
		}
	}
	routes, err := stages.NewRoutes(c, way)
	if err != nil {
		return nil, err
	}
	next, err := stages.NewRuleSet(c)
	if err != nil {
		return nil, err
	}
	rules := a.gate.access // a copy: the gate's own does not change
	rules.Client = fetcher(way)
	chain, err := rules.Chain(c)
	if err != nil {
		return nil, err
	}
	kept, err := routes.CacheSettings(c, a.proxy.Refuse, a.log)
	if err != nil {
		return nil, err
	}
	targets, err := alarmTargets(c, way)
	if err != nil {
		return nil, err
	}
	plan, err := a.destinations.plan(c.Destinations, way) // last: it makes positions in the queue
	if err != nil {
		return nil, err
	}
	if front != nil && c.TLS != nil { // switched on, TLS waits for a restart
		a.certificate.current.Store(front)
	}
	a.rules.Set(next)
	a.gate.use(chain, c)
	a.proxy.Reload(routes.Settings(c, a.rules.Redact, a.log))
	a.cache.Reload(kept) // empty: what it had came from the old backends
	a.routes.Close()
	a.routes, a.config, a.way = routes, c, way
	a.once.use(way)
	a.telemetry.use(way)
	a.destinations.apply(plan)
	a.alarms.use(c, targets)
	a.log.Info("reloaded", "file", a.options.Source.File, "routes", routes.Count(), "destinations", a.destinations.names())
	warnRestart(a.log, restart)
	a.queue.warnLeft(a.destinations.names())
	return restart, nil
}

// readAgain reads the configuration file once more.
func readAgain(source config.Source) (*config.Config, error) {
	if source.File == "" {
		return nil, errors.New("there is no configuration file to read again: tapway was started with flags alone")
	}
	source.Text = nil
	return config.Load(source)
}

// keepBack is keepFixed that also knows the queue's lease.
func keepBack(next, now *config.Config, leased time.Duration) (changed []string) {
	changed = keepFixed(next, now)
	if lease(next.Destinations) > leased {
		// Until then a record that is on its way this long may be sent twice.
		changed = append(changed, "destinations (the longest timeout or batch.max_wait)")
	}
	return changed
}

func warnRestart(log *slog.Logger, keys []string) {
	if len(keys) > 0 {
		log.Warn("changed keys that need a restart keep their old value", "keys", strings.Join(keys, ", "))
	}
}

// keepFixed puts the values of now into next where only a restart can change them, so that
// a later reload compares with what is in force, and names what it put back.
func keepFixed(next, now *config.Config) (changed []string) {
	changed = keep(reflect.ValueOf(next).Elem(), reflect.ValueOf(now).Elem(), "")
	if (next.TLS == nil) != (now.TLS == nil) {
		next.TLS = now.TLS
		changed = append(changed, "tls")
	}
	return changed
}

func keep(next, now reflect.Value, prefix string) (changed []string) {
	for i := range next.NumField() {
		key := prefix + next.Type().Field(i).Tag.Get("yaml")
		to, from := next.Field(i), now.Field(i)
		switch {
		case to.Kind() == reflect.Struct:
			changed = append(changed, keep(to, from, key+".")...)
		case isFixed(key) && !reflect.DeepEqual(to.Interface(), from.Interface()):
			to.Set(from)
			changed = append(changed, key)
		}
	}
	return changed
}

func isFixed(key string) bool {
	return slices.ContainsFunc(fixed, func(f string) bool { return key == f || strings.HasPrefix(key, f+".") })
}
