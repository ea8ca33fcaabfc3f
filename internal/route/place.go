package route

import (
	"fmt"
	"strings"

	"github.com/tapway/tapway"
)

// ErrPlace is wrapped by Target's error when what a client has put into a parameter would lead
// out of the parameter's place: with /users/{id} before https://h/v1/users/{id}, "..", or
// "%2e%2e%2fadmin" for a backend that decodes before it resolves. It wraps ErrTarget.
var ErrPlace = fmt.Errorf("%w: a path parameter leads out of its place", ErrTarget)

// origin says where a byte of a backend's path is from.
type origin byte

const (
	own     origin = iota // the configuration
	single                // a parameter of one segment, or a mapped value
	several               // a greedy parameter, or a path that is added whole
)

// piece is a part of a backend's path with its origin.
type piece struct {
	text   string
	origin origin
}

// separator says whether, and for whom, a byte of a decoded path ends a segment.
type separator byte

const (
	slash            separator = 1 << iota // for everybody
	encodedSlash                           // for backends that decode before they resolve
	backslash                              // for those to which it is a slash
	encodedBackslash                       // for those that do both
)

// inPlace checks the path that the pieces make, as every backend may read it: decoded once, what follows a semicolon
// no part of a segment, with and without each of the separators that only some know. An eager reader sees more dot
// segments, a plain one fewer names to climb out of. No dot segment may be a single parameter's, and none may climb
// above a greedy one's place; within it they are left alone, as they are at the root, above which there is nothing.
// An encoded slash alone leads nowhere else and passes, as API Gateway passes it on.
func inPlace(pieces []piece) error {
	if !mayMove(pieces) {
		return nil
	}
	var room [256]byte
	var from [256]origin
	var ends [256]separator
	text, origins, seps := room[:0], from[:0], ends[:0]
	for _, p := range pieces {
		text, seps = decodeLoosely(text, seps, p.text)
		for len(origins) < len(text) {
			origins = append(origins, p.origin)
		}
	}
	some := separator(0) // those that are there and that not everybody knows
	for _, s := range seps {
		some |= s &^ slash
	}
	for known := some; ; known = (known - 1) & some { // every choice of them, none at last
		if err := resolves(text, origins, seps, known|slash); err != nil || known == 0 {
			return err
		}
	}
}

// resolves checks the path as a backend reads it to which those separators end a segment.
func resolves(text []byte, origins []origin, seps []separator, known separator) error {
	var places []origin // of the segments to stand in
	for start := 0; start <= len(text); {
		end := start
		for end < len(text) && seps[end]&known == 0 {
			end++
		}
		least, most := bounds(origins[start:end])
		name, _, _ := strings.Cut(string(text[start:end]), ";")
		switch {
		case name != "." && name != "..":
			if name != "" { // an empty one may be merged with its neighbour: it cannot be stepped out of
				places = append(places, least)
			}
		case least <= single && most >= single:
			return ErrPlace
		case name == ".." && len(places) > 0:
			if most == several && places[len(places)-1] != several {
				return ErrPlace
			}
			places = places[:len(places)-1]
		}
		start = end + 1
	}
	return nil
}

// bounds gives the least and the most of the origins; own for none.
func bounds(list []origin) (least, most origin) {
	for i, o := range list {
		if i == 0 {
			least = o
		}
		least, most = min(least, o), max(most, o)
	}
	return least, most
}

// mayMove is the cheap question: without a dot from a client there is no dot segment of its making.
func mayMove(pieces []piece) bool {
	for _, p := range pieces {
		if p.origin != own && (strings.IndexByte(p.text, '.') >= 0 || strings.Contains(p.text, "%2")) {
			return true
		}
	}
	return false
}

// decodeLoosely is decode that leaves broken escapes as they are, and says of each byte whom it separates for.
func decodeLoosely(dst []byte, seps []separator, s string) ([]byte, []separator) {
	for i := 0; i < len(s); i++ {
		c, sep := s[i], [2]separator{slash, backslash}
		if c == '%' && i+2 < len(s) {
			if hi, lo := unhex(s[i+1]), unhex(s[i+2]); hi <= 15 && lo <= 15 {
				c, sep = hi<<4|lo, [2]separator{encodedSlash, encodedBackslash}
				i += 2
			}
		}
		dst = append(dst, c)
		switch c {
		case '/':
			seps = append(seps, sep[0])
		case '\\':
			seps = append(seps, sep[1])
		default:
			seps = append(seps, 0)
		}
	}
	return dst, seps
}

// checkPlace checks the path that Target has made.
func (r *Route) checkPlace(req *Request, values []tapway.PathParam) error {
	var room [16]piece
	pieces := room[:0]
	b := &r.backend
	switch {
	case !b.join:
		for _, p := range b.path {
			if p.param < 0 {
				pieces = append(pieces, piece{p.text, own})
			} else {
				pieces = append(pieces, piece{values[p.param].Value, b.origins[p.param]})
			}
		}
	case r.template.fallback:
		if b.prefix == "" {
			return nil
		}
		pieces = append(pieces, piece{b.prefix, own}, piece{req.Path, several})
	default: // the client's path as it is
		next := 0
		for _, s := range r.template.segments {
			pieces = append(pieces, piece{"/", own})
			switch s.kind {
			case staticSegment:
				pieces = append(pieces, piece{s.text, own})
			case paramSegment:
				pieces = append(pieces, piece{values[next].Value, single})
				next++
			case greedySegment:
				pieces = append(pieces, piece{values[next].Value, several})
				next++
			}
		}
	}
	return inPlace(pieces)
}

// origins says how much room each value has in the backend's path.
func (r *Route) origins(names []string) []origin {
	greedy := ""
	if n := len(r.template.segments); n > 0 && r.template.segments[n-1].kind == greedySegment {
		greedy = r.template.segments[n-1].text
	}
	list := make([]origin, len(names))
	for i, name := range names {
		if r.Mapping != nil {
			name = ""
			if from := r.Mapping.path[i].from; from.kind == fromPath {
				name = from.text
			}
		}
		if list[i] = single; name != "" && name == greedy {
			list[i] = several
		}
	}
	return list
}
