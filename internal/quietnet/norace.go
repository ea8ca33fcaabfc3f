//go:build !race

package quietnet

// underRace is whether the race detector is built in. It takes what passes through package net's sockets for
// synchronisation, which the calls here would keep from it: tests that rely on that would see races that are none.
const underRace = false
