package http1

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httputil"
	"reflect"
	"strings"
	"testing"
)

func TestReadLine(t *testing.T) {
	long := strings.Repeat("a", 5000) // longer than the reader's buffer
	tests := []struct {
		in      string
		budget  int
		strict  string
		lenient string
	}{
		{"a\r\n", 10, "a", "a"},
		{"a\r\n", 3, "a", "a"},
		{"a\r\n", 2, "too large", "too large"},
		{"\r\n", 10, "", ""},
		{"a\n", 10, "refused", "a"},
		{"a\rb\r\n", 10, "refused", "refused"},
		{"a\r\r\n", 10, "refused", "refused"},
		{"a\x00\r\n", 10, "refused", "refused"},
		{"a", 10, "unexpected EOF", "unexpected EOF"},
		{"", 10, "EOF", "EOF"},
		{long + "\r\n", 5002, long, long},
		{long + "\r\n", 5001, "too large", "too large"},
	}
	for _, test := range tests {
		for _, strict := range []bool{true, false} {
			budget := test.budget
			line, err := readLine(newReader([]byte(test.in)), &budget, strict)
			got, want := string(line), test.lenient
			if strict {
				want = test.strict
			}
			switch _, bad := err.(*ProtocolError); {
			case bad:
				got = "refused"
			case err == errTooLarge:
				got = "too large"
			case err != nil:
				got = err.Error()
			case budget != test.budget-len(test.in):
				t.Errorf("%.20q: %d of the budget are left", test.in, budget)
			}
			if got != want {
				t.Errorf("%.20q, strict %t: %.20q, want %.20q", test.in, strict, got, want)
			}
		}
	}
}

func TestReadHeader(t *testing.T) {
	tests := []struct {
		in              string
		strict, lenient http.Header // nil: refused
	}{
		{"\r\n", http.Header{}, http.Header{}},
		{"a: b\r\nA:\tc \r\nx-y:\r\n\r\n", http.Header{"A": {"b", "c"}, "X-Y": {""}}, http.Header{"A": {"b", "c"}, "X-Y": {""}}},
		{"A: b\n\n", nil, http.Header{"A": {"b"}}},
		{"A: b\r\n c\r\n\td\r\n\r\n", nil, http.Header{"A": {"b c d"}}},
		{" A: b\r\n\r\n", nil, nil},
		{"A : b\r\n\r\n", nil, http.Header{"A": {"b"}}},
		{": b\r\n\r\n", nil, nil},
		{"A\r\n\r\n", nil, nil},
		{"A: \x01\r\n\r\n", nil, nil},
		{"A: \xff\r\n\r\n", http.Header{"A": {"\xff"}}, http.Header{"A": {"\xff"}}},
	}
	for _, test := range tests {
		for _, strict := range []bool{true, false} {
			want := test.lenient
			if strict {
				want = test.strict
			}
			budget, h := 1000, http.Header{}
			err := readHeader(newReader([]byte(test.in)), h, &budget, strict)
			if (err != nil) != (want == nil) || want != nil && !reflect.DeepEqual(h, want) {
				t.Errorf("%q, strict %t: %q, %v", test.in, strict, h, err)
			}
		}
	}
}

func TestParseNumbers(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "5": 5, "007": 7, "999999999999999999": 999999999999999999, "1000000000000000000": -1,
		"": -1, "+5": -1, "-5": -1, "5 ": -1, "5,5": -1, "0x5": -1, "٥": -1,
	} {
		if n, err := parseLength(in); err != nil && want >= 0 || err == nil && n != want {
			t.Errorf("length %q: %d, %v", in, n, err)
		}
	}
	for in, want := range map[string]int64{
		"0": 0, "5": 5, "1f": 31, "1F": 31, "fffffffffffffff": 1<<60 - 1, "1000000000000000": -1,
		"5;a": 5, "5 ;a": 5, "": -1, ";a": -1, "-5": -1, "+5": -1, "0x5": -1, "g": -1, "5g": -1, "5 5": -1,
	} {
		if n, err := parseChunkSize([]byte(in)); err != nil && want >= 0 || err == nil && n != want {
			t.Errorf("chunk size %q: %d, %v", in, n, err)
		}
	}
}

func TestWriteChunksAndTrailers(t *testing.T) {
	var out bytes.Buffer
	bw := bufio.NewWriter(&out)
	for _, s := range []string{"hello", "", strings.Repeat("x", 20)} {
		if err := writeChunk(bw, []byte(s)); err != nil {
			t.Fatal(err)
		}
	}
	if err := writeLastChunk(bw, http.Header{"A": {"b\r\nC: d"}, "E F": {"g"}}); err != nil {
		t.Fatal(err)
	}
	bw.Flush()
	if want := "5\r\nhello\r\n14\r\n" + strings.Repeat("x", 20) + "\r\n0\r\nA: b  C: d\r\n\r\n"; out.String() != want {
		t.Errorf("%q", out.String())
	}
}

func TestWriteHeaderSkips(t *testing.T) {
	var out bytes.Buffer
	bw := bufio.NewWriter(&out)
	h := http.Header{"A": {"1", "2"}, "Skip": {"3"}, "": {"4"}}
	if err := writeHeader(bw, h, func(name string) bool { return name == "Skip" }); err != nil {
		t.Fatal(err)
	}
	bw.Flush()
	if out.String() != "A: 1\r\nA: 2\r\n" {
		t.Errorf("%q", out.String())
	}
}

// FuzzChunkedReader: what the strict reader takes, the standard library's reads as the same.
func FuzzChunkedReader(f *testing.F) {
	for _, s := range []string{
		"0\r\n\r\n", "5\r\nhello\r\n0\r\n\r\n", "5;a=b\r\nhello\r\n1 ;c\r\n!\r\n0\r\nA: b\r\n\r\nrest",
		"5\nhello\n0\n\n", "4\r\nhello\r\n0\r\n\r\n", "-1\r\n\r\n", "fffffffffffffff\r\nx", "05\r\nhello\r\n00\r\n\r\n",
	} {
		f.Add([]byte(s), uint8(3))
	}
	f.Fuzz(func(t *testing.T, raw []byte, step uint8) {
		br := newReader(raw)
		trailer := http.Header{}
		ended := 0
		c := &chunkedReader{br: br, strict: true, trailer: trailer, onEnd: func() { ended++ }}
		var got []byte
		var err error
		for buf := make([]byte, int(step)+1); err == nil; {
			var n int
			n, err = c.Read(buf)
			got = append(got, buf[:n]...)
		}
		if _, again := c.Read(make([]byte, 1)); again != err {
			t.Fatalf("%v became %v", err, again)
		}
		if err != io.EOF {
			if ended > 0 {
				t.Fatalf("it ended, and failed: %v", err)
			}
			return
		}
		if ended != 1 {
			t.Fatalf("onEnd was called %d times", ended)
		}
		theirs := newReader(raw)
		want, err := io.ReadAll(httputil.NewChunkedReader(theirs))
		if err != nil || !bytes.Equal(got, want) {
			t.Fatalf("got %q, the standard library %q, %v", got, want, err)
		}
		// The standard library leaves the trailers; what is behind them must agree as well.
		budget := len(raw)
		if err := readHeader(theirs, http.Header{}, &budget, true); err != nil {
			t.Fatal(err)
		}
		a, _ := io.ReadAll(br)
		b, _ := io.ReadAll(theirs)
		if !bytes.Equal(a, b) {
			t.Fatalf("rest %q, the standard library %q", a, b)
		}
	})
}

// FuzzReadHeader: strict accepts a part of what lenient accepts, and means the same by it.
func FuzzReadHeader(f *testing.F) {
	for _, s := range []string{"A: b\r\nc: d\r\n\r\n", "A: b\n c\n\n", "A : b\r\n\r\n", "\r\n", "a:b\r\nA:\t c \r\n\r\nrest"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		strict, lenient := http.Header{}, http.Header{}
		b1, b2 := 1<<10, 1<<10
		if readHeader(newReader(raw), strict, &b1, true) != nil {
			return
		}
		if err := readHeader(newReader(raw), lenient, &b2, false); err != nil || !reflect.DeepEqual(strict, lenient) || b1 != b2 {
			t.Fatalf("strict %q, lenient %q, %v", strict, lenient, err)
		}
		// Written and read again it is the same.
		var out bytes.Buffer
		bw := bufio.NewWriter(&out)
		writeHeader(bw, strict, nil)
		fmt.Fprint(bw, "\r\n")
		bw.Flush()
		again, b3 := http.Header{}, 1<<20
		if err := readHeader(newReader(out.Bytes()), again, &b3, true); err != nil || !reflect.DeepEqual(strict, again) {
			t.Fatalf("%q became %q, %v", strict, again, err)
		}
	})
}
