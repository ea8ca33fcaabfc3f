package otlp

import (
	"bytes"
	"net/url"
	"slices"
	"strings"
)

// scrub puts asterisks in place of what may be a secret in a collector's answer, as many, so that the lengths
// in a message stay right: values of our headers, and of the URL what is longer than a word.
func (c *Client) scrub(reply []byte) []byte {
	var hidden []string
	add := func(least int, parts ...string) {
		for _, part := range parts {
			if len(part) < least {
				continue
			}
			hidden = append(hidden, part)
			for _, decode := range []func(string) (string, error){url.PathUnescape, url.QueryUnescape} {
				if plain, err := decode(part); err == nil && plain != part {
					hidden = append(hidden, plain)
				}
			}
		}
	}
	for _, values := range c.Header {
		for _, v := range values {
			add(4, v)
			add(8, strings.Fields(v)...) // "Bearer" and "Basic" are words
		}
	}
	if u, err := url.Parse(c.URL); err == nil {
		add(16, strings.Split(u.EscapedPath(), "/")...)
		for part := range strings.SplitSeq(u.RawQuery, "&") {
			_, value, _ := strings.Cut(part, "=")
			add(8, value)
		}
		if password, ok := u.User.Password(); ok {
			add(4, password)
		}
	}
	slices.SortFunc(hidden, func(a, b string) int { return len(b) - len(a) })
	for _, h := range hidden {
		reply = bytes.ReplaceAll(reply, []byte(h), bytes.Repeat([]byte{'*'}, len(h)))
	}
	return reply
}
