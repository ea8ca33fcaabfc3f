package admin

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strings"
	"time"
)

// inputTime is how long the body of a request may take to arrive.
const inputTime = time.Minute

// inTime ends a connection whose request body does not arrive within limit: without a token, too, a
// stranger would hold a connection for each body that never ends. Answers take as long as they like.
func inTime(limit time.Duration, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		control := http.NewResponseController(w)
		if r.Body == http.NoBody || control.SetReadDeadline(time.Now().Add(limit)) != nil { // there is no network
			next.ServeHTTP(w, r)
			return
		}
		control.EnableFullDuplex() // else net/http waits for the body before it sends a refusal
		body := &endingBody{ReadCloser: r.Body}
		r.Body = body
		next.ServeHTTP(w, r)
		if body.ended {
			return
		}
		// What is left of a body must not be taken for the next request.
		control.Flush()
		if _, err := io.CopyN(io.Discard, body, 256<<10); err != io.EOF {
			panic(http.ErrAbortHandler)
		}
	})
}

// endingBody remembers whether it was read to its end, where net/http takes the deadline away itself.
type endingBody struct {
	io.ReadCloser
	ended bool
}

func (b *endingBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	b.ended = b.ended || err == io.EOF
	return n, err
}

// readJSON reads the body of a POST, which must be one JSON object of at most limit bytes. A key that
// is there twice is a mistake, not a choice: of "only these" and "all" the last would win.
func readJSON(w http.ResponseWriter, r *http.Request, limit int64, v any) error {
	raw, err := io.ReadAll(http.MaxBytesReader(w, r.Body, limit))
	if err == nil {
		err = decodeOnce(raw, v)
	}
	if err != nil {
		return &badInput{"the body is not the JSON this wants: " + err.Error()}
	}
	return nil
}

func decodeOnce(raw []byte, v any) error {
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(v); err != nil {
		return err
	}
	if _, more := dec.Token(); more != io.EOF {
		return errors.New("something follows the object")
	}
	dec = json.NewDecoder(bytes.NewReader(raw))
	if open, err := dec.Token(); err != nil || open != json.Delim('{') {
		return errors.New("null where an object was expected")
	}
	seen := map[string]bool{}
	for dec.More() {
		token, err := dec.Token()
		if err != nil {
			return err
		}
		key := strings.ToLower(strings.ToUpper(fmt.Sprint(token))) // encoding/json folds as much
		if seen[key] {
			return fmt.Errorf("%q is there twice", key)
		}
		seen[key] = true
		if err := dec.Decode(new(json.RawMessage)); err != nil {
			return err
		}
	}
	return nil
}
