package redact

import (
	"net/url"
	"slices"
	"strings"

	"github.com/tapway/tapway"
)

// pathParams redacts the named parameters in the path, and the same values where they are
// a whole segment of a URL in a header (a redirect that adds a slash).
func (r *Redactor) pathParams(ex *tapway.Exchange) {
	if r.path.empty() {
		return
	}
	places := locate(ex.Path, ex.Route, ex.PathParams)
	var cuts []cut
	var lost []string // values that stand nowhere that can be told
	var gone []string
	for i := range ex.PathParams {
		p := &ex.PathParams[i]
		if p.Value == "" || !hasName(r.path, p.Name) {
			continue
		}
		gone = append(gone, p.Value)
		if places[i].end > 0 {
			cuts = append(cuts, cut{places[i].start, places[i].end, r.mark.replace(pathValue(p.Value))})
		} else {
			lost = append(lost, p.Value)
		}
		p.Value = r.mark.replace(pathValue(p.Value))
	}
	if len(gone) == 0 {
		return
	}
	if len(cuts) > 0 {
		slices.SortFunc(cuts, func(a, b cut) int { return a.start - b.start })
		cuts = slices.Compact(cuts) // two parameters of one name share a place
		ex.Path = string(apply([]byte(ex.Path), cuts))
	}
	for _, value := range lost {
		ex.Path = r.everywhere(ex.Path, value)
	}
	for _, h := range [...]tapway.Header{ex.RequestHeader, ex.ResponseHeader} {
		for i := range h {
			for _, value := range gone {
				if strings.Contains(h[i].Value, "/"+value) {
					h[i].Value = r.segments(h[i].Value, value)
				}
			}
		}
	}
}

// everywhere replaces every occurrence of a value in a path, and when there is none, every
// segment that says the same in another percent-encoding.
func (r *Redactor) everywhere(path, value string) string {
	by := r.mark.replace(pathValue(value))
	if strings.Contains(path, value) {
		return strings.ReplaceAll(path, value, by)
	}
	parts := strings.Split(path, "/")
	for i, part := range parts {
		if string(pathValue(part)) == string(pathValue(value)) {
			parts[i] = by
		}
	}
	return strings.Join(parts, "/")
}

// segments replaces value where it stands in text between a slash and the end of a segment.
func (r *Redactor) segments(text, value string) string {
	var cuts []cut
	for i := 0; ; {
		n := strings.Index(text[i:], "/"+value)
		if n < 0 {
			break
		}
		start := i + n + 1
		i = start + len(value)
		if i == len(text) || strings.IndexByte("/?#;,<>\"' \t", text[i]) >= 0 {
			cuts = append(cuts, cut{start, i, r.mark.replace(pathValue(value))})
		}
	}
	return string(apply([]byte(text), cuts))
}

// place is where a parameter's value lies in a path; the zero place means unknown.
type place struct{ start, end int }

// locate finds the parameters' values in the path: by the route's template where it lines up,
// otherwise each behind the one before, as whole segments.
func locate(path, route string, params []tapway.PathParam) []place {
	places := make([]place, len(params))
	if byTemplate(path, route, params, places) {
		return places
	}
	at := 0
	for i, p := range params {
		if p.Value == "" {
			continue
		}
		for from := at; ; {
			n := strings.Index(path[from:], "/"+p.Value)
			if n < 0 {
				break
			}
			start := from + n + 1
			end := start + len(p.Value)
			if end == len(path) || path[end] == '/' {
				places[i] = place{start, end}
				at = end
				break
			}
			from = start
		}
		if places[i].end == 0 {
			// One is not where it should be: then nothing is known of the others either.
			clear(places)
			return places
		}
	}
	return places
}

// byTemplate lines the path's segments up with those of a route such as "GET /users/{id}". It
// reports false when any parameter does not have the value that stands in its place.
func byTemplate(path, route string, params []tapway.PathParam, places []place) bool {
	_, template, ok := strings.Cut(route, " ")
	if !ok {
		return false
	}
	at, found := 0, 0
	for template != "" {
		var want string
		want, template, _ = strings.Cut(strings.TrimPrefix(template, "/"), "/")
		if at > len(path) || at < len(path) && path[at] != '/' {
			break
		}
		start := min(at+1, len(path))
		end := endOf(path, start, "/")
		name, isParam := strings.CutPrefix(want, "{")
		name, isParam2 := strings.CutSuffix(name, "}")
		if isParam && isParam2 {
			name, greedy := strings.CutSuffix(name, "+")
			if greedy {
				end = len(path)
			}
			for i, p := range params {
				if p.Name == name && path[start:end] == p.Value && p.Value != "" {
					places[i] = place{start, end}
					found++
				}
			}
		}
		at = end
	}
	for _, p := range params {
		if p.Value == "" {
			found++
		}
	}
	if found != len(params) {
		clear(places)
		return false
	}
	return true
}

// pathValue is the value that a token stands for.
func pathValue(raw string) []byte {
	if v, err := url.PathUnescape(raw); err == nil {
		return []byte(v)
	}
	return []byte(raw)
}
