package stages

import (
	"net/http"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/delivery"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/http1"
)

// Destination is what makes the attempts for one destination.
type Destination struct {
	Sender    *delivery.Sender
	Match     func(*tapway.Message) bool // nil: every record is wanted
	Transport *http1.Transport           // the Sender's, to be closed when it is done with
}

// NewDestination makes it from its part of the configuration. way is asked for every
// connection. observe is told of every request; nil is nobody.
func NewDestination(c config.Destination, way *egress.Dialer, version string, observe func(delivery.Attempt)) (*Destination, error) {
	settings, err := ClientTLS(c.TLS)
	if err != nil {
		return nil, err
	}
	transport := &http1.Transport{
		DialContext: way.For(egress.URLs(c.URL)),
		TLSConfig:   settings, HTTP2: true, ConnectTimeout: min(c.Timeout.D(), 5*time.Second), MaxIdlePerHost: c.Concurrency,
	}
	header := http.Header{}
	for name, value := range c.Headers {
		header.Set(name, value.Reveal())
	}
	format, err := delivery.ParseFormat(c.Format)
	if err != nil {
		return nil, err
	}
	sender := &delivery.Sender{
		Name: c.Name, URL: c.URL, Header: header, Format: format, Secrets: c.Signing, Transport: transport,
		Timeout: c.Timeout.D(), Version: version, Observe: observe,
		Batch: delivery.Batch{MaxRecords: c.Batch.MaxRecords, MaxBytes: int(c.Batch.MaxBytes), MaxWait: c.Batch.MaxWait.D()},
		Retry: delivery.Retry{MaxAttempts: c.Retry.MaxAttempts, Min: c.Retry.Min.D(), Max: c.Retry.Max.D()},
	}
	if err := sender.Check(); err != nil {
		return nil, err
	}
	d := &Destination{Sender: sender, Transport: transport}
	if strings.TrimSpace(c.If) != "" {
		f, err := filter.Parse(c.If)
		if err != nil {
			return nil, err
		}
		d.Match = delivery.Matching(f, c.Name)
	}
	return d, nil
}
