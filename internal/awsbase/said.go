package awsbase

import "strings"

// maxSaid bounds what is kept of an error's text, in bytes.
const maxSaid = 400

// Said is what may be shown of the text with which an AWS service explains an error: its first paragraph on one line, at most
// 400 bytes of it. Behind that a service that found a signature wrong quotes what should have been signed, the session
// token among it.
func Said(text string) string {
	said, _, _ := strings.Cut(strings.TrimSpace(strings.ReplaceAll(text, "\r", "")), "\n\n")
	said, _, _ = strings.Cut(said, "The Canonical String")
	return Shorten(strings.Join(strings.Fields(said), " "), maxSaid)
}

// Shorten gives at most the first most bytes of s, with an ellipsis where something is left out.
func Shorten(s string, most int) string {
	if len(s) > most {
		s = strings.ToValidUTF8(s[:most], "") + "…"
	}
	return s
}
