package redact

import (
	"bytes"
	"strings"
	"testing"
)

// What a stranger writes costs no more than its length: 64 KiB of the worst of each kind. Were any of it read
// in the square of its length, this test would take a minute.
func TestLinearCost(t *testing.T) {
	const size = 64 << 10
	r := newRedactor(t, Defaults())
	for _, c := range []struct{ contentType, before, repeat, after string }{
		{"application/x-www-form-urlencoded", "", "a=%41;", ""},
		{"application/x-www-form-urlencoded", "a=", "%25;b=%25", ""},
		{"application/x-www-form-urlencoded", "", "a=+;", ""},
		{"application/x-www-form-urlencoded", "", "a={;", ""},
		{"application/x-www-form-urlencoded", "", "a=//@;", ""},
		{"application/x-www-form-urlencoded", "a=", "%2525", ""},
		{"application/x-www-form-urlencoded", "a=", "%3Fa%3D%25", ""},
		{"application/json", `{"token":1,"u":"`, "?a=%25", `"}`},
		{"application/json", `{"token":1,"u":"`, "?a=@", `"}`},
		{"application/json", `{"token":1,"u":"`, "@", `"}`},
		{"application/json", `{"token":1,"u":"`, "://", `"}`},
		{"application/json", `{"token":1,"u":"`, "a=", `"}`},
		{"application/json", `{"token":1,"u":"`, `\\u0026a=`, `"}`},
		{"application/json", `{"token":1,"u":"?`, `\\`, `"}`},
		{"application/json", `{"token":1,"u":"`, `\"token:`, `"}`},
		{"application/json", `{"token":1,"u":"{`, `token:{`, `"}`},
		{"application/json", `{"token":1,"u":["`, `","[=`, `"]}`},
		{"application/json", `[`, `{"value":1,"name":"token"},`, `1]`},
		{"application/json", strings.Repeat(`{"value":1,"name":"token","x":`, 500), `{"value":1,"name":"token","x":`, `1`},
		{"application/graphql", ``, `token:[`, ``},
		{"application/graphql", ``, `token:"`, ``},
		{"text/plain", "", "token = ", ""},
		{"text/plain", "", "token ", "="},
		{"text/plain", "", "token='\n", ""},
		{"text/plain", "", " =\n", "token"},
		{"text/html", "", "?a=%3D", ""},
		{"text/html", "", "#a=/;?", ""},
		{"application/xml", "<a>", "<b>token:</b>", "</a>"},
		{"application/xml", "", "<token>", ""},
		{"text/event-stream", "", "data: token:\n", ""},
		{"text/event-stream", "data: {\"token\":", "\ndata: ", ""},
		{"multipart/form-data; boundary=b", "", "--b\r\nContent-Type: multipart/mixed; boundary=b\r\n\r\n", ""},
		{"multipart/form-data; boundary=b", "--b\r\n\r\n", "--bc", ""},
		{"multipart/form-data; boundary=b", "", "--b\r\nContent-Transfer-Encoding: base64\r\nContent-Type: text/plain\r\n\r\ntoken=\r\n", ""},
		{"application/msgpack", "", "token", ""},
	} {
		body := c.before + strings.Repeat(c.repeat, size/len(c.repeat)) + c.after
		for _, truncated := range []bool{false, true} {
			ex := exchange(c.contentType, "", body)
			ex.Request.Truncated = truncated
			r.Apply(ex)
			if ex.Request.Size != int64(len(body)) {
				t.Errorf("%s %q: its size is lost", c.contentType, c.repeat)
			}
		}
	}
	for _, repeat := range []string{"a=%25?", "a=%25;", "%2525", "?a=%3D", "a=@;", "a={;", "[a=", "a.", "//@", "a=//@?"} {
		query := strings.Repeat(repeat, 64<<10/len(repeat))
		if got := r.Query(query); len(got) == 0 {
			t.Errorf("%q: nothing is left", repeat)
		}
		if got := r.Header("Referer", "https://h/?a="+query); !bytes.HasPrefix([]byte(got), []byte("https://h/?a=")) {
			t.Errorf("%q: the header is lost", repeat)
		}
	}
}
