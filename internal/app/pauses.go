package app

import (
	"context"
	"log/slog"
	"path/filepath"
	"slices"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/config"
	"github.com/tapway/tapway/internal/delivery"
)

// openPauses reads which destinations an operator had paused. If that cannot be read all of them
// are, because resuming one against an operator's will cannot be undone.
func openPauses(dir string, list []config.Destination, queue engine, log *slog.Logger) *delivery.Pauses {
	pauses, err := delivery.OpenPauses(filepath.Join(dir, "pauses.json"))
	if err != nil {
		log.Error("every destination is paused; `tapway queue resume` resumes one", "err", err)
		for _, d := range list {
			if err := pauses.Add(d.Name, "it cannot be told whether an operator had paused it"); err != nil {
				log.Error("pause not remembered", "destination", d.Name, "err", err)
			}
		}
	}
	var known []tapway.DestinationStats
	if store := queue.figures(context.Background()).store; store != nil {
		known = store.Destinations
	}
	err = pauses.Retain(func(name string) bool {
		return slices.ContainsFunc(list, func(d config.Destination) bool { return d.Name == name }) ||
			slices.ContainsFunc(known, func(d tapway.DestinationStats) bool { return d.Destination == name })
	})
	if err != nil {
		log.Warn("pauses of forgotten destinations are still remembered", "err", err)
	}
	return pauses
}

// Pause is an operator's: it outlives the process.
func (d *destination) Pause(reason string) {
	d.worker.Pause(reason)
	if err := d.pauses.Add(d.config.Name, reason); err != nil {
		d.worker.Log.Error("the pause will not outlive this process", "destination", d.config.Name, "err", err)
	}
}

// Resume ends a pause, whoever made it, for good.
func (d *destination) Resume() {
	if err := d.pauses.Remove(d.config.Name); err != nil {
		d.worker.Log.Error("the destination will be paused again when tapway is restarted", "destination", d.config.Name, "err", err)
	}
	d.worker.Resume()
}
