package terminal

import (
	"slices"
	"strings"
)

// Profile is what a terminal can do, as far as its environment says.
type Profile struct {
	Screen bool // the cursor can be moved
	Colour bool
	UTF8   bool
}

// ProfileOf reads TERM, NO_COLOR (https://no-color.org) and the locale, in the order of POSIX.
func ProfileOf(getenv func(string) string) Profile {
	term := getenv("TERM")
	p := Profile{Screen: term != "" && term != "dumb"}
	p.Colour = p.Screen && getenv("NO_COLOR") == "" && !strings.HasSuffix(term, "-m") && !strings.HasSuffix(term, "-mono") &&
		!slices.ContainsFunc([]string{"vt1", "vt2", "vt3", "vt4", "vt5"}, func(old string) bool { return strings.HasPrefix(term, old) })
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if value := strings.ToLower(getenv(name)); value != "" {
			p.UTF8 = strings.Contains(value, "utf-8") || strings.Contains(value, "utf8")
			break
		}
	}
	return p
}
