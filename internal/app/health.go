package app

import (
	"errors"
	"sync/atomic"
	"time"
)

// health is what /readyz goes by.
type health struct {
	serving atomic.Bool
	failed  atomic.Int64 // when a record could last not be stored, ns since 1970; 0: the last one could
}

// recent is how long a record that could not be stored counts against a store to which
// nothing has been offered since.
const recent = 10 * time.Second

// stored is told what became of each record.
func (h *health) stored(err error) {
	switch {
	case err != nil:
		h.failed.Store(time.Now().UnixNano())
	case h.failed.Load() != 0: // reading is cheap where writing would not be
		h.failed.Store(0)
	}
}

// ready tells whether calls should be sent here, and what is wrong although they should.
// Where calls are served without a record (on_failure: serve) a store that takes none is
// only worth a warning: taking the API out of service for it would break the first promise.
func (a *App) ready() (warning string, err error) {
	if !a.health.serving.Load() {
		return "", errors.New("not serving: starting or stopping")
	}
	if err = a.storable(time.Now()); err == nil {
		return text(a.queue.warning()), nil
	}
	if a.recorder.Refuse {
		return "", err
	}
	return err.Error(), nil
}

// text is an error's, "" if there is none.
func text(err error) string {
	if err == nil {
		return ""
	}
	return err.Error()
}

// storable tells why records cannot be stored, nil if they can.
func (a *App) storable(now time.Time) error {
	if failed := a.health.failed.Load(); failed != 0 && now.Sub(time.Unix(0, failed)) < recent {
		return errors.New("records cannot be stored; the log and `tapway ledger` have the reason")
	}
	return a.queue.storable()
}
