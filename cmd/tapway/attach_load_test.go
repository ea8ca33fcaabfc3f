package main

import (
	"slices"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/torture"
)

// TestAttachUnderLoad: an API is attached to tapway and detached by real processes, some of which are
// killed or meet faults, while clients call it and tapway is killed in the end. No call fails because
// of that; what went through tapway has its record, what went past it has none; and the API is as it
// was. Each seed is one life of `make torture` behind an API.
func TestAttachUnderLoad(t *testing.T) {
	for name, seed := range map[string]uint64{"REST API": 128, "HTTP API": 63} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r, err := torture.Run(t.Context(), torture.Options{Command: command, Dir: t.TempDir(), Seed: seed, Behind: true, Calls: 1, Log: t.Logf})
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range r.Problems {
				t.Error(p)
			}
			for _, event := range []string{"event attach ", "event detach ", "tach killed "} {
				if !slices.ContainsFunc(r.Faults, func(f string) bool { return strings.Contains(f, event) }) {
					t.Errorf("there was no %q: %q", event, r.Faults)
				}
			}
			if r.Past == 0 || r.Ended == 0 || r.Lives != 1 {
				t.Errorf("%+v", r)
			}
		})
	}
}
