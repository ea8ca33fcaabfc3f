//go:build race

package quietnet

const underRace = true
