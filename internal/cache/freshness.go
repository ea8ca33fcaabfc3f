package cache

import (
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tapway/tapway"
)

// freshness is how long an answer may be given, from when it came.
type freshness struct {
	came     time.Time
	age      time.Duration // it had when it came
	lifetime time.Duration // from its making: fresh while its age is below that

	check           bool          // no-cache: the backend is asked each time
	strict          bool          // a client's max-stale does not count: must-revalidate, s-maxage, no-cache
	staleRevalidate time.Duration // beyond lifetime: given while a new one is fetched
	staleError      time.Duration // beyond lifetime: given when none can be fetched
}

// ageAt is its age (RFC 9111 §4.2.3).
func (f *freshness) ageAt(now time.Time) time.Duration { return f.age + max(0, now.Sub(f.came)) }

// left is how long it stays fresh; negative: how stale it is.
func (f *freshness) left(now time.Time) time.Duration { return f.lifetime - f.ageAt(now) }

// verdict is whether a response is kept.
type verdict struct {
	freshness
	keep   bool
	public bool // also for callers who say who they are
	vary   []string
}

// judge decides about a response. restricted: whoever asked said who is calling, in words that the
// key does not have. sent is when it was asked for.
func judge(rule *Rule, restricted bool, status int, h http.Header, sent, now time.Time) (v verdict) {
	if len(h["Trailer"]) > 0 || len(h["Content-Range"]) > 0 || endless(h) || len(h["Content-Length"]) > 1 || len(h["Set-Cookie"]) > 0 || len(h["X-Amz-Function-Error"]) > 0 {
		return v
	}
	names, ok := parseVary(h["Vary"])
	if !ok {
		return v
	}
	if coding := strings.Join(h["Content-Encoding"], ","); coding != "" && !strings.EqualFold(coding, "identity") && !slices.Contains(names, "Accept-Encoding") {
		names = append(names, "Accept-Encoding") // who cannot read it must not get it
		slices.Sort(names)
	}
	v.vary, v.came = names, now
	if rule.Mode == APIGateway {
		v.lifetime, v.strict = rule.TTL, true
		v.keep = status == http.StatusOK && !restricted
		return v
	}
	v.shared(restricted, status, h, sent, now)
	return v
}

// shared is judge by the rules of a shared cache (RFC 9111 §3).
func (v *verdict) shared(restricted bool, status int, h http.Header, sent, now time.Time) {
	c := parseResponse(h["Cache-Control"])
	v.public = c.public || c.sMaxAge != unset
	if c.noStore || c.private || !understood(status) || restricted && !v.public {
		return
	}
	v.age, v.lifetime = ageOf(h, sent, now), lifetime(c, h, now)
	v.check = c.noCache
	v.strict = c.mustRevalidate || c.noCache || c.sMaxAge != unset
	v.staleRevalidate, v.staleError = max(0, c.staleRevalidate), max(0, c.staleError)
	if c.mustRevalidate || c.noCache {
		v.staleRevalidate, v.staleError = 0, 0
	}
	canCheck := status == http.StatusOK && (validator(h["Etag"]) != "" || validator(h["Last-Modified"]) != "")
	useful := !c.noCache && v.lifetime+max(v.staleRevalidate, v.staleError) > v.age
	v.keep = useful || canCheck
}

// lifetime is how long a response is fresh, by its own words only: nothing is guessed.
func lifetime(c responseControl, h http.Header, now time.Time) time.Duration {
	switch {
	case c.sMaxAge != unset:
		return c.sMaxAge
	case c.maxAge != unset:
		return c.maxAge
	}
	lines := h["Expires"]
	if len(lines) != 1 {
		return 0
	}
	until, err := http.ParseTime(lines[0])
	if err != nil {
		return 0
	}
	return min(max(0, until.Sub(dateOf(h, now))), maxSeconds*time.Second)
}

// ageOf is the age of a response when it came: what caches before say, or its Date.
func ageOf(h http.Header, sent, now time.Time) time.Duration {
	apparent := max(0, now.Sub(dateOf(h, now)))
	told := time.Duration(0)
	for _, line := range h["Age"] {
		first, _, _ := strings.Cut(line, ",")
		if first = trim(first); strings.Trim(first, "0123456789") != "" || first == "" {
			first = strconv.Itoa(maxSeconds) // what cannot be read may be old (RFC 9111 §5.1)
		}
		told = max(told, seconds(first))
	}
	return max(apparent, told+max(0, now.Sub(sent)))
}

func dateOf(h http.Header, now time.Time) time.Time {
	if lines := h["Date"]; len(lines) == 1 {
		if date, err := http.ParseTime(lines[0]); err == nil {
			return date
		}
	}
	return now
}

// understood reports whether a status is one that this cache may keep: a final answer about the
// whole resource. A 501 might be kept too (RFC 9110 §15.1), but a backend that fails is to be asked
// again.
func understood(status int) bool {
	switch status {
	case 200, 203, 204, 300, 301, 302, 303, 307, 308, 404, 405, 410, 414:
		return true
	}
	return false
}

// endless reports whether a response has no natural end by its type.
func endless(h http.Header) bool {
	for _, t := range h["Content-Type"] {
		t = strings.ToLower(t)
		if strings.HasPrefix(t, "text/event-stream") || strings.HasPrefix(t, "application/grpc") || strings.HasPrefix(t, "multipart/x-mixed-replace") {
			return true
		}
	}
	return false
}

// validator is a header that comes once, "" otherwise.
func validator(lines []string) string {
	if len(lines) != 1 {
		return ""
	}
	return trim(lines[0])
}

// notModified reports whether a client has the answer already (RFC 9110 §13.2.2, for GET and
// HEAD with If-None-Match and If-Modified-Since).
func notModified(asked, answer http.Header) bool {
	etag := validator(answer["Etag"])
	if lines := asked["If-None-Match"]; len(lines) > 0 {
		found := false
		for _, line := range lines {
			for line != "" {
				var one string
				one, line = cutQuoted(line)
				one = trim(one)
				found = found || one == "*" || etag != "" && strings.TrimPrefix(one, "W/") == strings.TrimPrefix(etag, "W/")
			}
		}
		return found
	}
	since, err := http.ParseTime(validator(asked["If-Modified-Since"]))
	if err != nil {
		return false
	}
	modified, err := http.ParseTime(validator(answer["Last-Modified"]))
	return err == nil && !modified.After(since)
}

// failed reports whether an answer is one that a stale one may stand in for (RFC 5861 §4).
func failed(status int, origin tapway.Origin) bool {
	switch status {
	case 500, 502, 503, 504:
		return true
	}
	return origin != tapway.OriginBackend && status >= 500
}
