// Package console is the web console: static files, embedded in the binary, that talk to the
// admin API like any other client.
//
// What a newcomer gets wrong: there is no build step and no framework. The browser loads the
// modules in static/js as they stand here. Captured data is a stranger's: it reaches the page
// as text nodes only, and the policy below forbids everything else (Trusted Types make an
// assignment of a string to innerHTML fail).
package console

import (
	"bytes"
	"compress/gzip"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"mime"
	"net/http"
	"path"
	"strings"
	"sync"
	"time"
)

//go:embed static
var static embed.FS

// Policy is the Content-Security-Policy of every file of the console. Images of captured
// bodies are blobs, which as images run no script.
const Policy = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; " +
	"base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'; trusted-types 'none'"

type file struct {
	body, packed []byte // as it is, and with gzip; packed is nil where that saves nothing
	kind         string
	tag          string // ETag, without its quotes
}

// Handler serves the console's files; / is its page. Everything else is 404. The files hold
// no data and no secrets: whoever serves them need not ask for a token.
func Handler() http.Handler {
	files := files()
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f, ok := files[r.URL.Path]
		h := w.Header()
		h.Set("Content-Security-Policy", Policy)
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("X-Frame-Options", "DENY") // for browsers that do not know frame-ancestors
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Opener-Policy", "same-origin")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("Permissions-Policy", "camera=(), geolocation=(), microphone=()")
		if !ok {
			http.Error(w, "no such page; the console is at /", http.StatusNotFound)
			return
		}
		h.Set("Content-Type", f.kind)
		h.Set("Cache-Control", "no-cache") // asked again each time, answered 304 until tapway changes
		h.Set("Vary", "Accept-Encoding")
		body, tag := f.body, f.tag
		if f.packed != nil && takesGzip(r) {
			h.Set("Content-Encoding", "gzip")
			body, tag = f.packed, f.tag+"-gz"
		}
		h.Set("ETag", `"`+tag+`"`)
		http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(body))
	})
}

// takesGzip reports whether a client says that it can unpack gzip. One that names it with a
// quality gets the plain file, which is always right.
func takesGzip(r *http.Request) bool {
	for one := range strings.SplitSeq(r.Header.Get("Accept-Encoding"), ",") {
		if strings.TrimSpace(one) == "gzip" {
			return true
		}
	}
	return false
}

// files are read and packed once, when the first console is made.
var files = sync.OnceValue(func() map[string]file {
	files := map[string]file{}
	err := fs.WalkDir(static, "static", func(name string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		body, err := static.ReadFile(name)
		sum := sha256.Sum256(body)
		url := name[len("static"):]
		if url == "/index.html" {
			url = "/"
		}
		files[url] = file{body, pack(body), kindOf(name), hex.EncodeToString(sum[:12])}
		return err
	})
	if err != nil {
		panic(err) // what is embedded can be read
	}
	return files
})

func pack(body []byte) []byte {
	var b bytes.Buffer
	z, _ := gzip.NewWriterLevel(&b, gzip.BestCompression) // the level is right, and a buffer takes all
	z.Write(body)
	z.Close()
	if b.Len() >= len(body) {
		return nil
	}
	return b.Bytes()
}

// kindOf is a file's type. A machine's own table of types must not decide it: a script with
// another type does not run.
func kindOf(name string) string {
	switch path.Ext(name) {
	case ".html":
		return "text/html; charset=utf-8"
	case ".css":
		return "text/css; charset=utf-8"
	case ".js":
		return "text/javascript; charset=utf-8"
	case ".svg":
		return "image/svg+xml"
	}
	return mime.TypeByExtension(path.Ext(name))
}
