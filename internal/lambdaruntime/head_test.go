package lambdaruntime

import (
	"bufio"
	"strings"
	"testing"
)

// A head is read in a hurry only if it is whole and says nothing out of the ordinary; of any other nothing is taken.
func TestHead(t *testing.T) {
	const first = "HTTP/1.1 200 OK\r\n"
	for text, want := range map[string]bool{
		first + "Content-Length: 3\r\n\r\nabc":                                     true,
		"HTTP/1.1 202\r\ncontent-length:3\r\n\r\nabc":                              true,
		first + "A: b\r\nContent-Length: 3 \r\nA: c\r\n\r\nabc":                    true,
		first + "Connection: keep-alive\r\nContent-Length: 0\r\n\r\n":              true,
		first + "Transfer-Encoding: Chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n":          true,
		first + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n": false,
		first + "Transfer-Encoding: gzip, chunked\r\n\r\n":                         false,
		first + "Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n":          false,
		first + "Connection: CLOSE\r\nContent-Length: 0\r\n\r\n":                   true,

		"":                              false,
		first:                           false,
		first + "Content-Length: 3\r\n": false,
		first + "\r\n":                  false, // no length
		"HTTP/1.0 200 OK\r\nContent-Length: 0\r\n\r\n":                                false,
		"HTTP/1.1 20 OK\r\nContent-Length: 0\r\n\r\n":                                 false,
		"HTTP/1.1 2000 OK\r\nContent-Length: 0\r\n\r\n":                               false,
		"HTTP/1.1 199 X\r\nContent-Length: 0\r\n\r\n":                                 false,
		"HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n":                        false,
		"HTTP/1.1 304 Not Modified\r\nContent-Length: 3\r\n\r\n":                      false,
		first + "Content-Length: 3\r\nContent-Length: 3\r\n\r\n":                      false,
		first + "Content-Length: +3\r\n\r\n":                                          false,
		first + "Content-Length: \r\n\r\n":                                            false,
		first + "Content-Length: 1234567890123456\r\n\r\n":                            false,
		first + "Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n":             false,
		first + "Content-Length: 3\r\nConnection: upgrade\r\n\r\n":                    false,
		first + "Content-Length: 3\r\nTrailer: X\r\n\r\n":                             false,
		first + "Content-Length: 3\r\n folded\r\n\r\n":                                false,
		first + "Content-Length: 3\r\nA : b\r\n\r\n":                                  false,
		first + "Content-Length: 3\r\n: b\r\n\r\n":                                    false,
		first + "Content-Length: 3\r\nA: b\x00\r\n\r\n":                               false,
		first + "Content-Length: 3\r\nA: b\rc\r\n\r\n":                                false,
		first + "A: b\n\nContent-Length: 3\r\n\r\n":                                   false,
		first + strings.Repeat("A: b\r\n", maxFields-1) + "Content-Length: 0\r\n\r\n": true,
		first + strings.Repeat("A: b\r\n", maxFields) + "Content-Length: 0\r\n\r\n":   false,
	} {
		br := bufio.NewReader(strings.NewReader(text))
		br.Peek(1)
		before := br.Buffered()
		var h head
		if got := h.parse(br); got != want {
			t.Errorf("%q: %v", text, got)
		}
		if _, body, _ := strings.Cut(text, "\r\n\r\n"); want && br.Buffered() != len(body) || !want && br.Buffered() != before {
			t.Errorf("%q: %d bytes are left of %d", text, br.Buffered(), before)
		}
	}
}

func TestHeadGet(t *testing.T) {
	br := bufio.NewReader(strings.NewReader("HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"))
	br.Peek(1)
	var h head
	if !h.parse(br) || h.Get("x-A") != "1" || h.Get("X-B") != "" || !h.close || h.status != 200 || h.length != 0 {
		t.Errorf("%+v", h)
	}
}

func TestSame(t *testing.T) {
	for _, tt := range []struct {
		a, b string
		want bool
	}{{"a", "A", true}, {"Z-z", "z-Z", true}, {"", "", true}, {"a", "b", false}, {"a", "aa", false}, {"@", "`", false}, {"[", "{", false}, {"-", "\r", false}} {
		if got := same([]byte(tt.a), tt.b); got != tt.want {
			t.Errorf("%q %q: %v", tt.a, tt.b, got)
		}
	}
}
