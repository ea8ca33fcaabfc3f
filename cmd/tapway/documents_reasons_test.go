package main

import (
	"regexp"
	"strings"
	"testing"
)

// TestTroubleshooting: the page tells of every reason that the code gives for a failed call, an undelivered
// record, a call without a record. The reasons are read where they are given.
func TestTroubleshooting(t *testing.T) {
	page := read(t, root, "docs/troubleshooting.md")
	for _, s := range []struct {
		file, reason string
		atLeast      int
	}{
		{"internal/proxy/failure.go", `(?:reason: |return |", )"((?:[a-z]+ )*(?:backend|response|request|client|status|egress|HTTP/2)[^":]*?)(?:: [^"]*| ?)"`, 18},
		{"internal/proxy/pass.go", `reason: "([^"]+)"`, 2},
		{"internal/proxy/upgrade.go", `reason: "([^"]+)"`, 1},
		{"internal/capture/call.go", `(?m)^\terror[A-Z][A-Za-z]+ += "([^"]+)"`, 5},
		{"internal/capture/call.go", `Drop\("([^"]+)"`, 2},
		{"internal/lambdaapp/invoke.go", `return "(the function [^"]+)"`, 2},
		{"internal/lambdaapp/proxy.go", `dropped\("([^"]+)"`, 1},
		{"internal/delivery/class.go", `(?:TimedOut|Unreachable|Broken), (?:fmt.Sprintf\()?"([^":%]+)`, 6},
		{"internal/delivery/class.go", `reason \+= " \(([^)]+)\)`, 1},
		{"internal/queue/diskqueue/commit.go", `(?m)^\t\treturn "([^"]+)"`, 5},
		{"internal/queue/diskqueue/commit.go", `(?m)^\treturn "([^"]+)"`, 1},
		{"internal/queue/sqsqueue/failure.go", `(?m)^\t+return "([a-z-]+)"`, 5},
		{"ledger.go", `or for this destination: "([^"]+)", "`, 1},
	} {
		found := regexp.MustCompile(s.reason).FindAllStringSubmatch(read(t, root, s.file), -1)
		if len(found) < s.atLeast {
			t.Errorf("%s: %d reasons like %s, expected %d: the test does not find them", s.file, len(found), s.reason, s.atLeast)
		}
		for _, m := range found {
			if reason := strings.TrimSpace(m[1]); !strings.Contains(page, "`"+reason) {
				t.Errorf("docs/troubleshooting.md does not tell of %q, which %s gives", reason, s.file)
			}
		}
	}
}
