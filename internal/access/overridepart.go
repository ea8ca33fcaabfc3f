package access

import (
	"bytes"
	"io"
	"mime"
	"mime/multipart"
	"slices"
	"strings"
)

const (
	// formHeld is how much is kept back behind what has been looked at: more than multipart.Reader reads ahead.
	formHeld    = 8 << 10
	maxBoundary = 70 // RFC 2046 §5.1.1

	// maxStep is how much is read at once for a part's head, or before the first part: it has to be held.
	maxStep = 64 << 10
)

// boundaryOf gives the boundary of a multipart Content-Type. ok is false if there is none, or if not everybody would find the same: PHP
// takes what stands behind the first "boundary", and ends it at a comma.
func boundaryOf(contentType string) (boundary string, ok bool) {
	_, params, err := mime.ParseMediaType(contentType)
	boundary = params["boundary"]
	if err != nil || boundary == "" || len(boundary) > maxBoundary || strings.ContainsAny(boundary, `,;"\`) {
		return "", false
	}
	first := contentType
	for len(first) > len("boundary") && !strings.EqualFold(first[:len("boundary")], "boundary") {
		first = first[1:]
	}
	first, found := strings.CutPrefix(strings.TrimLeft(first[min(len(first), len("boundary")):], " \t"), "=")
	first = strings.TrimLeft(first, " \t\"")
	if end := strings.IndexAny(first, `,;"`); end >= 0 {
		first = first[:end]
	}
	return boundary, found && strings.TrimRight(first, " \t") == boundary
}

// delimiters looks for lines that begin like a delimiter and that multipart.Reader does not take for one, but others do: PHP
// takes one behind a line feed alone, and one behind the last part.
type delimiters struct {
	mark   []byte // a line feed, and what a delimiter begins with
	seen   []byte // what has come last
	begun  bool   // the first one was seen
	bare   bool   // lines end with a line feed alone
	closed bool   // the last one was seen
}

func newDelimiters(boundary string) delimiters {
	return delimiters{mark: []byte("\n--" + boundary), seen: []byte("\r\n")} // a body begins like a line
}

// feed takes what comes next. It is false where there is such a line.
func (d *delimiters) feed(b []byte) bool {
	d.seen = append(d.seen, b...)
	at := 1 // before it stands what was looked at; the byte before the line feed is needed
	for {
		i := bytes.Index(d.seen[at:], d.mark)
		if i < 0 {
			at = max(at, len(d.seen)-len(d.mark)+1)
			break
		}
		at += i
		if d.closed || d.begun && !d.bare && d.seen[at-1] != '\r' {
			return false
		}
		behind := d.seen[at+len(d.mark):]
		if len(behind) < len("--") {
			break
		}
		if !d.begun {
			d.begun, d.bare = true, behind[0] == '\n'
		}
		d.closed = string(behind[:2]) == "--"
		at += len(d.mark)
	}
	d.seen = append(d.seen[:0], d.seen[at-1:]...)
	return true
}

// partLook is a multipart body that is read by somebody else, and looked at before.
type partLook struct {
	src    io.ReadCloser
	passed bytes.Buffer // looked at, and not yet read
	parts  *multipart.Reader
	part   *multipart.Part
	method []byte // the field's value so far; nil: the part is another
	may    *judge
	whole  bool // behind the last part
	room   int  // bytes that a step may still read
	lines  delimiters
	err    error
	srcErr error
}

func newPartLook(src io.ReadCloser, boundary string, may *judge) *partLook {
	l := &partLook{src: src, may: may, lines: newDelimiters(boundary)}
	l.parts = multipart.NewReader(readerFunc(l.read), boundary)
	return l
}

// read reads from the source, and keeps what it reads.
func (l *partLook) read(p []byte) (n int, err error) {
	if l.room <= 0 {
		err = errForm
	} else {
		n, err = l.src.Read(p[:min(len(p), l.room)])
		l.room -= n
		l.passed.Write(p[:n])
		if !l.lines.feed(p[:n]) {
			err = errForm
		}
	}
	if err != nil {
		l.srcErr = err
	}
	if err == errForm {
		l.err = err // at once: the multipart.Reader still has what came before
	}
	return n, err
}

type readerFunc func(p []byte) (int, error)

func (f readerFunc) Read(p []byte) (int, error) { return f(p) }

func (l *partLook) size() int     { return l.passed.Cap() }
func (l *partLook) later(j judge) { *l.may = j }
func (l *partLook) done() bool    { return false }

func (l *partLook) ahead() (error, bool) {
	l.step()
	return l.err, l.err != nil || l.passed.Len() >= formAhead
}

// step reads on by a part's head, or by a piece of its body.
func (l *partLook) step() {
	var room [4 << 10]byte
	l.room = maxStep
	switch {
	case l.whole:
		if _, err := l.read(room[:]); err != nil {
			l.err = err
		}
	case l.part == nil:
		part, err := l.parts.NextRawPart()
		if err != nil {
			l.ended(err)
			return
		}
		l.part, l.method = part, nil
		if isOverride(part.Header["Content-Disposition"]) || slices.ContainsFunc(part.Header["Content-Id"], isOverrideField) { // Rack names a part by its ID if it has no name
			l.method = make([]byte, 0, maxOverride)
		}
	default:
		n, err := l.part.Read(room[:])
		if l.method != nil {
			if l.method = append(l.method, room[:n]...); len(l.method) > maxOverride {
				l.err = errOverride
				return
			}
		}
		if err == nil {
			return
		}
		if l.method != nil && !l.may.takes(string(l.method)) {
			l.err = errOverride
			return
		}
		if err != io.EOF {
			l.ended(err)
		}
		l.part = nil
	}
}

// ended notes why there is no further part: all were there, the source is broken, or it is no form.
func (l *partLook) ended(err error) {
	switch {
	case err == io.EOF && l.srcErr == nil:
		l.whole = true
	case err == io.EOF && l.srcErr == io.EOF:
		l.err = io.EOF
	case l.srcErr != nil && l.srcErr != io.EOF:
		l.err = l.srcErr
	default:
		l.err = errForm
	}
}

// isOverride reports whether a part is the field. What cannot be read, or not by everybody in the same way, and could be, is:
// PHP takes the last name, and single quotes; commons-fileupload reads encoded words, and some read name* and some do not.
func isOverride(lines []string) bool {
	for _, line := range lines {
		lower := strings.ToLower(line)
		if !strings.Contains(lower, "method") && !strings.ContainsAny(line, `\%*`) && !strings.Contains(line, "=?") {
			continue
		}
		_, params, err := mime.ParseMediaType(line)
		if err != nil || strings.Contains(lower, "name*") && !strings.Contains(lower, "filename*") {
			return true
		}
		for key, value := range params {
			quotes := strings.ContainsAny(value, `'"`) && strings.Contains(strings.ToLower(value), overrideField[1:])
			switch {
			case key == "filename":
				if quotes && strings.Contains(strings.ToLower(value), "name") {
					return true
				}
				continue
			case quotes || strings.Contains(value, "=?"):
				return true
			}
			value = strings.ReplaceAll(value, `\`, "") // Go leaves escapes that are not needed
			if isOverrideField(strings.Trim(value, "' ")) {
				return true
			}
		}
	}
	return false
}

// Read is io.Reader. Nothing is handed on of a form that asks for what is not allowed, from where that was found.
func (l *partLook) Read(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil
	}
	ready := func() int {
		if l.whole || l.err == io.EOF {
			return l.passed.Len()
		}
		return l.passed.Len() - formHeld
	}
	for ready() <= 0 && l.err == nil {
		l.step()
	}
	if l.err != nil && l.err != io.EOF {
		return 0, l.err
	}
	if n := ready(); n > 0 {
		return l.passed.Read(p[:min(len(p), n)])
	}
	return 0, l.err
}

func (l *partLook) Close() error { return l.src.Close() }
