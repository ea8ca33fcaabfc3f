package admin

import (
	"net/http"
)

const noCache = "there is no running gateway, and so no cache"

func (s *Server) cacheStats(w http.ResponseWriter, r *http.Request) {
	if s.Cache == nil {
		writeError(w, http.StatusNotImplemented, noCache)
		return
	}
	writeJSON(w, http.StatusOK, s.Cache.Stats())
}

// Purged is the answer to POST /api/v1/cache/purge.
type Purged struct {
	Purged int `json:"purged"`
}

// cachePurge takes out the answers of ?path= and ?route=, all of them without.
func (s *Server) cachePurge(w http.ResponseWriter, r *http.Request) {
	if s.Cache == nil {
		writeError(w, http.StatusNotImplemented, noCache)
		return
	}
	path := r.URL.Query().Get("path")
	if path != "" && path[0] != '/' {
		writeError(w, http.StatusBadRequest, "a path begins with a slash")
		return
	}
	route := r.URL.Query().Get("route")
	n, err := s.Cache.Purge(path, route)
	if err != nil {
		writeError(w, http.StatusBadRequest, err.Error())
		return
	}
	s.log().Info("cache purged", "path", path, "route", route, "answers", n)
	writeJSON(w, http.StatusOK, Purged{n})
}
