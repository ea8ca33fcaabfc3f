package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/tapway/tapway/internal/admin"
	"github.com/tapway/tapway/internal/app"
	"github.com/tapway/tapway/internal/terminal"
)

// isTerminal reports whether w is a terminal a person looks at.
func isTerminal(w io.Writer) bool {
	f, ok := w.(*os.File)
	if !ok {
		return false
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

// colours are ANSI sequences, or nothing where they would not be seen as colours.
type colours struct{ on bool }

func coloursFor(w io.Writer) colours {
	return colours{isTerminal(w) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb"}
}

func (c colours) paint(code, s string) string {
	if !c.on {
		return s
	}
	return "\x1b[" + code + "m" + s + "\x1b[0m"
}

func (c colours) dim(s string) string { return c.paint("2", s) }

func (c colours) status(status int) string {
	text := fmt.Sprintf("%3d", status)
	switch {
	case status == 0:
		return c.paint("31", "---")
	case status < 300:
		return c.paint("32", text)
	case status < 400:
		return c.paint("36", text)
	case status < 500:
		return c.paint("33", text)
	}
	return c.paint("31;1", text)
}

// line is one exchange in one line. On a terminal it does not wrap: what fits behind the
// path stands there, and a path that does not fit is cut.
func (c colours) line(s *admin.Summary, width int) string {
	target := printable(s.Path)
	if s.Query != "" {
		target += "?" + printable(s.Query)
	}
	head := fmt.Sprintf("%s %s %8s %-7s ", c.dim(s.Time.Local().Format("15:04:05.000")), c.status(s.Status), millis(s.DurationMS), printable(s.Method))
	room := width - (12 + 1 + 3 + 1 + 8 + 1 + max(7, terminal.Width(s.Method)) + 1)
	if width > 0 && terminal.Width(target) > room {
		return head + terminal.Cut(target, room)
	}
	room -= terminal.Width(target)
	out := head + target
	for _, more := range []struct{ code, text string }{
		{"35", map[bool]string{true: "", false: printable(s.Origin)}[s.Origin == "backend"]},
		{"31", printable(s.Error)},
		{"2", fmt.Sprintf("%s→%s %s", terminal.Bytes(s.RequestSize), terminal.Bytes(s.ResponseSize), printable(s.ClientIP))},
	} {
		if room -= 1 + terminal.Width(more.text); more.text != "" && (width == 0 || room >= 0) {
			out += " " + c.paint(more.code, more.text)
		}
	}
	return out
}

func millis(ms float64) string {
	if ms >= 100_000 {
		return fmt.Sprintf("%.1fs", ms/1000)
	}
	return fmt.Sprintf("%.1fms", ms)
}

// widthOf is how wide the terminal w is, 0 when it is none.
func widthOf(w io.Writer) int {
	if f, ok := w.(*os.File); ok && isTerminal(w) {
		return app.TerminalWidth(f)
	}
	return 0
}

// printable keeps what strangers sent from moving the cursor.
func printable(s string) string { return terminal.Clean(s) }

// printableLines is printable that lets lines be lines.
func printableLines(s string) string {
	lines := strings.Split(s, "\n")
	for i := range lines {
		lines[i] = printable(lines[i])
	}
	return strings.Join(lines, "\n")
}

func ago(t time.Time) string {
	if t.IsZero() {
		return "-"
	}
	d := time.Since(t)
	switch {
	case d < time.Second:
		return "now"
	case d < time.Minute:
		return fmt.Sprintf("%ds ago", d/time.Second)
	case d < time.Hour:
		return fmt.Sprintf("%dm ago", d/time.Minute)
	case d < 48*time.Hour:
		return fmt.Sprintf("%dh ago", d/time.Hour)
	}
	return fmt.Sprintf("%dd ago", d/(24*time.Hour))
}

// progress shows how a long operation goes on, on a terminal only.
type progress struct {
	w     io.Writer
	shown bool
	began time.Time
}

func newProgress(w io.Writer) *progress {
	if !isTerminal(w) {
		w = nil
	}
	return &progress{w: w, began: time.Now()}
}

// show draws the bar once a second has passed.
func (p *progress) show(done, total int64, unit func(int64) string) {
	if p.w == nil || total <= 0 || time.Since(p.began) < time.Second {
		return
	}
	p.shown = true
	full := int(30 * done / total)
	fmt.Fprintf(p.w, "\r  [%s%s] %s of %s ", strings.Repeat("=", full), strings.Repeat(" ", 30-full), unit(done), unit(total))
}

// written counts what goes to a file of unknown length.
func (p *progress) written(w io.Writer) io.Writer {
	if p.w == nil {
		return w
	}
	return &countingWriter{w: w, progress: p}
}

type countingWriter struct {
	w        io.Writer
	progress *progress
	n        int64
	last     time.Time
}

func (c *countingWriter) Write(b []byte) (int, error) {
	n, err := c.w.Write(b)
	c.n += int64(n)
	if now := time.Now(); now.Sub(c.progress.began) > time.Second && now.Sub(c.last) > 100*time.Millisecond {
		c.last, c.progress.shown = now, true
		fmt.Fprintf(c.progress.w, "\r  %s ", terminal.Bytes(c.n))
	}
	return n, err
}

func (p *progress) end() {
	if p.shown {
		fmt.Fprint(p.w, "\r\x1b[K")
	}
}

func count(n int64) string { return fmt.Sprint(n) }

func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return fmt.Sprintf("%d %ss", n, one)
}
