package content

import (
	"bytes"
	"compress/flate"
	"compress/gzip"
	"compress/zlib"
	"errors"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/zstd"
)

var text = []byte(strings.Repeat(`{"name":"morpheus","job":"leader","id":573} `, 400))

var encoders = map[string]func(io.Writer) io.WriteCloser{
	"gzip":    func(w io.Writer) io.WriteCloser { return gzip.NewWriter(w) },
	"deflate": func(w io.Writer) io.WriteCloser { return zlib.NewWriter(w) },
	"raw":     func(w io.Writer) io.WriteCloser { z, _ := flate.NewWriter(w, 6); return z },
	"br":      func(w io.Writer) io.WriteCloser { return brotli.NewWriter(w) },
	"zstd":    func(w io.Writer) io.WriteCloser { z, _ := zstd.NewWriter(w); return z },
}

func encode(t testing.TB, coding string, b []byte) []byte {
	t.Helper()
	var buf bytes.Buffer
	w := encoders[coding](&buf)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return buf.Bytes()
}

func TestDecode(t *testing.T) {
	gz, br := encode(t, "gzip", text), encode(t, "br", text)
	for _, c := range []struct {
		name, coding string
		in, want     []byte
	}{
		{"none", "", text, text},
		{"identity", "Identity", text, text},
		{"only commas", " , ,", text, text},
		{"gzip", "gzip", gz, text},
		{"x-gzip", "X-GZip", gz, text},
		{"two gzip members", "gzip", slices.Concat(gz, gz), slices.Concat(text, text)},
		{"deflate as the RFC has it", "deflate", encode(t, "deflate", text), text},
		{"raw deflate", "deflate", encode(t, "raw", text), text},
		{"brotli", "br", br, text},
		{"zstd", "zstd", encode(t, "zstd", text), text},
		{"two zstd frames", "zstd", slices.Concat(encode(t, "zstd", text), encode(t, "zstd", text)), slices.Concat(text, text)},
		{"the last coding is undone first", "br, gzip", encode(t, "gzip", br), text},
		{"identity between", "br,identity , gzip", encode(t, "gzip", br), text},
		{"eight codings", strings.Repeat("gzip,", 8), nest(t, 8), text},
		{"no body at all", "gzip", nil, nil},
		{"an empty body that was compressed", "gzip", encode(t, "gzip", nil), []byte{}},
	} {
		t.Run(c.name, func(t *testing.T) {
			for range 2 { // twice: the second run meets a pooled decoder
				got, err := Decode(c.coding, c.in, 1<<20)
				if err != nil || !bytes.Equal(got, c.want) {
					t.Fatalf("Decode gives %d bytes, %v; want %d bytes", len(got), err, len(c.want))
				}
			}
		})
	}
}

func nest(t *testing.T, n int) []byte {
	b := text
	for range n {
		b = encode(t, "gzip", b)
	}
	return b
}

func TestDecodeRefuses(t *testing.T) {
	gz := encode(t, "gzip", text)
	zl := encode(t, "deflate", text)
	badSum := bytes.Clone(zl)
	badSum[len(badSum)-1] ^= 1
	for _, c := range []struct {
		name, coding string
		in           []byte
		want         error
	}{
		{"unknown", "compress", gz, ErrUnknownCoding},
		{"unknown below a known one", "aws-chunked, gzip", gz, ErrUnknownCoding},
		{"nine codings", strings.Repeat("gzip,", 9), nest(t, 9), ErrUnknownCoding},
		{"not gzip at all", "gzip", text, gzip.ErrHeader},
		{"gzip with something behind", "gzip", slices.Concat(gz, []byte("secret behind the end")), gzip.ErrHeader},
		{"zlib with something behind", "deflate", slices.Concat(zl, []byte("s")), ErrTrailing},
		{"raw deflate with something behind", "deflate", slices.Concat(encode(t, "raw", text), []byte("s")), ErrTrailing},
		{"zlib with a wrong checksum", "deflate", badSum, nil},
		{"brotli with something behind", "br", slices.Concat(encode(t, "br", text), []byte("s")), nil},
		{"brotli with much behind", "br", slices.Concat(encode(t, "br", text), text, text), nil},
		{"zstd with something behind", "zstd", slices.Concat(encode(t, "zstd", text), text), zstd.ErrMagicMismatch},
	} {
		t.Run(c.name, func(t *testing.T) {
			_, err := Decode(c.coding, c.in, 1<<20)
			if err == nil || c.want != nil && !errors.Is(err, c.want) {
				t.Fatalf("Decode gives error %v, want %v", err, c.want)
			}
		})
	}
}

func TestDecodeTooLarge(t *testing.T) {
	for coding := range encoders {
		name := coding
		if coding == "raw" {
			name = "deflate"
		}
		in := encode(t, coding, text)
		if got, err := Decode(name, in, int64(len(text))); err != nil || !bytes.Equal(got, text) {
			t.Errorf("%s: at the limit: %v", coding, err)
		}
		got, err := Decode(name, in, int64(len(text))-1)
		if !errors.Is(err, ErrTooLarge) || !bytes.Equal(got, text[:len(text)-1]) {
			t.Errorf("%s: one below: %d bytes, %v; want all but the last byte and ErrTooLarge", coding, len(got), err)
		}
		if got, err := Decode(name, in, 0); !errors.Is(err, ErrTooLarge) || len(got) != 0 {
			t.Errorf("%s: nothing allowed: %d bytes, %v", coding, len(got), err)
		}
	}
}

func TestDecodeBomb(t *testing.T) {
	bomb := encode(t, "gzip", make([]byte, 64<<20))
	got, err := Decode("gzip", bomb, 1<<20)
	if !errors.Is(err, ErrTooLarge) || cap(got) > 1<<20+1 {
		t.Fatalf("%d bytes in room for %d, %v; want no more than 1 MiB and ErrTooLarge", len(got), cap(got), err)
	}
	if got, err := Decode("gzip, gzip", encode(t, "gzip", bomb), 1<<20); !errors.Is(err, ErrTooLarge) || len(got) != 1<<20 {
		t.Fatalf("a bomb in a wrapper: %d bytes, %v", len(got), err)
	}
}

// Cut off anywhere, a body gives a prefix of itself and io.ErrUnexpectedEOF.
func TestDecodeTruncated(t *testing.T) {
	for coding := range encoders {
		name := coding
		if coding == "raw" {
			name = "deflate"
		}
		whole := encode(t, coding, text)
		for cut := 1; cut < len(whole); cut++ {
			got, err := Decode(name, whole[:cut], 1<<20)
			if !errors.Is(err, io.ErrUnexpectedEOF) {
				t.Fatalf("%s cut to %d of %d bytes: error %v", coding, cut, len(whole), err)
			}
			if !bytes.HasPrefix(text, got) {
				t.Fatalf("%s cut to %d bytes gives something else", coding, cut)
			}
		}
	}
	// Outer coding cut: the inner one still gives what there is.
	twice := encode(t, "gzip", encode(t, "gzip", bytes.Repeat(text, 4)))
	got, err := Decode("gzip, gzip", twice[:len(twice)-4], 1<<20)
	if !errors.Is(err, io.ErrUnexpectedEOF) || len(got) == 0 {
		t.Fatalf("two codings cut short: %d bytes, %v", len(got), err)
	}
}

func TestDecodeConcurrently(t *testing.T) {
	var wg sync.WaitGroup
	for coding := range encoders {
		if coding == "raw" {
			continue
		}
		in := encode(t, coding, text)
		for range 4 {
			wg.Go(func() {
				for range 50 {
					if got, err := Decode(coding, in, 1<<20); err != nil || !bytes.Equal(got, text) {
						t.Errorf("%s: %v", coding, err)
						return
					}
				}
			})
		}
	}
	wg.Wait()
}

func TestMediaTypes(t *testing.T) {
	const (
		j = 1 << iota
		lines
		sse
		form
		multi
		txt
		media
		xml
		html
		script
		plain
	)
	for in, want := range map[string]int{
		"application/json":                         j | txt,
		"Application/JSON; charset=utf-8":          j | txt,
		" application/json ;x=y":                   j | txt,
		"text/json":                                j | txt,
		"application/problem+json":                 j | txt,
		"application/vnd.api+JSON;v=1":             j | txt,
		"application/jsonp":                        0,
		"application/json5":                        0,
		"application/x-ndjson":                     lines | txt,
		"application/jsonl":                        lines | txt,
		"application/json-seq":                     lines | txt,
		"text/event-stream; charset=utf-8":         sse | txt,
		"application/x-www-form-urlencoded":        form | txt,
		"APPLICATION/X-WWW-FORM-URLENCODED; a=b":   form | txt,
		"application/x-www-form-urlencoded2":       0,
		"multipart/form-data; boundary=x":          multi,
		"multipart/mixed":                          multi,
		"text/plain":                               txt | plain,
		"Text/Plain; charset=utf-8":                txt | plain,
		"text/plain2":                              txt,
		"application/yaml":                         txt | plain,
		"text/x-yaml":                              txt | plain,
		"application/toml":                         txt | plain,
		"text/css":                                 txt,
		"text/html; charset=utf-8":                 txt | html,
		"application/xml":                          txt | xml,
		"text/xml; charset=utf-8":                  txt | xml,
		"application/xhtml+xml":                    txt | xml,
		"application/soap+xml":                     txt | xml,
		"image/svg+xml":                            txt | xml,
		"application/xml-dtd":                      0,
		"application/javascript":                   txt | script,
		"text/javascript; charset=utf-8":           txt | script,
		"image/png":                                media,
		"video/mp4":                                media,
		"application/octet-stream":                 0,
		"":                                         0,
		";":                                        0,
		"application/pdf; name=application/json":   0,
		"application/grpc":                         0,
		"application/x-www-form-urlencoded, a/b+c": 0,
	} {
		got := 0
		for bit, is := range map[int]func(string) bool{j: IsJSON, lines: IsJSONLines, sse: IsEventStream, form: IsForm, multi: IsMultipart, txt: IsText, media: IsMedia,
			xml: IsXML, html: IsHTML, script: IsScript, plain: IsPlainText} {
			if is(in) {
				got |= bit
			}
		}
		if got != want {
			t.Errorf("%q: kinds %011b, want %011b", in, got, want)
		}
	}
}

func TestMultipartBoundary(t *testing.T) {
	for _, c := range []struct {
		in, want string
		ok       bool
	}{
		{"multipart/form-data; boundary=abc", "abc", true},
		{`Multipart/Mixed; charset=x; Boundary="a b:c"`, "a b:c", true},
		{"multipart/form-data; boundary=" + strings.Repeat("b", 70), strings.Repeat("b", 70), true},
		{"multipart/form-data; boundary=" + strings.Repeat("b", 71), strings.Repeat("b", 71), false},
		{"multipart/form-data", "", false},
		{`multipart/form-data; boundary=""`, "", false},
		{"multipart/form-data; boundary=a; boundary=b", "", false},
		{"text/plain; boundary=abc", "", false},
	} {
		if got, ok := MultipartBoundary(c.in); got != c.want || ok != c.ok {
			t.Errorf("%q: %q, %v; want %q, %v", c.in, got, ok, c.want, c.ok)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for coding := range encoders {
		f.Add(coding, encode(f, coding, text[:200]))
	}
	f.Add("gzip, br", encode(f, "br", encode(f, "gzip", text[:200])))
	f.Add("identity", []byte("x"))
	f.Fuzz(func(t *testing.T, coding string, b []byte) {
		const max = 1 << 16
		before := bytes.Clone(b)
		got, err := Decode(coding, b, max)
		if !bytes.Equal(b, before) {
			t.Fatal("the input was written to")
		}
		if len(got) > max && len(got) != len(b) {
			t.Fatalf("%d bytes, more than allowed", len(got))
		}
		if errors.Is(err, ErrUnknownCoding) && got != nil {
			t.Fatal("an unknown coding gave bytes")
		}
		again, err2 := Decode(coding, b, max)
		if !bytes.Equal(got, again) || (err == nil) != (err2 == nil) {
			t.Fatalf("a second run differs: %v, %v", err, err2)
		}
	})
}

func TestNoCodings(t *testing.T) {
	for _, coding := range []string{"utf-8", "UTF-8", "none", "binary", "8bit", "identity, utf-8", "text"} {
		if got, err := Decode(coding, []byte("a"), 1); err != nil || string(got) != "a" {
			t.Errorf("%s: %q %v", coding, got, err)
		}
	}
	for _, coding := range []string{"utf-16", "base64", "compress", "aws-chunked"} {
		if _, err := Decode(coding, []byte("a"), 1); !errors.Is(err, ErrUnknownCoding) {
			t.Errorf("%s: %v", coding, err)
		}
	}
}

func TestKindsOfTypes(t *testing.T) {
	for _, c := range []struct {
		name     string
		is       func(string) bool
		yes, not []string
	}{
		{"GraphQL", IsGraphQL, []string{"application/graphql", "Application/GraphQL; charset=utf-8"}, []string{"application/graphql+json", "text/graphql-x", ""}},
		{"packed", IsPacked, []string{"application/msgpack", "application/x-msgpack", "application/vnd.msgpack", "application/cbor", "application/senml+cbor", "application/cbor-seq", "application/bson", "application/x-jackson-smile"}, []string{"application/json", "application/cbor2", "msgpack", ""}},
		{"anything", IsAnything, []string{"application/octet-stream", "binary/octet-stream", "*/*"}, []string{"application/octet", "text/plain", ""}},
	} {
		for _, text := range c.yes {
			if !c.is(text) {
				t.Errorf("%s is not %s", text, c.name)
			}
		}
		for _, text := range c.not {
			if c.is(text) {
				t.Errorf("%q is %s", text, c.name)
			}
		}
	}
}
