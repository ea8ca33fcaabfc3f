package admin

import "net/http"

// Place is what the console should know of the gateway it looks at.
type Place struct {
	Version string  `json:"version"`
	Queue   string  `json:"queue"`             // "disk" or "sqs"
	History bool    `json:"history"`           // exchanges can be searched and opened
	Live    bool    `json:"live"`              // calls can be watched
	Charts  bool    `json:"charts"`            // there are figures of its calls
	Keys    bool    `json:"keys"`              // it has a gate, which may ask for API keys
	Gateway string  `json:"gateway,omitempty"` // base URL of the gateway, as seen from its own machine
	Routes  []Route `json:"routes,omitempty"`

	Elsewhere *PlaceElsewhere `json:"elsewhere,omitempty"` // none: the gateway is this process, or what it works on
}

// Route is where calls go.
type Route struct {
	Match       string `json:"match"`                 // "GET /users/{id}", "$default"
	Backend     string `json:"backend"`               // as configured, without a password
	Unsupported string `json:"unsupported,omitempty"` // why it cannot be served
}

// place tells where the console is.
func (s *Server) place(w http.ResponseWriter, r *http.Request) {
	p := Place{Version: s.Version, Queue: "disk", History: s.history() != nil, Live: s.Store != nil && s.Live != nil || s.Follow != nil, Gateway: s.Gateway,
		Charts: s.Series != nil || s.Elsewhere != nil && s.Elsewhere.Charts != nil, Keys: s.Keys != nil}
	if s.Store == nil {
		p.Queue = "sqs"
	}
	if s.Routes != nil {
		p.Routes = s.Routes()
	}
	if e := s.Elsewhere; e != nil {
		p.Elsewhere = &PlaceElsewhere{e.Name, e.Where, e.Notes}
	}
	writeJSON(w, http.StatusOK, p)
}
