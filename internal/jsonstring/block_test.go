package jsonstring

import (
	"bytes"
	"fmt"
	"math/bits"
	"math/rand/v2"
	"strings"
	"testing"
)

func TestGathered(t *testing.T) {
	for want := range 256 {
		var m uint64
		for j := range word {
			m |= uint64(want) >> j & 1 << (8*j + 7)
		}
		if got := gathered(m); got != uint64(want) {
			t.Fatalf("gathered(%016x) = %08b, want %08b", m, got, want)
		}
	}
}

func TestBeginnings(t *testing.T) {
	slowly := func(backslashes uint64) (m uint64) {
		for i := 0; i < block; i++ {
			if backslashes>>i&1 != 0 {
				m |= 1 << i
				i++
			}
		}
		return m
	}
	try := func(m uint64) {
		if got, want := beginnings(m), slowly(m); got != want {
			t.Fatalf("beginnings(%064b)\n = %064b, want\n   %064b", m, got, want)
		}
	}
	for m := range uint64(1 << 12) {
		for shift := 0; shift < block; shift += 5 {
			try(bits.RotateLeft64(m, shift))
			try(bits.RotateLeft64(^m, shift))
		}
	}
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		m := random.Uint64()
		try(m)
		try(m & random.Uint64())
		try(m | random.Uint64())
	}
}

// TestAppendInBlocks: every byte at every place of a block, and of what is left behind it.
func TestAppendInBlocks(t *testing.T) {
	for _, length := range []int{window - 1, window + block} {
		for _, with := range []string{"a", `"`} {
			s := bytes.Repeat([]byte(with), length)
			for at := range s {
				for _, c := range []byte{0, '\t', '\n', '\r', 0x1f, ' ', '!', '"', '#', '[', '\\', ']', 0x7f, 0x80, 0xa2, 0xdc, 0xff} {
					s[at] = c
					check(t, s)
				}
				s[at] = with[0]
			}
		}
	}
	for room := range spread + 2*window {
		s := bytes.Repeat([]byte("\x01\"abcdefgh\\ijklmnopqrstuvwxyz0123456789\x00\n"), 5)
		if got := AppendBytes(make([]byte, 0, room), s); !bytes.Equal(got, slowly(s)) {
			t.Fatalf("with room for %d: %s", room, got)
		}
	}
}

// TestTakeInBlocks: everything that can stand in a string at every place of a block, behind as many escapes as Take needs before it
// goes through blocks.
func TestTakeInBlocks(t *testing.T) {
	for _, e := range []string{`\"`, `\\`, `\n`, `\u0041`, `\u007f`, `\u0080`, `\u20ac`, `\ud83d\ude00`, `\ud83d`, `\ude00\ud83d`, `\ud83d\n`, `\\\"`, `\\\\\`, "é", "\xff",
		`\`, `\x`, "\\\x00", "\\\xff", `\u`, `\u12"4`, `\u12g4`, `\ud83d\u`, "\x00", "\x1f", `"`, `\\"`} {
		for _, escapes := range []int{stride, stride + 1} {
			for before := range block + 2 {
				for _, after := range []int{0, stride - 1, 2 * window} {
					text := strings.Repeat(`\"`, escapes) + strings.Repeat("b", before) + e + strings.Repeat("d", after)
					checkRead(t, []byte(`"`+text), 1)
					checkRead(t, []byte(`"`+text+`"`), 1)
					checkRead(t, []byte(`xx "`+text+`","and":"more, with \"quotes\", é and \u00e9"}`+strings.Repeat(" ", window)), 4)
				}
			}
		}
	}
}

func TestRandomText(t *testing.T) {
	pieces := []string{`\"`, `\"`, `\"`, `\\`, `\\\"`, `\n`, `\/`, `\u0041`, `\u00e9`, `\ud83d\ude00`, `\ud83d`, "é", "€", "a", "bc", "d ", "efghi", strings.Repeat("j", 17), strings.Repeat("k", 90)}
	random := rand.New(rand.NewPCG(3, 4))
	for range 1500 {
		var b strings.Builder
		for range random.IntN(120) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		text := b.String()
		checkInside(t, []byte(text))
		checkRead(t, []byte(`"`+text+`"`), 1)
		checkRead(t, []byte(`"`+text+`"`+strings.Repeat(`\`, window)), 1)
		checkRead(t, []byte(`"`+text+strings.Repeat("x", random.IntN(window))), 1)
		check(t, []byte(text))
	}
}

// shortFields is JSON as lists of small objects are, with something to escape every six bytes.
func shortFields() []byte {
	var b bytes.Buffer
	for i := 0; b.Len() < 100<<10; i++ {
		fmt.Fprintf(&b, `{"id":%d,"name":"user %d","mail":"u%d@example.com"},`, i, i, i)
	}
	return b.Bytes()
}

// ordinaryRecords is JSON with sentences in it, and something to escape every twelve bytes.
func ordinaryRecords() []byte {
	people := []string{"Ada Lovelace", "Zoë Müller", "Jean-François Champollion", "Grace Hopper"}
	texts := []string{
		`The parcel was left with a neighbour, who was asked to keep it until Friday. Please ring twice before leaving it there again.`,
		`Customer asked for the invoice to be sent again.\nThe first one had the old address on it, and the \"VAT number\" was missing.`,
		`Works as described. The manual could be shorter, but everything fitted on the first try and has been running for three weeks now.`,
	}
	var b bytes.Buffer
	for i := 0; b.Len() < 100<<10; i++ {
		fmt.Fprintf(&b, `{"id":"01938f00-7c4b-7000-8000-%012d","type":"ticket","created_at":"2026-11-%02dT10:%02d:00Z","customer":{"id":%d,"name":"%s","email":"customer%d@example.com"},`+
			`"priority":%d,"open":%t,"text":"%s","url":"https://api.example.com/v2/tickets/01938f00-7c4b-7000-8000-%012d"},`,
			i, i%30+1, i%60, 48000+i, people[i%len(people)], i, i%5, i%2 == 0, texts[i%len(texts)], i)
	}
	return b.Bytes()
}

// plainText has nothing to escape.
func plainText() []byte {
	return bytes.Repeat([]byte("Nobody has called since then; please ring twice. Wo größere Vögel nisten, fährt niemand. "), 1200)
}

func BenchmarkBodies(b *testing.B) {
	for _, body := range []struct {
		name string
		text []byte
	}{{"short fields", shortFields()}, {"ordinary records", ordinaryRecords()}, {"plain text", plainText()}, {"60 bytes", shortFields()[:60]}, {"500 bytes", shortFields()[:500]}} {
		out, in := make([]byte, 0, 2*len(body.text)+spread), slowly(body.text)
		room := make([]byte, len(in))
		b.Run("AppendInside/"+body.name, func(b *testing.B) {
			b.SetBytes(int64(len(body.text)))
			for b.Loop() {
				AppendInside(out, body.text)
			}
		})
		b.Run("Take/"+body.name, func(b *testing.B) {
			b.SetBytes(int64(len(body.text)))
			for b.Loop() {
				copy(room, in)
				Take(room, 1)
			}
		})
		b.Run("Scan/"+body.name, func(b *testing.B) {
			b.SetBytes(int64(len(body.text)))
			for b.Loop() {
				Scan(in, 1)
			}
		})
	}
}
