package main

import (
	"fmt"
)

// benchCache measures an answer from the cache beside the same one from the backend, records
// included.
func benchCache() error {
	backend, err := start("backend")
	if err != nil {
		return err
	}
	defer backend.stop()
	with := append(paused, "-durability", "write")
	list := []contender{{"served by the backend", tapwayWith(with...)}, {"served from the cache", tapwayWith(append(with, "-rules", "cached")...)}}
	reads = true
	defer func() { reads = false }()
	all, err := compare(list, "http://"+backend.addr, 1<<10, 0)
	if err != nil {
		return err
	}
	fmt.Print("\n## Cache, GET of 1 KiB, durability: write, deliveries paused\n\n| | calls/s | ÷ backend (min–max) | CPU µs/call | ÷ backend | failed |\n|---|---|---|---|---|---|\n")
	for i, s := range all {
		fmt.Printf("| %s | %.0f | %s | %.1f | %.2f | %d |\n", list[i].name, median(s.perSec), span(ratios(s.perSec, all[0].perSec)), median(s.cpu), median(ratios(s.cpu, all[0].cpu)), s.failed)
	}
	return nil
}
