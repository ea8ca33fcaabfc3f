package app

import (
	"log/slog"

	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/egress"
)

// wayOut makes the dialer that every connection of a configuration goes through.
func wayOut(c *config.Config, m *metrics, log *slog.Logger) (*egress.Dialer, error) {
	policy, err := c.Egress.Policy()
	if err != nil {
		return nil, err
	}
	return &egress.Dialer{Policy: policy, Observe: m.dialled, Log: log}, nil
}
