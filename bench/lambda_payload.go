package main

import (
	"bytes"
	"fmt"

	"github.com/tapway/tapway/internal/jsonstring"
)

// payloads are the sizes of the bodies of [jsonBody], requests and responses alike.
var payloads = []int{1 << 10, 100 << 10}

// ordinary is the size that stands for the body of [recordsBody]. It is the large payload's but for a byte, because the
// backend tells its answers apart by their size.
const ordinary = 100<<10 + 1

// bodyOf is the body that a size stands for.
func bodyOf(size int) []byte {
	if size == ordinary {
		return recordsBody(size)
	}
	return jsonBody(size)
}

// describe tells of a payload what counts for a function: its size, and how many of its bytes are escaped where JSON stands in a
// JSON string.
func describe(size int) string {
	body := bodyOf(size)
	name := "short fields"
	if size == ordinary {
		name = "ordinary records"
	}
	return fmt.Sprintf("%d KiB (%s: an escape every %.0f bytes)", size>>10, name, float64(len(body))/float64(jsonstring.EscapedLen(body)-len(body)))
}

// recordsBody is n bytes of JSON as APIs for orders, tickets or articles return it: ids, numbers, times, addresses, and a
// text of some sentences, with line ends, quotation marks and names that are not all ASCII.
func recordsBody(n int) []byte {
	people := []string{"Ada Lovelace", "Zoë Müller", "Jean-François Champollion", "Grace Hopper", "Søren Kierkegaard"}
	texts := []string{
		"The parcel was left with a neighbour, who was asked to keep it until Friday. Nobody has called since then; please ring twice before leaving it there again.",
		"Customer asked for the invoice to be sent again.\nThe first one had the old address on it, and the \"VAT number\" was missing from the second page.",
		"Works as described. The manual could be shorter, and the drawing on page four shows the cable on the wrong side, but everything fitted on the first try and has been running for three weeks now.",
	}
	var b bytes.Buffer
	b.WriteString(`{"data":[`)
	for i := 0; b.Len() < n-900; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":"01938f00-7c4b-7000-8000-%012d","type":"ticket","created_at":"2026-11-%02dT10:%02d:00Z","customer":{"id":%d,"name":"%s","email":"customer%d@example.com"},`+
			`"priority":%d,"open":%t,"total":%d.%02d,"text":%s,"url":"https://api.example.com/v2/tickets/01938f00-7c4b-7000-8000-%012d"}`,
			i, i%30+1, i%60, 48000+i, people[i%len(people)], i, i%5, i%2 == 0, i*7%900, i%100, jsonstring.Append(nil, texts[i%len(texts)]), i)
	}
	b.WriteString(`],"next":"`)
	for b.Len() < n-2 {
		b.WriteByte('x')
	}
	b.WriteString(`"}`)
	return b.Bytes()
}
