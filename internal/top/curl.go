package top

import (
	"context"
	"encoding/base64"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/terminal"
)

// maxCopied is the largest body that a command is made with.
const maxCopied = 64 << 10

type copied struct {
	command string
	print   bool
	note    string
}

// copyCurl makes a command of the call that is looked at, for the clipboard or for the end.
func (m *Model) copyCurl(print bool) {
	id, _ := m.chosen()
	if id == "" {
		m.say("there is no call to copy")
		return
	}
	src, ascii := m.src, m.ascii
	m.task("copy", func(ctx context.Context, send func(any)) {
		d, err := src.Detail(ctx, id)
		var b []byte
		if err == nil && d.Request.Kept > 0 {
			b, err = src.Body(ctx, id, "request", maxCopied+1)
		}
		if err == nil && len(b) > maxCopied {
			err = fmt.Errorf("the body is larger than %s; `tapway export --format har` has it", terminal.Bytes(maxCopied))
		}
		if err != nil {
			send(told{"copy: " + err.Error(), true})
			return
		}
		c := copied{command: Curl(&d, b, ascii), print: print}
		if d.Request.Truncated || d.Request.Withheld {
			c.note = "; its body was not recorded in full"
		}
		send(c)
	})
}

func (m *Model) copied(c copied) {
	if c.print {
		m.parting = append(m.parting, c.command)
		m.say("the command is printed when you quit%s", c.note)
		return
	}
	m.effects.Copy = c.command
	m.say("copied as a curl command%s; if your terminal does not copy, C prints it when you quit", c.note)
}

// hopByHop are the headers that curl makes by itself.
var hopByHop = map[string]bool{"connection": true, "keep-alive": true, "proxy-connection": true, "te": true, "trailer": true,
	"transfer-encoding": true, "upgrade": true, "content-length": true, "host": true, "expect": true}

// Curl is a command for a shell that repeats the request of d with this body. Redacted values stand in it
// as they were recorded. It is printable whatever was captured; with ascii it is ASCII.
func Curl(d *admin.Detail, body []byte, ascii bool) string {
	quote := func(word string) string { return shell(word, ascii) }
	scheme := "http"
	if d.Front != "" && d.Front != "server" {
		scheme = "https"
	}
	address := scheme + "://" + d.From + target(&d.Summary)
	command := "curl -i "
	switch method := d.Method; {
	case method == "GET":
	case method == "HEAD":
		command += "-I "
	default:
		command += "-X " + quote(method) + " "
	}
	if strings.ContainsAny(address, "[]{}") {
		command += "-g "
	}
	parts := []string{command + quote(address)}
	for _, h := range d.Request.Headers {
		name := strings.ToLower(h[0])
		if hopByHop[name] || name == "content-encoding" { // the body has been decoded
			continue
		}
		text := h[0] + ": " + h[1]
		if h[1] == "" {
			text = h[0] + ";" // how curl sends a header without a value
		}
		parts = append(parts, "-H "+quote(text))
	}
	switch {
	case len(body) == 0:
	case utf8.Valid(body) && !strings.ContainsRune(string(body), 0):
		parts = append(parts, "--data-raw "+quote(string(body)))
	default:
		parts = append(parts, "--data-binary @-")
		return "echo " + base64.StdEncoding.EncodeToString(body) + " | base64 -d | " + strings.Join(parts, " \\\n  ")
	}
	return strings.Join(parts, " \\\n  ")
}

// shell quotes a word: in '…', or in $'…' of bash, zsh and POSIX 2024 if it holds what a terminal would obey.
func shell(word string, ascii bool) string {
	shown := func(r rune) bool { return unicode.IsPrint(r) && (!ascii || r < utf8.RuneSelf) }
	unsafe := strings.ContainsFunc(word, func(r rune) bool { return !shown(r) }) || !utf8.ValidString(word)
	if !unsafe {
		return "'" + strings.ReplaceAll(word, "'", `'\''`) + "'"
	}
	var b strings.Builder
	b.WriteString("$'")
	for i := 0; i < len(word); {
		r, n := utf8.DecodeRuneInString(word[i:])
		switch {
		case r == '\'' || r == '\\':
			b.WriteString(`\` + string(r))
		case r == '\n':
			b.WriteString(`\n`)
		case r == '\t':
			b.WriteString(`\t`)
		case shown(r) && (r != utf8.RuneError || n > 1):
			b.WriteRune(r)
		default:
			for _, c := range []byte(word[i : i+n]) {
				fmt.Fprintf(&b, `\%03o`, c)
			}
		}
		i += n
	}
	return b.String() + "'"
}
