package config

import (
	"fmt"
	"math"
	"strings"
)

// checkCounters tests access.counters.
func checkCounters(s string) error {
	if s == "auto" || s == "local" {
		return nil
	}
	const write = "write auto, local or dynamodb://TABLE"
	rest, ok := strings.CutPrefix(s, "dynamodb://")
	if !ok {
		return fmt.Errorf("%q is no place for counters that this version knows; %s", s, write)
	}
	table, name, named := strings.Cut(rest, "/")
	if !made(table, letters+"0123456789-_.", 3, 255) {
		return fmt.Errorf("%q does not name a DynamoDB table; %s", s, write)
	}
	if named && !made(name, letters+"0123456789-_.", 1, 64) {
		return fmt.Errorf("%q: what follows the table is no name; use up to 64 letters, digits, '-', '_' and '.'", s)
	}
	return nil
}

// CounterTable is the DynamoDB table of access.counters, and what the names of its items begin with; table is
// "" where the counters are elsewhere.
func (a Access) CounterTable() (table, prefix string) {
	rest, ok := strings.CutPrefix(a.Counters, "dynamodb://")
	if !ok {
		return "", ""
	}
	table, prefix, _ = strings.Cut(rest, "/")
	if prefix != "" {
		prefix += "/"
	}
	return table, prefix
}

// Counts names the keys of the file whose rules have to count calls; nil if none does.
func (c *Config) Counts() []string {
	keys := c.Access.Counts()
	if c.Limits.DailyCalls > 0 {
		keys = append(keys, "limits.daily_calls")
	}
	if c.Limits.DailyCost > 0 {
		keys = append(keys, "limits.daily_cost")
	}
	return keys
}

// maxDailyCost is more than anybody's, in US dollars.
const maxDailyCost = 1e9

func (k *checker) ceilings(c *Config) {
	if n := c.Limits.DailyCost; !k.failed("limits.daily_cost") && (!(n >= 0) || n > maxDailyCost || n > 0 && n < 1e-6 || math.IsInf(n, 0)) {
		k.fail("limits.daily_cost", fmt.Sprintf("%v is no cost of a day", n), "write US dollars, such as 5 or 0.50, or 0 for no limit")
	}
}
