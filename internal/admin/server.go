// Package admin is the second address of tapway: health, metrics, and the API that the
// command line talks to. [Server] answers, [Client] asks.
//
// What a newcomer gets wrong: there is one implementation. When no process runs, the
// command line opens the data directory and calls the same Server without a network
// ([Local]); a command therefore behaves alike in both cases. Everything long (search,
// tail, redrive, check) is a stream of JSON lines, the last of which may be an error.
package admin

import (
	"context"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"iter"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/alarm"
	"github.com/tapway/tapway/internal/cache"
	"github.com/tapway/tapway/internal/queue/sqsqueue"
	"github.com/tapway/tapway/internal/series"
)

// Server is the admin API as an http.Handler (see Handler). Fields that are nil answer 501
// with a message that says what is missing, as when the data directory is open offline.
type Server struct {
	Store tapway.Store // nil: the queue is SQS

	// SQS is the queue where there is no Store: without history and positions.
	SQS *sqsqueue.Queue
	// Follow gives exchanges as they come, until ctx ends, for tail where there is no Store.
	Follow func(ctx context.Context) iter.Seq2[*tapway.Exchange, error]
	// Oldest is when the oldest record in a destination's SQS queue was sent; zero when that is
	// not known. nil: it never is.
	Oldest func(ctx context.Context, destination string) time.Time
	// Spilled counts, by destination, the records that SQS did not take and that wait in the
	// bucket. nil: there is no bucket.
	Spilled func(ctx context.Context) (map[string]uint64, error)

	// Elsewhere is the tap this is about where no process of tapway's works on SQS. nil: that of SQS and
	// of this process alone.
	Elsewhere *Elsewhere

	Version string
	Token   tapway.Secret // "": none is asked; only for loopback

	// Ready tells why calls should not be sent here, or warns of what is wrong although they
	// should. nil: always ready.
	Ready func() (warning string, err error)
	// Reload puts the configuration into force and names the keys that wait for a restart.
	Reload func() (restart []string, err error)

	Live    func() []Destination            // the destinations being delivered to; nil offline
	Deliver Deliver                         // sends records to a URL; nil: redrive --to and replay --record are refused
	Resend  func(to string) (Resend, error) // prepares repeating requests against a URL
	Cache   *cache.Cache                    // nil: there is no running gateway
	Alarms  *alarm.Watch                    // nil: nobody watches
	Metrics http.Handler                    // nil: no /metrics
	MCP     http.Handler                    // nil: no /mcp
	Log     *slog.Logger                    // nil: slog.Default()

	Console http.Handler   // the files of the web console at /, which ask for no token; nil: none
	Gateway string         // base URL of the gateway beside it; "": none
	Routes  func() []Route // where its calls go; nil: nowhere

	// LoginRefused is told of every token that was "wrong", or not looked at ("throttled") because too
	// many were. nil: nobody is.
	LoginRefused func(reason string)
	Series       *series.Series                           // figures of the calls; nil: there is no running gateway
	Keys         func(ctx context.Context) (*Keys, error) // the API keys; nil likewise

	sessions sessions
	attempts attempts
}

// Destination is a live destination that can be looked at and stopped.
type Destination interface {
	Name() string
	Pause(reason string)
	Resume()
	State() DestinationState
}

// DestinationState is what a live destination says of itself.
type DestinationState struct {
	Destination string    `json:"destination"`
	URL         string    `json:"url"`
	State       string    `json:"state"` // closed (working), open, half-open, paused
	Reason      string    `json:"reason,omitempty"`
	Since       time.Time `json:"since,omitzero"`
	Next        time.Time `json:"next,omitzero"` // when an open circuit is probed
	InFlight    int       `json:"in_flight"`
	Failures    int       `json:"consecutive_failures"`
	LastError   string    `json:"last_error,omitempty"`
	LastSuccess time.Time `json:"last_success,omitzero"`
}

// Deliver makes one attempt to bring messages to a URL and tells the outcome of each.
type Deliver func(ctx context.Context, to string, batch []tapway.Message) ([]tapway.Outcome, error)

// Resend repeats the request of one exchange and gives the status it got.
type Resend func(ctx context.Context, ex *tapway.Exchange) (status int, err error)

// Handler is the whole address: /healthz, /readyz, /metrics, /reload and /api/v1.
func (s *Server) Handler() http.Handler {
	api := http.NewServeMux()
	api.HandleFunc("GET /api/v1/exchanges", s.past("search", s.search))
	api.HandleFunc("GET /api/v1/exchanges/{id}", s.past("show", s.exchange))
	api.HandleFunc("GET /api/v1/exchanges/{id}/detail", s.past("show", s.detail))
	api.HandleFunc("GET /api/v1/exchanges/{id}/body/{side}", s.past("show", s.body))
	api.HandleFunc("GET /api/v1/tail", s.tail)
	api.HandleFunc("GET /api/v1/live", s.live)
	api.HandleFunc("GET /api/v1/place", s.place)
	api.HandleFunc("GET /api/v1/filter", s.filterCheck)
	api.HandleFunc("GET /api/v1/filter/fields", s.filterFields)
	api.HandleFunc("GET /api/v1/export", s.past("export", s.export))
	api.HandleFunc("GET /api/v1/deadletters", s.deadLetters)
	api.HandleFunc("GET /api/v1/deadletters/{id}", s.deadLetter)
	api.HandleFunc("POST /api/v1/deadletters/redrive", s.redrive)
	api.HandleFunc("POST /api/v1/deadletters/purge", s.purge)
	api.HandleFunc("POST /api/v1/deadletters/cancel", s.cancelMoves)
	api.HandleFunc("POST /api/v1/replay", s.stored("replay", noHistory, s.replay))
	api.HandleFunc("POST /api/v1/resend", s.stored("replay", noHistory, s.resend))
	api.HandleFunc("GET /api/v1/source", s.source)
	api.HandleFunc("GET /api/v1/queue", s.either(s.queue, func(e *Elsewhere) http.HandlerFunc { return e.Queue }))
	api.HandleFunc("POST /api/v1/queue/check", s.stored("check", "SQS keeps its own storage sound; `tapway queue stats` tells whether it answers", s.check))
	api.HandleFunc("GET /api/v1/ledger", s.either(s.ledger, func(e *Elsewhere) http.HandlerFunc { return e.Ledger }))
	api.HandleFunc("POST /api/v1/destinations/{name}/{action}", s.control)
	api.HandleFunc("GET /api/v1/charts", s.either(s.charts, func(e *Elsewhere) http.HandlerFunc {
		if e.Charts != nil {
			return e.Charts
		}
		return s.charts
	}))
	api.HandleFunc("GET /api/v1/keys", s.keys)
	api.HandleFunc("GET /api/v1/cache", s.cacheStats)
	api.HandleFunc("POST /api/v1/cache/purge", s.cachePurge)
	api.HandleFunc("GET /api/v1/alarms", s.either(s.alarms, func(e *Elsewhere) http.HandlerFunc { return e.Alarms }))
	api.HandleFunc("POST /api/v1/alarms/ack", s.watched(s.alarmAck))
	api.HandleFunc("POST /api/v1/alarms/silence", s.watched(s.alarmSilence))
	api.HandleFunc("DELETE /api/v1/alarms/silence/{id}", s.watched(s.alarmUnsilence))
	api.HandleFunc("POST /api/v1/alarms/test", s.watched(s.alarmTest))
	api.HandleFunc("POST /reload", s.reload)
	if s.Metrics != nil {
		api.Handle("GET /metrics", s.Metrics)
	}
	if s.MCP != nil {
		api.Handle("/mcp", s.MCP)
	}
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, r *http.Request) {
		writeJSON(w, http.StatusOK, map[string]string{"status": "ok", "version": s.Version})
	})
	mux.HandleFunc("GET /readyz", s.readyz)
	origin := http.NewCrossOriginProtection()
	origin.SetDenyHandler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		writeError(w, http.StatusForbidden, "a page of another origin may not change anything here")
	}))
	mux.Handle("/", harmless(s.guard(origin.Handler(api))))
	if s.Console != nil {
		files := s.local(s.Console)
		mux.Handle("GET /{$}", files)
		mux.Handle("GET /js/", files)
		mux.Handle("GET /app.css", files)
		mux.Handle("GET /icon.svg", files)
		mux.Handle("GET /api/v1/session", harmless(s.local(http.HandlerFunc(s.session))))
		mux.Handle("POST /api/v1/session", harmless(s.local(origin.Handler(http.HandlerFunc(s.login)))))
		mux.Handle("DELETE /api/v1/session", harmless(s.local(origin.Handler(http.HandlerFunc(s.logout)))))
	}
	return inTime(inputTime, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set(markHeader, "1")
		mux.ServeHTTP(w, r)
	}))
}

// markHeader is in every answer, so that a client knows an admin API from whatever else answers at an
// address.
const markHeader = "Tapway-Admin"

// harmless keeps a browser from doing anything with an answer but handing it to a script of
// the console: no page may frame it, show it or load it from elsewhere.
func harmless(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'; sandbox")
		h.Set("X-Frame-Options", "DENY")
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Cache-Control", "no-store")
		next.ServeHTTP(w, r)
	})
}

// local refuses names that do not mean loopback where no token protects the address.
func (s *Server) local(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Token == "" && !loopbackName(r.Host) {
			writeError(w, http.StatusForbidden, "the admin API without a token answers only to localhost; set admin.token")
			return
		}
		next.ServeHTTP(w, r)
	})
}

// guard asks for the token where there is one, or for the session a browser got for it. Where
// there is none the address is on loopback, and then only names that mean loopback are served:
// a page in the user's browser must not reach it through a name of its own (DNS rebinding).
func (s *Server) guard(next http.Handler) http.Handler {
	want := sha256.Sum256([]byte("Bearer " + s.Token.Reveal()))
	return s.local(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if s.Token == "" || s.sessions.admits(r, time.Now()) {
			next.ServeHTTP(w, r)
			return
		}
		said := r.Header.Get("Authorization")
		refuse := func() {
			what := "the admin API wants its token"
			if said != "" {
				what = "this is another token than the admin API's"
			}
			w.Header().Set("WWW-Authenticate", `Bearer realm="tapway"`)
			writeError(w, http.StatusUnauthorized, what+": Authorization: Bearer … (admin.token, --token, TAPWAY_TOKEN)")
		}
		if said == "" { // nothing is guessed
			refuse()
			return
		}
		right := func() bool {
			got := sha256.Sum256([]byte(said))
			return subtle.ConstantTimeCompare(got[:], want[:]) == 1
		}
		if s.proves(w, r, said, right, refuse) {
			next.ServeHTTP(w, r)
		}
	}))
}

const noHistory = "SQS keeps no history of what was delivered; dead letters are there: `tapway dlq list`, `tapway dlq show ID` and `tapway dlq redrive --to URL`"

// stored refuses what only a store of tapway's own can do.
func (s *Server) stored(what, instead string, do http.HandlerFunc) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if s.Store == nil {
			writeError(w, http.StatusNotImplemented, what+" is not possible here: "+instead)
			return
		}
		do(w, r)
	}
}

// Source says which queue a server is about, so that a command that was told of a queue does
// not act on another one.
type Source struct {
	Queue  string            `json:"queue"`            // "disk" or "sqs"
	Queues map[string]string `json:"queues,omitempty"` // of SQS: by destination, as configured
}

func (s *Server) source(w http.ResponseWriter, r *http.Request) {
	if s.Store != nil {
		writeJSON(w, http.StatusOK, Source{Queue: "disk"})
		return
	}
	writeJSON(w, http.StatusOK, Source{Queue: "sqs", Queues: s.SQS.Queues()})
}

func loopbackName(host string) bool {
	if name, _, err := net.SplitHostPort(host); err == nil {
		host = name
	}
	host = strings.Trim(host, "[]")
	if strings.EqualFold(host, "localhost") {
		return true
	}
	ip, err := netip.ParseAddr(host)
	return err == nil && ip.Unmap().IsLoopback()
}

func (s *Server) readyz(w http.ResponseWriter, r *http.Request) {
	answer := map[string]string{"status": "ready"}
	if s.Ready != nil {
		warning, err := s.Ready()
		if err != nil {
			writeError(w, http.StatusServiceUnavailable, err.Error())
			return
		}
		if warning != "" {
			answer["warning"] = warning
		}
	}
	writeJSON(w, http.StatusOK, answer)
}

// Reloaded is the answer to POST /reload.
type Reloaded struct {
	Status  string   `json:"status"`            // "reloaded"
	Restart []string `json:"restart,omitempty"` // changed keys that keep their old value until a restart
}

func (s *Server) reload(w http.ResponseWriter, r *http.Request) {
	if s.Reload == nil {
		writeError(w, http.StatusNotImplemented, "there is no running gateway to reload")
		return
	}
	restart, err := s.Reload()
	if err != nil {
		writeError(w, http.StatusUnprocessableEntity, "the old configuration stays in force: "+err.Error())
		return
	}
	writeJSON(w, http.StatusOK, Reloaded{"reloaded", restart})
}

func (s *Server) log() *slog.Logger {
	if s.Log != nil {
		return s.Log
	}
	return slog.Default()
}

func writeJSON(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		status, body = http.StatusInternalServerError, []byte(`{"message":"the answer cannot be written as JSON"}`)
	}
	h := w.Header()
	h.Set("Content-Type", "application/json; charset=utf-8")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}

func writeError(w http.ResponseWriter, status int, message string) {
	writeJSON(w, status, map[string]string{"message": message})
}

// fail answers with an error of the store or of what was asked.
func fail(w http.ResponseWriter, err error) {
	status := http.StatusInternalServerError
	switch {
	case errors.Is(err, tapway.ErrNotFound):
		status = http.StatusNotFound
	case errors.As(err, new(*badInput)):
		status = http.StatusBadRequest
	case errors.As(err, new(*impossible)):
		status = http.StatusNotImplemented
	case errors.Is(err, tapway.ErrClosed):
		status = http.StatusServiceUnavailable
	}
	writeError(w, status, err.Error())
}

// badInput is a mistake of whoever asks.
type badInput struct{ message string }

func (e *badInput) Error() string { return e.message }

// impossible is what this server's queue cannot do, and what can be done instead.
type impossible struct{ message string }

func (e *impossible) Error() string { return e.message }
