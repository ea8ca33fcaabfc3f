package admin

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"net/http"
	"strings"
	"sync"
	"time"
)

const (
	sessionCookie = "tapway_session"
	csrfHeader    = "X-Tapway-Csrf"
	sessionLife   = 12 * time.Hour
	maxSessions   = 256
)

// sessions are the logins of browsers. The cookie's value is random and known here by its
// hash only; a restart logs everybody out.
type sessions struct {
	mu   sync.Mutex
	ends map[[32]byte]time.Time
	key  [32]byte // makes the CSRF token of a session
}

// Session is what a page may know of its login.
type Session struct {
	Needed   bool   `json:"needed"`         // a token is asked for here
	LoggedIn bool   `json:"logged_in"`      // or none is needed
	CSRF     string `json:"csrf,omitempty"` // to be sent as X-Tapway-Csrf with whatever changes something
	Version  string `json:"version"`
}

// start makes a session and gives its cookie's value.
func (s *sessions) start(now time.Time) string {
	var value [32]byte
	rand.Read(value[:])
	text := base64.RawURLEncoding.EncodeToString(value[:])
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ends == nil {
		s.ends = map[[32]byte]time.Time{}
		rand.Read(s.key[:])
	}
	var first [32]byte
	var soonest time.Time
	for id, end := range s.ends {
		if !end.After(now) {
			delete(s.ends, id)
		} else if soonest.IsZero() || end.Before(soonest) {
			first, soonest = id, end
		}
	}
	if len(s.ends) >= maxSessions {
		delete(s.ends, first)
	}
	s.ends[sha256.Sum256([]byte(text))] = now.Add(sessionLife)
	return text
}

// find gives the CSRF token of a request's session, "" if it has none.
func (s *sessions) find(r *http.Request, now time.Time) string {
	cookie, err := r.Cookie(sessionCookie)
	if err != nil {
		return ""
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if end, ok := s.ends[sha256.Sum256([]byte(cookie.Value))]; !ok || !end.After(now) {
		return ""
	}
	mac := hmac.New(sha256.New, s.key[:])
	mac.Write([]byte(cookie.Value))
	return base64.RawURLEncoding.EncodeToString(mac.Sum(nil))
}

func (s *sessions) end(r *http.Request) {
	if cookie, err := r.Cookie(sessionCookie); err == nil {
		s.mu.Lock()
		delete(s.ends, sha256.Sum256([]byte(cookie.Value)))
		s.mu.Unlock()
	}
}

// admits reports whether a request's session lets it do what it wants. Whatever may change
// something must show the session's CSRF token, which no other page can read.
func (s *sessions) admits(r *http.Request, now time.Time) bool {
	csrf := s.find(r, now)
	if csrf == "" {
		return false
	}
	if r.Method == http.MethodGet || r.Method == http.MethodHead {
		return true
	}
	return subtle.ConstantTimeCompare([]byte(r.Header.Get(csrfHeader)), []byte(csrf)) == 1
}

// session tells a page whether it must log in.
func (s *Server) session(w http.ResponseWriter, r *http.Request) {
	csrf := s.sessions.find(r, time.Now())
	writeJSON(w, http.StatusOK, Session{Needed: s.Token != "", LoggedIn: s.Token == "" || csrf != "", CSRF: csrf, Version: s.Version})
}

// login turns the token into a cookie that no script can read.
func (s *Server) login(w http.ResponseWriter, r *http.Request) {
	var said struct {
		Token string `json:"token"`
	}
	if err := readJSON(w, r, 16<<10, &said); err != nil {
		fail(w, err)
		return
	}
	right := func() bool {
		want, got := sha256.Sum256([]byte(s.Token.Reveal())), sha256.Sum256([]byte(strings.TrimSpace(said.Token)))
		return s.Token != "" && subtle.ConstantTimeCompare(want[:], got[:]) == 1
	}
	if !s.proves(w, r, said.Token, right, func() {
		writeError(w, http.StatusUnauthorized, "that is not the admin token of this tapway (admin.token in its configuration, or TAPWAY_TOKEN)")
	}) {
		return
	}
	cookie := &http.Cookie{
		Name: sessionCookie, Value: s.sessions.start(time.Now()), Path: "/", MaxAge: int(sessionLife.Seconds()), HttpOnly: true, SameSite: http.SameSiteStrictMode,
		Secure: r.TLS != nil || strings.EqualFold(r.Header.Get("X-Forwarded-Proto"), "https"),
	}
	http.SetCookie(w, cookie)
	s.log().Info("console login", "from", r.RemoteAddr)
	next := &http.Request{Header: http.Header{"Cookie": {sessionCookie + "=" + cookie.Value}}}
	writeJSON(w, http.StatusOK, Session{Needed: true, LoggedIn: true, CSRF: s.sessions.find(next, time.Now()), Version: s.Version})
}

func (s *Server) logout(w http.ResponseWriter, r *http.Request) {
	s.sessions.end(r)
	http.SetCookie(w, &http.Cookie{Name: sessionCookie, Path: "/", MaxAge: -1, HttpOnly: true, SameSite: http.SameSiteStrictMode})
	writeJSON(w, http.StatusOK, Session{Needed: s.Token != "", LoggedIn: s.Token == "", Version: s.Version})
}
