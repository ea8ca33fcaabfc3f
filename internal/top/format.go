package top

import (
	"fmt"
	"time"

	"github.com/tapway/tapway/internal/terminal"
)

func statusText(status int) string {
	if status == 0 {
		return "---"
	}
	return fmt.Sprintf("%3d", status)
}

func statusStyle(status int) terminal.Style {
	switch {
	case status == 0:
		return terminal.Red
	case status < 300:
		return terminal.Green
	case status < 400:
		return terminal.Cyan
	case status < 500:
		return terminal.Yellow
	}
	return terminal.Red | terminal.Bold
}

func millis(ms float64) string {
	switch {
	case ms >= 100_000:
		return fmt.Sprintf("%.0fs", ms/1000)
	case ms >= 10_000:
		return fmt.Sprintf("%.1fs", ms/1000)
	case ms >= 100:
		return fmt.Sprintf("%.0fms", ms)
	}
	return fmt.Sprintf("%.1fms", ms)
}

// spanText is a length of time in one unit.
func spanText(d time.Duration) string {
	switch {
	case d < time.Second:
		return "0s"
	case d < time.Minute:
		return fmt.Sprintf("%ds", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh", d/time.Hour)
	}
	return fmt.Sprintf("%dd", d/(24*time.Hour))
}

func rateText(rate float64) string {
	if rate < 10 {
		return fmt.Sprintf("%.1f", rate)
	}
	return fmt.Sprintf("%.0f", rate)
}

func percentText(share float64) string {
	if share > 0 && share < 0.1 {
		return fmt.Sprintf("%.1f%%", share*100)
	}
	return fmt.Sprintf("%.0f%%", share*100)
}

func plural(n int, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
