// Package demo is what `tapway demo` puts around the gateway: an example API, a destination
// that shows what it receives, and sample traffic between them.
//
// What a newcomer gets wrong: nothing here is used by `tapway serve`; the demo drives the
// real gateway over loopback like any client would.
package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/coder/websocket"
)

// DownloadSize is the length of /api/v1/download in bytes: 20 MiB.
const DownloadSize = 20 << 20

// API is the example backend: users that can be created, read, changed and deleted, and
// paths that are slow, failing, large or streaming. The zero API is ready to use.
type API struct {
	mu    sync.Mutex
	users map[int]map[string]any
	last  int
}

// Handler serves the API.
func (a *API) Handler() http.Handler {
	a.mu.Lock()
	if a.users == nil {
		a.users = map[int]map[string]any{}
		for _, name := range []string{"morpheus", "trinity", "neo"} {
			a.addLocked(map[string]any{"name": name, "job": "crew"})
		}
	}
	a.mu.Unlock()
	mux := http.NewServeMux()
	mux.HandleFunc("GET /api/v1/users", a.list)
	mux.HandleFunc("POST /api/v1/users", a.create)
	mux.HandleFunc("GET /api/v1/users/{id}", a.read)
	mux.HandleFunc("PUT /api/v1/users/{id}", a.update)
	mux.HandleFunc("DELETE /api/v1/users/{id}", a.remove)
	mux.HandleFunc("POST /api/v1/login", login)
	mux.HandleFunc("/api/v1/slow", slow)
	mux.HandleFunc("/api/v1/fail", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusInternalServerError, map[string]any{"message": "the example API fails here on purpose"})
	})
	mux.HandleFunc("GET /api/v1/download", download)
	mux.HandleFunc("GET /api/v1/events", events)
	mux.HandleFunc("GET /api/v1/echo", echo)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		reply(w, http.StatusNotFound, map[string]any{"message": "no such path in the example API"})
	})
	return mux
}

func (a *API) addLocked(user map[string]any) map[string]any {
	a.last++
	user["id"] = strconv.Itoa(a.last)
	user["createdAt"] = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	a.users[a.last] = user
	return user
}

func (a *API) list(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	out := make([]map[string]any, 0, len(a.users))
	for _, id := range slices.Sorted(maps.Keys(a.users)) {
		out = append(out, a.users[id])
	}
	reply(w, http.StatusOK, map[string]any{"total": len(out), "data": out})
}

func (a *API) create(w http.ResponseWriter, r *http.Request) {
	user, ok := readUser(w, r)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	if len(a.users) >= 10_000 { // a demo left running for days stays small
		clear(a.users)
	}
	user = a.addLocked(user)
	w.Header().Set("Location", "/api/v1/users/"+user["id"].(string))
	reply(w, http.StatusCreated, user)
}

// find answers 404 itself when there is no such user.
func (a *API) findLocked(w http.ResponseWriter, r *http.Request) (int, map[string]any) {
	id, _ := strconv.Atoi(r.PathValue("id"))
	user := a.users[id]
	if user == nil {
		reply(w, http.StatusNotFound, map[string]any{"message": "no user " + r.PathValue("id")})
	}
	return id, user
}

func (a *API) read(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if _, user := a.findLocked(w, r); user != nil {
		reply(w, http.StatusOK, user)
	}
}

func (a *API) update(w http.ResponseWriter, r *http.Request) {
	change, ok := readUser(w, r)
	if !ok {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	_, user := a.findLocked(w, r)
	if user == nil {
		return
	}
	delete(change, "id")
	delete(change, "createdAt")
	maps.Copy(user, change)
	user["updatedAt"] = time.Now().UTC().Format("2006-01-02T15:04:05.000Z")
	reply(w, http.StatusOK, user)
}

func (a *API) remove(w http.ResponseWriter, r *http.Request) {
	a.mu.Lock()
	defer a.mu.Unlock()
	if id, user := a.findLocked(w, r); user != nil {
		delete(a.users, id)
		w.WriteHeader(http.StatusNoContent)
	}
}

func readUser(w http.ResponseWriter, r *http.Request) (map[string]any, bool) {
	var user map[string]any
	err := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<20)).Decode(&user)
	if err != nil || user == nil {
		reply(w, http.StatusBadRequest, map[string]any{"message": "the body must be a JSON object"})
		return nil, false
	}
	return user, true
}

// login answers with a token, so that there is something to redact in both directions.
func login(w http.ResponseWriter, r *http.Request) {
	if _, ok := readUser(w, r); ok {
		http.SetCookie(w, &http.Cookie{Name: "session", Value: "demo-session-cookie", HttpOnly: true, Path: "/"})
		reply(w, http.StatusOK, map[string]any{"access_token": "demo-access-token", "expires_in": 3600})
	}
}

func slow(w http.ResponseWriter, r *http.Request) {
	select {
	case <-time.After(2 * time.Second):
		reply(w, http.StatusOK, map[string]any{"message": "that took two seconds"})
	case <-r.Context().Done():
	}
}

func download(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(DownloadSize))
	block := make([]byte, 64<<10)
	for i := range block {
		block[i] = byte(i * 7)
	}
	for sent := 0; sent < DownloadSize; sent += len(block) {
		if _, err := w.Write(block); err != nil {
			return
		}
	}
}

// events streams ten server-sent events, one every 300 ms.
func events(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("Cache-Control", "no-store")
	flush := http.NewResponseController(w)
	for i := 1; i <= 10; i++ {
		fmt.Fprintf(w, "id: %d\nevent: tick\ndata: {\"tick\": %d}\n\n", i, i)
		if flush.Flush() != nil {
			return
		}
		select {
		case <-time.After(300 * time.Millisecond):
		case <-r.Context().Done():
			return
		}
	}
}

// echo sends every WebSocket message back.
func echo(w http.ResponseWriter, r *http.Request) {
	conn, err := websocket.Accept(w, r, &websocket.AcceptOptions{InsecureSkipVerify: true}) // any Origin: it is an example
	if err != nil {
		return // Accept has answered
	}
	defer conn.CloseNow()
	for {
		kind, reader, err := conn.Reader(r.Context())
		if err != nil {
			return
		}
		writer, err := conn.Writer(r.Context(), kind)
		if err != nil {
			return
		}
		if _, err := io.Copy(writer, reader); err != nil {
			return
		}
		if writer.Close() != nil {
			return
		}
	}
}

func reply(w http.ResponseWriter, status int, v any) {
	body, err := json.Marshal(v)
	if err != nil {
		panic(err) // only maps of strings and numbers come here
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	w.Write(append(body, '\n'))
}
