package apitest

import (
	"net/http"
	"strings"
	"time"
)

// Rate is a bucket that is filled with PerSecond tokens a second up to Burst; a call takes
// one.
type Rate struct {
	PerSecond float64
	Burst     int
}

type bucket struct {
	tokens float64
	last   time.Time
}

// DocumentedLimits are API Gateway's rates per account and region
// (https://docs.aws.amazon.com/apigateway/latest/developerguide/limits.html). They cannot be
// raised there.
func DocumentedLimits() map[string]Rate {
	return map[string]Rate{
		"":                 {10, 40},
		"CreateDeployment": {1.0 / 5, 1},
		"GetResources":     {5.0 / 2, 5},
		"CreateResource":   {5, 5},
	}
}

// throttleLocked says no when a call comes too early. Lambda's calls are not limited.
func (s *Server) throttleLocked(op, path string) error {
	if strings.HasPrefix(path, "/20") { // Lambda's paths begin with a year
		return nil
	}
	now := s.Now()
	var taken []*bucket
	for _, name := range []string{"", op} {
		rate, limited := s.Limits[name]
		if !limited {
			continue
		}
		b := s.buckets[name]
		if b == nil {
			b = &bucket{tokens: float64(rate.Burst), last: now}
			s.buckets[name] = b
		}
		b.tokens = min(float64(rate.Burst), b.tokens+now.Sub(b.last).Seconds()*rate.PerSecond)
		b.last = now
		const almost = 1 - 1e-9 // what a float makes of five fifths
		if b.tokens < almost {
			return &Error{http.StatusTooManyRequests, "TooManyRequestsException", "Too Many Requests"}
		}
		taken = append(taken, b)
	}
	for _, b := range taken {
		b.tokens--
	}
	return nil
}
