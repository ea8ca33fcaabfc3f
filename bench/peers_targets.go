package main

import (
	"fmt"
	"slices"
	"strings"
)

// target is something that the measurements should show.
type target struct {
	what         string
	short        string
	ours, theirs string
	atLeast      float64
}

// allTargets are the targets, those against every peer that captures both bodies first.
func allTargets() (all []target) {
	for _, p := range peerList() {
		if p.captures && !p.passive && !strings.HasPrefix(p.name, "tapway") && p.name != nameTyk {
			all = append(all, target{"with capture and delivery, ahead of " + p.name, "1 × " + p.name, nameTapway, p.name, 1})
		}
	}
	return append(all,
		target{"with capture and delivery, three times Tyk with `detailed_recording`", "3 × Tyk", nameTapway, nameTyk, 3},
		target{"with capture and delivery, twice Caddy's plain proxying", "2 × Caddy", nameTapway, nameCaddy, 2},
		target{"without capture, twice httputil.ReverseProxy", "2 × httputil", nameBare, nameHTTPUtil, 2})
}

// verdict is what a kind of call says of a target.
type verdict struct {
	measured, holds bool
	rate, cpu       []float64 // throughput, ours ÷ theirs, and CPU per call, theirs ÷ ours, in each round
}

func (t target) verdict(o *outcome) (v verdict) {
	v.rate = o.ratio(t.ours, t.theirs, func(s sample) float64 { return s.perSec })
	v.cpu = o.ratio(t.theirs, t.ours, func(s sample) float64 { return s.cpu + s.store })
	v.measured = len(v.rate) > 0 && len(v.cpu) > 0
	v.holds = v.measured && median(v.rate) >= t.atLeast
	return v
}

// mark is ✓ or ✗.
func mark(holds bool) string {
	if holds {
		return "✓"
	}
	return "✗"
}

// targets prints whether each target holds, in all and in each kind of call, by throughput, with the ratio of CPU
// per call beside it.
func (r *report) targets(b *strings.Builder) {
	all := allTargets()
	fmt.Fprintf(b, "## The targets\n\n\"With capture and delivery\" is `%s`. A target holds (✓) for a kind of call where the median of its rounds' ratios of throughput, tapway ÷ the peer, reaches it.\n"+
		"CPU is the peer's per call ÷ tapway's: where it says more than the throughput does, the machine's noise or its load generator was in the way.\n\n"+
		"| target | holds | throughput | CPU |\n|---|---|---|---|\n", nameTapway)
	for _, t := range all {
		var rate, cpu []float64
		held := 0
		for _, o := range r.outcomes {
			if v := t.verdict(o); v.measured {
				rate, cpu = append(rate, median(v.rate)), append(cpu, median(v.cpu))
				if v.holds {
					held++
				}
			}
		}
		if len(rate) == 0 {
			fmt.Fprintf(b, "| %s | not measured | – | – |\n", t.what)
			continue
		}
		fmt.Fprintf(b, "| %s | %s in %d of %d kinds of calls | %s | %s |\n", t.what, mark(held == len(rate)), held, len(rate), reach(rate), reach(cpu))
	}
	b.WriteString("\nBy kind of call: throughput, with the smallest and the largest of the rounds, and CPU.\n\n| |")
	for _, t := range all {
		fmt.Fprintf(b, " %s |", t.short)
	}
	b.WriteString("\n|---|" + strings.Repeat("---|", len(all)) + "\n")
	for _, o := range r.outcomes {
		fmt.Fprintf(b, "| %s |", o.cell)
		for _, t := range all {
			if v := t.verdict(o); v.measured {
				fmt.Fprintf(b, " %s %s · CPU %.2f |", mark(v.holds), span(v.rate), median(v.cpu))
			} else {
				b.WriteString(" – |")
			}
		}
		b.WriteString("\n")
	}
}

// reach is the smallest and the largest of some medians.
func reach(v []float64) string {
	if len(v) == 1 {
		return fmt.Sprintf("%.2f", v[0])
	}
	return fmt.Sprintf("%.2f to %.2f", slices.Min(v), slices.Max(v))
}
