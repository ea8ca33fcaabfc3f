package config

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
)

// ParseDuration reads "1s", "250ms", "1h30m", also "7d"; a bare number is seconds, as the
// older systems' REQUEST_TIMEOUT was. Negative durations are errors.
func ParseDuration(s string) (Duration, error) {
	s = strings.TrimSpace(s)
	if n, err := strconv.ParseFloat(s, 64); err == nil {
		if n < 0 || n > math.MaxInt64/1e9 || n != n {
			return 0, fmt.Errorf("%q is not a duration: it must be between 0 and 290 years", s)
		}
		return Duration(n * float64(time.Second)), nil
	}
	if days, ok := strings.CutSuffix(s, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return Duration(time.Duration(n) * 24 * time.Hour), nil
		}
	}
	d, err := time.ParseDuration(s)
	if err != nil {
		return 0, fmt.Errorf("%q is not a duration: write 250ms, 10s, 15m or 24h", s)
	}
	if d < 0 {
		return 0, fmt.Errorf("%q is not a duration: it must not be negative", s)
	}
	return Duration(d), nil
}

var units = []struct {
	suffix string
	bytes  float64
}{
	{"KIB", 1 << 10}, {"MIB", 1 << 20}, {"GIB", 1 << 30}, {"TIB", 1 << 40},
	{"KB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12},
	{"K", 1 << 10}, {"M", 1 << 20}, {"G", 1 << 30}, {"B", 1},
}

// ParseSize reads "512", "10KiB" (1,024s), "10MB" (1,000s), "1.5GiB".
func ParseSize(s string) (Size, error) {
	text, factor := strings.ToUpper(strings.TrimSpace(s)), 1.0
	for _, u := range units {
		if number, ok := strings.CutSuffix(text, u.suffix); ok {
			text, factor = strings.TrimSpace(number), u.bytes
			break
		}
	}
	n, err := strconv.ParseFloat(text, 64)
	if err != nil || n != n {
		return 0, fmt.Errorf("%q is not a size: write 512, 10KiB, 10MiB or 1GB", s)
	}
	if n *= factor; n < 0 || n >= math.MaxInt64 {
		return 0, fmt.Errorf("%q is not a size: it must be between 0 and 8 EiB", s)
	}
	return Size(n), nil
}

// String is the shortest form that ParseSize reads back.
func (n Size) String() string {
	for _, u := range [...]struct {
		suffix string
		bytes  Size
	}{{"TiB", 1 << 40}, {"GiB", 1 << 30}, {"MiB", 1 << 20}, {"KiB", 1 << 10}} {
		if n >= u.bytes && n%u.bytes == 0 {
			return strconv.FormatInt(int64(n/u.bytes), 10) + u.suffix
		}
	}
	return strconv.FormatInt(int64(n), 10)
}
