package redact

import (
	"bytes"
	"encoding/base64"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// leak is the secret that every case plants, and kept what must survive beside it ("" where the body goes).
const leak = "s3cr3tV4lue"

// traffic is what APIs and their clients really send, with a credential under a name that the default rules have.
var traffic = []struct{ name, contentType, body, kept string }{
	{"OAuth token request", "application/x-www-form-urlencoded", "grant_type=authorization_code&code=kept&client_secret=" + leak, "grant_type=authorization_code&code=kept"},
	{"OAuth token answer", "application/json;charset=UTF-8", `{"access_token":"` + leak + `","token_type":"Bearer","expires_in":3600,"refresh_token":"` + leak + `"}`, `"expires_in":3600`},
	{"OAuth device flow", "application/x-www-form-urlencoded", "grant_type=urn%3Aietf%3Aparams%3Aoauth%3Agrant-type%3Adevice_code&device_code=" + leak + "&client_id=kept", "client_id=kept"},
	{"OAuth token exchange", "application/x-www-form-urlencoded", "subject_token=" + leak + "&subject_token_type=kept&actor_token=" + leak, "subject_token_type=kept"},
	{"OAuth 1", "application/x-www-form-urlencoded", "oauth_token=" + leak + "&oauth_token_secret=" + leak + "&screen_name=kept", "screen_name=kept"},
	{"OpenID registration", "application/json", `{"client_id":"kept","client_secret":"` + leak + `","registration_access_token":"` + leak + `"}`, `"client_id":"kept"`},
	{"Stripe", "application/json", `{"id":"pi_1","client_secret":"pi_1_secret_` + leak + `","amount":2000}`, `"amount":2000`},
	{"Slack", "application/json", `{"ok":true,"access_token":"xoxb-` + leak + `","bot":{"bot_access_token":"` + leak + `"},"team":{"id":"kept"}}`, `"team":{"id":"kept"}`},
	{"a Graph API page", "application/json", `{"data":[{"id":"kept"}],"paging":{"next":"https:\/\/graph.example.com\/v1\/1\/posts?limit=25&access_token=` + leak + `&after=abc"}}`, `&after=abc"}}`},
	{"a page with escaped ampersands", "application/json", `{"next":"https://h/x?a=1\u0026access_token=` + leak + `\u0026b=kept"}`, `b=kept"}`},
	{"a page with all escaped", "application/json", `{"next":"https:\/\/h\/x?a\u003d1\u0026access_token\u003d` + leak + `\u0026b\u003dkept"}`, `kept"}`},
	{"a presigned URL", "application/json", `{"upload":{"url":"https://b.s3.amazonaws.com/k?X-Amz-Algorithm=kept&X-Amz-Credential=` + leak + `&X-Amz-Signature=` + leak + `","n":1}}`, `"n":1`},
	{"a signed URL in XML", "application/xml", `<r><url>https://a.blob.core.windows.net/c/b?sv=kept&amp;sig=` + leak + `&amp;se=2</url></r>`, "&amp;se=2</url></r>"},
	{"a signed URL in text", "text/plain", "see https://h/x?sig=" + leak + "&a=kept, and more", "a=kept, and more"},
	{"a signed URL in HTML", "text/html", `<p>password</p><a href="https://h/reset?token=` + leak + `&amp;u=kept">`, `u=kept">`},
	{"a signed URL in events", "text/event-stream", "data: {\"u\":\"https://h/?sig=" + leak + "&a=kept\"}\n\n", `a=kept"}`},
	{"a database URL", "application/json", `{"DATABASE_URL":"postgres://app:` + leak + `@db.internal:5432/kept"}`, "@db.internal:5432/kept"},
	{"a password with an at sign", "application/json", `{"u":"amqp://app:` + leak + `@x` + leak + `@mq/kept"}`, "@mq/kept"},
	{"a token as user", "application/json", `{"clone":"https://` + leak + `@github.com/a/kept.git"}`, "@github.com/a/kept.git"},
	{"a user within escaped slashes", "application/json", `{"u":"https:\/\/u:` + leak + `@h\/kept"}`, `@h\/kept"}`},
	{"a connection string", "application/json", `{"connectionString":"Server=h;Password=` + leak + `","a":"kept"}`, `"a":"kept"`},
	{"a connection string under another name", "application/json", `{"default":"Server=kept;User Id=a;Password=` + leak + `;Encrypt=true"}`, "Server=kept;User Id=a;"},
	{"an echo of headers", "application/json", `{"headers":{"Authorization":"Bearer ` + leak + `","Cookie":"sid=` + leak + `","X-Api-Key":"` + leak + `","Host":"kept"}}`, `"Host":"kept"`},
	{"an event of a function", "application/json", `{"path":"/kept","body":"user=me&password=` + leak + `","isBase64Encoded":false}`, "user=me&password="},
	{"an event of a function, escaped", "application/json", `{"path":"/kept","body":"user=me\u0026password=` + leak + `\u0026a=b"}`, "/kept"},
	{"an event of a function, JSON", "application/json", `{"body":"{\"a\":\"kept\",\"password\":\"` + leak + `\"}"}`, `kept`},
	{"JSON made a string twice", "application/json", `{"body":"\"{\\\"a\\\":\\\"kept\\\",\\\"password\\\":\\\"` + leak + `\\\"}\""}`, "kept"},
	{"JSON made a string", "application/json", `"{\"a\":\"kept\",\"password\":\"` + leak + `\"}"`, "kept"},
	{"JSON in a string, cut", "application/json", `{"log":"{\"a\":1,\"password\":\"` + leak + `","b":"kept"}`, `"b":"kept"`},
	{"Python in a string", "application/json", `{"log":"{'password': '` + leak + `\\n'}","b":"kept"}`, `"b":"kept"`},
	{"a log line in a string", "application/json", `{"message":"login user=kept password=` + leak + ` ok"}`, "user=kept"},
	{"a log line in a string, quoted", "application/json", `{"message":"login user=kept password=\"x ` + leak + `\" ok"}`, "user=kept"},
	{"a URL in a string", "application/json", `{"a":"/cb?access_token=` + leak + `#x","b":"kept"}`, `"kept"}`},
	{"a fragment in a string", "application/json", `{"a":"https://h/cb#access_token=` + leak + `&state=kept"}`, `state=kept`},
	{"GraphQL", "application/json", `{"query":"mutation { login(email:\"kept\", password:\"` + leak + `\") { token } }"}`, `kept`},
	{"GraphQL with variables", "application/json", `{"query":"mutation($p:String!){login(password:$p){token}}","variables":{"password":"` + leak + `"}}`, `mutation($p:String!){login(password:$p){token}}`},
	{"GraphQL without a keyword", "application/json", `{"query":"{ user(token: \"` + leak + `\") { id } }","operationName":"kept"}`, `"kept"`},
	{"GraphQL by itself", "application/graphql", `query { user(token: """` + leak + `""") { kept } }`, "{ kept }"},
	{"GraphQL with a list", "application/graphql", `mutation { set(secret: {a: "` + leak + `", b: ["` + leak + `"]}, name: "kept") }`, "kept"},
	{"JSON:API", "application/vnd.api+json", `{"data":{"type":"users","attributes":{"name":"kept","password":"` + leak + `"}}}`, `"name":"kept"`},
	{"NDJSON", "application/x-ndjson", "{\"a\":\"kept\"}\n{\"api_key\":\"" + leak + "\"}\n", "kept"},
	{"SOAP", "text/xml; charset=utf-8", `<s:Envelope xmlns:s="x"><s:Header><w:UsernameToken><w:Username>kept</w:Username><w:Password>` + leak + `</w:Password></w:UsernameToken></s:Header></s:Envelope>`, "kept"},
	{"SOAP with attachments", `multipart/related; type="application/xop+xml"; boundary=b`, "--b\r\nContent-Type: application/xop+xml\r\n\r\n<a><Password>" + leak + "</Password><b>kept</b></a>\r\n--b--", "kept"},
	{"STS", "text/xml", `<r><AccessKeyId>kept</AccessKeyId><SecretAccessKey>` + leak + `</SecretAccessKey><SessionToken>` + leak + `</SessionToken></r>`, "kept"},
	{"a text file in a form", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=f; filename=.env\r\nContent-Type: text/plain\r\n\r\nA=kept\r\npassword=" + leak + "\r\n--b--", "A=kept"},
	{"a URL in a form", "application/x-www-form-urlencoded", "url=https%3A%2F%2Fu%3A" + leak + "%40h%2F&a=kept", "a=kept"},
	{"a URL in a form with a token", "application/x-www-form-urlencoded", "a=kept&next=https%3A%2F%2Fh%2F%3Ftoken%3D" + leak, "a=kept"},
	{"a URL in a multipart form", "multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=next\r\n\r\nhttps://h/?token=" + leak + "&a=kept\r\n--b--", "a=kept"},
	{"a batch", "multipart/mixed; boundary=b", "--b\r\nContent-Type: application/http\r\n\r\nGET /kept HTTP/1.1\r\n\r\n\r\n--b\r\nContent-Type: application/http\r\n\r\nGET /a HTTP/1.1\r\nX-Api-Key: " + leak + "\r\n\r\n\r\n--b--", "/kept"},
	{"a form as octets", "application/octet-stream", "user=kept&password=" + leak, "user=kept"},
	{"a form without a type", "", "user=kept&password=" + leak, "user=kept"},
	{"a form as JSON", "application/json", "user=me&password=" + leak, ""},
	{"a form as text", "text/plain;charset=UTF-8", "user=kept&password=" + leak, "user=kept"},
	{"JSON as octets", "application/octet-stream", `{"a":"kept","password":"` + leak + `"}`, "kept"},
	{"JSON as HTML", "text/html", `{"a":"kept","password":"` + leak + `"}`, "kept"},
	{"JSON with a mark", "application/json", "\ufeff{\"a\":\"kept\",\"password\":\"" + leak + `"}`, "kept"},
	{"an escaped name", "application/json", `{"a":"kept","\u0070assword":"` + leak + `"}`, "kept"},
	{"a repeated name", "application/json", `{"password":"","a":"kept","password":"` + leak + `"}`, "kept"},
	{"a number", "application/json", `{"a":"kept","secret":[1,{"x":"` + leak + `"}]}`, "kept"},
	{"deep", "application/json", strings.Repeat(`{"kept":`, 300) + `{"password":"` + leak + `"}` + strings.Repeat("}", 300), "kept"},
	{"names and values", "application/json", `{"env":[{"name":"A","value":"kept"},{"name":"password","value":"` + leak + `"},{"value":{"token":1,"x":"` + leak + `"},"Key":"API_KEY"}]}`, `{"name":"A","value":"kept"}`},
	{"headers of an archive", "application/json", `{"headers":[{"name":"Authorization","value":"Bearer ` + leak + `"},{"name":"Host","value":"kept"}]}`, "kept"},
	{"a patch", "application/json-patch+json", `[{"op":"replace","path":"/users/1/password","value":"` + leak + `"},{"op":"add","path":"/name","value":"kept"}]`, "kept"},
	{"a patch by SCIM", "application/scim+json", `{"Operations":[{"value":"` + leak + `","op":"Replace","path":"password"},{"op":"add","path":"name","value":"kept"}]}`, "kept"},
	{"MessagePack", "application/msgpack", "\x82\xa4name\xa4kept\xa8password\xab" + leak, ""},
	{"CBOR", "application/cbor", "\xa1\x68password\x6b" + leak, ""},
	{"BSON", "application/bson", "\x00\x00\x00\x00\x02password\x00\x0c\x00\x00\x00" + leak + "\x00\x00", ""},
	{"gzip without a coding, with a name", "application/json", "\x1f\x8b\x08\x08" + leak, ""},
	{"zlib without a coding", "application/json", "\x78\x9c" + leak, ""},
	{"a dump of a call", "text/plain", "POST /kept HTTP/1.1\r\nAuthorization: Bearer " + leak + "\r\nCookie: a=" + leak + "\r\n\r\n", "/kept"},
	{"a cookie line on the next line", "text/plain", "kept\r\npassword:\r\n  " + leak + "\r\n", "kept"},
}

func TestRealTraffic(t *testing.T) {
	r := newRedactor(t, Defaults())
	for _, c := range traffic {
		for _, coding := range []string{"", "gzip"} {
			t.Run(c.name+" "+coding, func(t *testing.T) {
				passed := compress(t, coding, []byte(c.body))
				ex := exchange(c.contentType, coding, string(passed))
				r.Apply(ex)
				b := ex.Request
				if bytes.Contains(b.Bytes, []byte(leak)) || coding != "" && !b.Decoded && !b.Withheld {
					t.Errorf("it leaks: %q", b.Bytes)
				}
				if b.Withheld != (c.kept == "") || !bytes.Contains(b.Bytes, []byte(c.kept)) {
					t.Errorf("withheld %v, %q lost: %q", b.Withheld, c.kept, b.Bytes)
				}
				// A second time changes nothing.
				again := exchange(c.contentType, "", string(b.Bytes))
				if r.Apply(again); !bytes.Equal(again.Request.Bytes, b.Bytes) {
					t.Errorf("once %q\ntwice %q", b.Bytes, again.Request.Bytes)
				}
			})
		}
	}
}

// Cut anywhere, no body shows the beginning of its secret.
func TestRealTrafficCut(t *testing.T) {
	r := newRedactor(t, Defaults())
	for _, c := range traffic {
		at := strings.Index(c.body, leak)
		for n := at + 4; n <= len(c.body); n++ {
			ex := exchange(c.contentType, "", c.body[:n])
			ex.Request.Truncated = true
			if r.Apply(ex); bytes.Contains(ex.Request.Bytes, []byte(leak[:4])) {
				t.Errorf("%s: cut at %d it leaks: %q", c.name, n, ex.Request.Bytes)
				break
			}
		}
	}
}

// Credentials in the other places of an exchange.
func TestRealHeads(t *testing.T) {
	r := newRedactor(t, Defaults())
	basic := base64.StdEncoding.EncodeToString([]byte("u:" + leak))
	for _, c := range []struct{ name, value string }{
		{"Authorization", "Digest username=\"u\", response=\"" + leak + `"`}, {"AUTHORIZATION", "Basic " + basic}, {"authorization", "AWS4-HMAC-SHA256 Credential=a, Signature=" + leak},
		{"Proxy-Authorization", "Basic " + basic}, {"X_Api_Key", leak}, {"x_auth_token", leak}, {"X-Auth-Request-Access-Token", leak}, {"X_AUTH_REQUEST_USER", leak},
		{"Cookie", `prefs={"token":"` + leak + `"}`}, {"Set-Cookie", "a=" + leak},
		{"Referer", "https://h/?a=b&token=" + leak}, {"Location", "https://u:" + leak + "@h/"}, {"Location", "/cb#access_token=" + leak}, {"Location", "/a;jsessionid=" + leak + "?b=c"},
		{"Link", `<https://h/?page=2>; rel="next", <https://h/?access_token=` + leak + `>; rel="last"`}, {"Content-Location", "/a?sig=" + leak},
		{"X-Original-Url", "/a?next=https%3A%2F%2Fu%3A" + leak + "%40h"}, {"X-Context", `{"token":"` + leak + `"}`}, {"X-Context", "%7B%22token%22%3A%22" + leak + "%22%7D"},
	} {
		if got := r.Header(c.name, c.value); strings.Contains(got, leak) || strings.Contains(got, basic) {
			t.Errorf("%s: %s", c.name, got)
		}
	}
	for _, query := range []string{
		"token=" + leak, "TOKEN=" + leak, "a=b;token=" + leak, "%74oken=" + leak, "user[password]=" + leak, "a=b&&token=" + leak, "id_token_hint=" + leak,
		"X-Amz-Algorithm=a&X-Amz-Credential=" + leak + "&X-Amz-Security-Token=" + leak, "url=https://u:" + leak + "@h/", "url=https%3A%2F%2Fu%3A" + leak + "%40h%2F",
		"next=%2Fa%3Ftoken%3D" + leak, "next=%252Fa%253Ftoken%253D" + leak, "variables=%7B%22password%22:%22" + leak + "%22%7D", `variables={"password":"` + leak + `"}`,
		"query=mutation%7Blogin(password:%22" + leak + "%22)%7Bid%7D%7D", "query=%7Blogin(password:%22" + leak + "%22)%7Bid%7D%7D", "token=a;" + leak, "token=a?" + leak,
	} {
		if got := r.Query(query); strings.Contains(got, leak) {
			t.Errorf("query %s", got)
		}
	}
	for _, path := range []string{"/a;jsessionid=" + leak + "/b", "/proxy/https://u:" + leak + "@h/b"} {
		ex := &tapway.Exchange{Meta: tapway.Meta{Path: path}}
		if r.Apply(ex); strings.Contains(ex.Path, leak) {
			t.Errorf("path %s", ex.Path)
		}
	}
}
