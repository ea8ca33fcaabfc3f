package redact

import (
	"fmt"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// document makes a JSON list of users of about n bytes; name is one member's name in each.
func document(n int, name string) []byte {
	var b strings.Builder
	b.WriteString(`{"page":1,"data":[`)
	for i := 0; b.Len() < n; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"id":%d,"email":"user.%d@example.com","first_name":"Janet","last_name":"Weaver","avatar":"https://example.com/img/faces/%d-image.jpg","created_at":"2026-11-20T10:00:00.123Z","address":{"street":"Kulas Light","city":"Gwenborough"},"%s":"cityslicka","score":%d.5}`, i, i, i, name, i)
	}
	b.WriteString(`]}`)
	return []byte(b.String())
}

func BenchmarkJSON(b *testing.B) {
	r, err := New(Defaults())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, member string }{{"absent", "prompt_tokens"}, {"present", "password"}} {
		for _, size := range []int{1 << 10, 10 << 10, 100 << 10} {
			b.Run(fmt.Sprintf("%s/%dKiB", c.name, size>>10), func(b *testing.B) {
				doc := document(size, c.member)
				h := tapway.Header{{Name: "Content-Type", Value: "application/json"}}
				b.SetBytes(int64(len(doc)))
				b.ReportAllocs()
				for b.Loop() {
					body := tapway.Body{Bytes: doc, Size: int64(len(doc)), Summed: true}
					r.body(&body, h)
				}
				b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N)/(float64(len(doc))/1024), "ns/KiB")
			})
		}
	}
}

func BenchmarkApply(b *testing.B) {
	r, err := New(Defaults())
	if err != nil {
		b.Fatal(err)
	}
	doc := document(1<<10, "prompt_tokens")
	request := tapway.Header{
		{Name: "Accept", Value: "*/*"}, {Name: "Accept-Encoding", Value: "gzip, deflate, br"}, {Name: "Content-Length", Value: "1024"},
		{Name: "Content-Type", Value: "application/json"}, {Name: "User-Agent", Value: "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36"},
		{Name: "X-Request-Id", Value: "5c1b9f0e-7a52-4a0f-9d6d-0f6f8a1c1e2d"}, {Name: "Referer", Value: "https://example.com/a/b?page=2"},
		{Name: "X-Forwarded-For", Value: "203.0.113.7"},
	}
	response := tapway.Header{
		{Name: "Content-Type", Value: "application/json; charset=utf-8"}, {Name: "Date", Value: "Fri, 20 Nov 2026 10:00:00 GMT"},
		{Name: "Content-Length", Value: "1024"}, {Name: "Cache-Control", Value: "max-age=0, private"}, {Name: "Server", Value: "nginx"},
	}
	b.ReportAllocs()
	for b.Loop() {
		ex := tapway.Exchange{Meta: tapway.Meta{Path: "/api/v1/users", Query: "page=2&per_page=10"}, RequestHeader: request, ResponseHeader: response}
		ex.Request.Bytes, ex.Response.Bytes = doc, doc
		r.Apply(&ex)
	}
}
