package redact

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// ordinary is what passes every day and holds no credential: none of it may change. Names and words of the rules stand
// in it where they are nothing but names and words.
var ordinary = []struct{ contentType, body string }{
	{"application/json", `{"id":1,"name":"Janet","email":"janet@example.com"}`},
	{"application/json", `{"error":{"code":400,"message":"Invalid password: must have 8 characters"}}`},
	{"application/json", `{"error":"invalid_token","error_description":"The access token expired"}`},
	{"application/json", `{"usage":{"prompt_tokens":12,"completion_tokens":30,"total_tokens":42},"model":"m"}`},
	{"application/json", `{"next_page_token":"abc","nextPageToken":"def","nextToken":"ghi","page_token":"jkl"}`},
	{"application/json", `{"token_type":"Bearer","expires_in":3600,"scope":"read"}`},
	{"application/json", `{"password_reset_url":"https://example.com/reset","has_password":true,"passwordless":false}`},
	{"application/json", `{"tokens":["a","b"],"max_tokens":100,"secrets_manager":"on","api_keys_count":3}`},
	{"application/json", `{"key":"user-1","keys":[{"kty":"RSA","kid":"a","n":"0vx7","e":"AQAB"}],"public_key":"pk_1"}`},
	{"application/json", `{"href":"https://example.com/a?page=2&per_page=10#top","self":"/a?x=1"}`},
	{"application/json", `{"ssh_url":"git@github.com:a/b.git","git_url":"git://github.com/a/b.git","clone":"ssh://git@github.com/a/b"}`},
	{"application/json", `{"to":"a@b.c","url":"https://medium.com/@user/a?b=c@d","m":"mailto:a@b.c?subject=hello"}`},
	{"application/json", `{"text":"What is a token? It is a key=value thing","q":"a=b&c=d"}`},
	{"application/json", `{"query":"query($id:ID!){user(id:$id){name tokens{id}}}","variables":{"id":5}}`},
	{"application/json", `{"query":"mutation($password:String!){login(password:$password){user{id}}}","variables":{}}`},
	{"application/json", `{"sql":"select * from users where password = ?","n":1}`},
	{"application/json", `{"html":"<input type=\"password\" name=\"p\">"}`},
	{"application/json", `{"a":"[INFO] token accepted","b":"{not json}"}`},
	{"application/json", `[1,2.50,1e400,-0,12345678901234567890,"\ud800",null,true]`},
	{"application/json", `{"in":[{"name":"token","in":"query","required":true}],"m":[{"path":"/oauth/token","value":12.5}],"i":{"name":"n","value":"token"}}`},
	{"application/json", `null`}, {"application/json", `"token"`}, {"application/json", `  `}, {"application/json", `{"a":`},
	{"application/json; charset=binary", `{"a":1}`}, {"application/json; charset=none", `{"a":1}`},
	{"application/vnd.api+json", `{"links":{"next":"https://h/a?page%5Bnumber%5D=2&page%5Bsize%5D=1"}}`},
	{"application/problem+json", `{"type":"https://example.com/probs/token","title":"No token","status":401}`},
	{"application/x-ndjson", "{\"a\":1}\n{\"token_count\":2}\n"},
	{"text/event-stream", "event: message\ndata: {\"delta\":{\"content\":\" token\"}}\n\ndata: [DONE]\n\n"},
	{"text/event-stream", ": ping\n\nevent: token\nid: 3\nretry: 10\ndata: your token is fine\n\n"},
	{"application/x-www-form-urlencoded", "name=Janet+Weaver&email=a%40b.c&text=100%25&back=https%3A%2F%2Fh%2F%3Fa%3Db"},
	{"application/x-www-form-urlencoded", "grant_type=authorization_code&code=abc&redirect_uri=https%3A%2F%2Fapp.example.com%2Fcb"},
	{"application/x-www-form-urlencoded", "To=%2B15551234567&From=%2B15557654321&Body=your+code:+1;+two=2&AccountSid=AC1"},
	{"application/x-www-form-urlencoded", `payload=%7B%22type%22%3A%22block_actions%22%2C%22user%22%3A%7B%22id%22%3A%22U1%22%7D%7D`},
	{"application/x-www-form-urlencoded", "data=eyJhIjoxfQ%3D%3D&b=a%3Db%26c%3Dd"},
	{"application/x-www-form-urlencoded", "Action=SendMessage&Version=2012-11-05&MessageBody=hello"},
	{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.png\"\r\nContent-Type: image/png\r\n\r\n\x89PNG\r\n\x1a\n?key=\x00\r\n--b--\r\n"},
	{"multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"file\"; filename=\"a.gz\"\r\nContent-Type: application/gzip\r\n\r\n\x1f\x8b\x08\x00\x01\r\n--b\r\nContent-Disposition: form-data; name=note\r\n\r\nforgot my password?\r\n--b--\r\n"},
	{"multipart/mixed; boundary=b", "--b\r\nContent-Type: application/http\r\nContent-ID: <1>\r\n\r\nGET /v1/animals/pony HTTP/1.1\r\n\r\n\r\n--b--\r\n"},
	{"multipart/alternative; boundary=b", "--b\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: quoted-printable\r\n\r\nHello =E2=82=AC\r\n--b\r\nContent-Type: text/html\r\nContent-Transfer-Encoding: base64\r\n\r\nPHA+aGk8L3A+\r\n--b--\r\n"},
	{"multipart/mixed; boundary=b", "--b\r\nContent-Type: multipart/related; boundary=c\r\n\r\n--c\r\nContent-Type: application/json\r\n\r\n{\"a\":1}\r\n--c--\r\n--b--\r\n"},
	{"multipart/byteranges; boundary=b", "--b\r\nContent-Type: text/html\r\nContent-Range: bytes 0-3/9\r\n\r\n<htm\r\n--b--\r\n"},
	{"text/xml; charset=utf-8", `<?xml version="1.0"?><rss><channel><item><title>Forgot your password, again?</title><link>https://h/?a=1&amp;b=2</link></item></channel></rss>`},
	{"application/soap+xml", `<s:Envelope xmlns:s="x"><s:Body><m:GetPrice><m:Item>Apples</m:Item></m:GetPrice></s:Body></s:Envelope>`},
	{"application/xml", `<ListBucketResult><Name>b</Name><NextContinuationToken>1ue</NextContinuationToken><IsTruncated>true</IsTruncated></ListBucketResult>`},
	{"image/svg+xml", `<svg xmlns="http://www.w3.org/2000/svg"><path d="M0 0"/></svg>`},
	{"text/html", `<!DOCTYPE html><form><input name="password" type="password"><a href="/login?next=/a">Token</a></form>`},
	{"text/html; charset=windows-1252", "<p>caf\xe9 password: x</p>"},
	{"text/css", `.token{color:#fff;background:url(/a.png?v=1)}`},
	{"application/javascript", `var token = "x"; fetch("/a?token=" + token)`},
	{"application/javascript", `cb({"a":1});`},
	{"text/plain", "ok"}, {"text/plain", "password changed\n"}, {"text/plain", "a b c = d\nhttps://h/a?b=c\n"},
	{"text/plain", "# HELP tokens_total Tokens.\ntokens_total{kind=\"a\"} 5\n"},
	{"text/csv", "id,password_hash_algorithm,token\n1,bcrypt,\n"},
	{"text/markdown", "# API\n\nUse your [token](https://h/docs#token) as `Authorization`.\n"},
	{"application/yaml", "openapi: 3.1.0\ninfo:\n  title: Tokens\n  version: 1\n"},
	{"application/pdf", "%PDF-1.7\npassword=1"}, {"image/png", "\x89PNG"}, {"video/mp4", "\x00\x00\x00\x18ftyp"},
	{"application/zip", "PK\x03\x04password=x"}, {"application/octet-stream", "\x00\x01password\x02"}, {"application/octet-stream", "a=1\nb=2\n"},
	{"application/grpc-web+proto", "\x00\x00\x00\x00\x05\x0a\x03abc"}, {"application/x-protobuf", "\x0a\x08password"},
	{"application/msgpack", "\x82\xa4name\xa6tokens\xa9passwords\x01"}, {"application/cbor", "\xa1\x64name\x65Janet"},
	{"application/wasm", "\x00asm\x01\x00\x00\x00"}, {"application/sdp", "v=0\r\no=- 1 1 IN IP4 0.0.0.0\r\n"},
	{"application/graphql", `query { user(id: 5) { token: name, secret(first: 1) { id } } }`},
	{"", "hello"}, {"", `{"a":1}`}, {"", "a=b"}, {"", "\x16\x03\x01"},
	{"text/json", `{"a":1}`}, {"application/json, text/html", `{"a":1}`}, {"json", `{"a":1}`}, {"application/json;", `{"a":1}`},
	{"application/ld+json", `{"@context":"https://schema.org","@type":"Person","sameAs":"https://x.com/@a"}`},
	{"application/geo+json", `{"type":"Point","coordinates":[125.6,10.1]}`},
	{"application/hal+json", `{"_links":{"find":{"href":"/a{?token,key}","templated":true}}}`},
	{"application/json-patch+json", `[{"op":"replace","path":"/name","value":"x"}]`},
	{"application/csp-report", `{"csp-report":{"document-uri":"https://h/a","blocked-uri":"inline"}}`},
	{"application/x-amz-json-1.1", `{"TableName":"a","Key":{"id":{"S":"1"}},"NextToken":"x"}`},
	{"application/manifest+json", `{"name":"a","start_url":"/?utm_source=pwa&key_name=b"}`},
	{"text/vcard", "BEGIN:VCARD\r\nFN:A\r\nEMAIL:a@b.c\r\nKEY:x\r\nEND:VCARD\r\n"},
	{"text/calendar", "BEGIN:VCALENDAR\r\nUID:1@h\r\nEND:VCALENDAR\r\n"},
	{"message/rfc822", "From: a@b.c\r\nSubject: hi\r\n\r\nhello\r\n"},
	{"application/vnd.google.protobuf", "\x0a\x03key"}, {"application/x-tar", "password\x00"},
	{"text/plain; charset=us-ascii", "USER a\r\n"}, {"text/plain; charset=utf8", "é"}, {"application/json; charset=UTF8", `{"é":1}`},
}

func TestOrdinaryTraffic(t *testing.T) {
	if len(ordinary) < 90 {
		t.Fatalf("only %d", len(ordinary))
	}
	r := newRedactor(t, Defaults())
	for _, c := range ordinary {
		for _, coding := range []string{"", "gzip"} {
			for _, truncated := range []bool{false, true} {
				passed := compress(t, coding, []byte(c.body))
				if truncated && coding != "" {
					passed = passed[:len(passed)-3] // the client has gone
				}
				ex := exchange(c.contentType, coding, string(passed))
				ex.Request.Truncated = truncated
				r.Apply(ex)
				if b := ex.Request; b.Withheld || !bytes.Equal(b.Bytes, passed) {
					t.Errorf("%s %q %s truncated %v: withheld %v, %q", c.contentType, c.body, coding, truncated, b.Withheld, b.Bytes)
				}
			}
		}
	}
}

// Codings that senders name by mistake are none: a body that says so is as good as one without.
func TestCodingsByMistake(t *testing.T) {
	r := newRedactor(t, Defaults())
	for _, coding := range []string{"utf-8", "UTF-8", "none", "binary", "8bit", "identity", "text", "gzip,utf-8"} {
		body := []byte(`{"a":1,"password":"x"}`)
		if strings.HasPrefix(coding, "gzip") {
			body = compress(t, "gzip", body)
		}
		ex := exchange("application/json", coding, string(body))
		if r.Apply(ex); string(ex.Request.Bytes) != `{"a":1,"password":"[REDACTED]"}` {
			t.Errorf("%s: withheld %v, %q", coding, ex.Request.Withheld, ex.Request.Bytes)
		}
	}
}

// Heads that must stay as they are.
func TestOrdinaryHeads(t *testing.T) {
	r := newRedactor(t, Defaults())
	for _, f := range []tapway.Field{
		{Name: "Content-Type", Value: `multipart/form-data; boundary="a/b;key=1"`}, {Name: "Accept", Value: "text/html;q=0.9, */*;q=0.1"},
		{Name: "ETag", Value: `W/"a?b=c"`}, {Name: "Link", Value: `<https://h/a?page=2>; rel="next"`}, {Name: "Traceparent", Value: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"},
		{Name: "User-Agent", Value: "Mozilla/5.0 (X11; Linux x86_64) a/1.0 (+https://h/bot)"}, {Name: "From", Value: "a@b.c"}, {Name: "WWW-Authenticate", Value: `Bearer realm="x", error="invalid_token"`},
		{Name: "Content-Disposition", Value: `attachment; filename="token.txt"`}, {Name: "X_Request_Id", Value: "a"}, {Name: "Location", Value: "https://h/@a;v=1/b?code=c&state=d"},
		{Name: "Dropbox-API-Arg", Value: `{"path":"/a","mode":"add"}`}, {Name: "Forwarded", Value: `for="[2001:db8::1]";proto=https;by=203.0.113.43`}, {Name: "Cache-Control", Value: "max-age=5, private"},
	} {
		if got := r.Header(f.Name, f.Value); got != f.Value {
			t.Errorf("%s: %s\n now %s", f.Name, f.Value, got)
		}
	}
	for _, query := range []string{"a=b", "page%5Bnumber%5D=2&q=a%20b", "q=100%", "code=a&state=b", "filter=a%3Db", "back=https%3A%2F%2Fh%2Fa%3Fb%3Dc", `where={"a":1}`, "email=a@b.c", "next_token=a", "q=%E2%82%AC;x=1", "query=%7Buser(id:5)%7Bid%7D%7D"} {
		if got := r.Query(query); got != query {
			t.Errorf("%s\n now %s", query, got)
		}
	}
}
