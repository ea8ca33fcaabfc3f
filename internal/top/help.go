package top

import "github.com/tapway/tapway/internal/terminal"

// keysHelp is what ? shows; docs/terminal.md says the same in more words.
var keysHelp = [][2]string{
	{"j k ↑ ↓", "one down, one up"},
	{"PageUp PageDown", "a page; Ctrl-U and Ctrl-D half of one"},
	{"Home g, End G", "the oldest call; the newest, and follow"},
	{"Space p", "pause and go on"},
	{"F", "follow new calls or stay"},
	{"Enter", "open the call; Esc or q closes it"},
	{"Tab 1 2 3", "overview, request, response"},
	{"← →", "the call before or after the open one"},
	{"f", "filter; ↑ brings earlier ones back"},
	{"/ n N", "search, and go on"},
	{"d", "dead letters; R there redrives one"},
	{"r", "replay the call; asks where to"},
	{"c, C", "copy as curl; print it on quitting"},
	{"mouse", "wheel scrolls, click selects and opens; Shift marks text"},
	{"Ctrl-L Ctrl-Z", "draw anew; back to the shell, fg returns"},
	{"q Ctrl-C", "quit"},
	{"", ""},
	{"errors", "5xx and no answer, in the last minute; so p50 and p99"},
}

func drawHelp(s *terminal.Screen, a area) {
	for i, k := range keysHelp {
		if i >= a.h {
			return
		}
		s.Text(a.x+1, a.y+i, min(16, a.w-1), k[0], terminal.Bold)
		s.Text(a.x+18, a.y+i, a.w-18, terminal.Cut(k[1], a.w-18), 0)
	}
}
