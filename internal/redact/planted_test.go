package redact

import (
	"bytes"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"net/url"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

// secrets hands out values that are easy to find again, with characters that every encoding treats
// differently.
type secrets struct{ all []string }

func (s *secrets) next() string {
	v := fmt.Sprintf("pl4nted+/ é~%03d", len(s.all))
	s.all = append(s.all, v)
	return v
}

func (s *secrets) plain() string {
	v := fmt.Sprintf("pl4nted%03dzz", len(s.all))
	s.all = append(s.all, v)
	return v
}

// forms are the ways in which a value can stand in a frame.
func forms(v string) []string {
	list := []string{v, url.QueryEscape(v), url.PathEscape(v), strings.ReplaceAll(url.QueryEscape(v), "+", "%20"), hex.EncodeToString([]byte(v)), strings.ReplaceAll(v, "/", `\/`), strings.ReplaceAll(v, "é", `\u00e9`)}
	// In base64 of a longer text, what is sure of a value depends on where it begins.
	for shift := range 3 {
		text := strings.Repeat("x", shift) + v
		for _, enc := range []*base64.Encoding{base64.StdEncoding, base64.URLEncoding} {
			coded := enc.EncodeToString([]byte(text))
			list = append(list, coded[4:len(coded)-4])
		}
	}
	return list
}

func jsonText(v string) string {
	return strings.ReplaceAll(strings.ReplaceAll(v, "/", `\/`), "é", `\u00e9`)
}

func headerWithSecrets(s *secrets, contentType, coding string) tapway.Header {
	return fields(
		"Content-Type", contentType, "Content-Encoding", coding,
		"Authorization", "Basic "+base64.StdEncoding.EncodeToString([]byte("user:"+s.next())),
		"Authorization", "Bearer "+s.plain(),
		"Proxy-Authorization", s.plain(), "X-Api-Key", s.plain(), "x-amz-security-token", s.plain(),
		"Cookie", "a="+s.plain()+"; b="+s.plain(), "Set-Cookie", "sid="+s.plain()+"; Path=/", "Set-Cookie", "t="+s.plain(),
		"Referer", "https://u:"+s.plain()+"@host/a?x=1&access_token="+url.QueryEscape(s.next())+"&y=2",
		"Location", "/cb?code_verifier="+url.QueryEscape(s.next())+"#id_token="+s.plain()+"&state=1",
		"Content-Location", "https://host/?p%61ssword="+s.plain(),
		"Link", "<https://host/?page=2&api_key="+s.plain()+">; rel=next",
		"Refresh", "1; url=/login?token="+s.plain(),
		"X-Original-Url", "/a?next="+url.QueryEscape("/b?token="+s.next()),
	)
}

func TestPlantedSecrets(t *testing.T) {
	bodies := map[string]func(s *secrets) (contentType, body string){
		"json": func(s *secrets) (string, string) {
			return "application/json", fmt.Sprintf(`{"a":{"password":"%s"},"TOKEN":["%s",{"x":"%s"}],"access\u005ftoken":"%s","keep":"me","own":[1,"%s"],"token":{"n":"%s"},"token":"%s"}`,
				jsonText(s.next()), s.next(), jsonText(s.next()), s.plain(), s.plain(), s.plain(), s.plain())
		},
		"json without its type": func(s *secrets) (string, string) {
			return "text/plain", " \n[{\"client_secret\":\"" + jsonText(s.next()) + "\"}]"
		},
		"lines": func(s *secrets) (string, string) {
			return "application/x-ndjson", "{\"password\":\"" + s.plain() + "\"}\n{\"x\":{\"idToken\":\"" + s.plain() + "\"}}\n"
		},
		"events": func(s *secrets) (string, string) {
			return "text/event-stream", "data: {\"password\":\"" + s.plain() + "\"}\n\nevent: x\ndata: {\ndata: \"token\":\"" + s.plain() + "\"\ndata: }\n\n"
		},
		"form": func(s *secrets) (string, string) {
			return "application/x-www-form-urlencoded", "user=me&password=" + url.QueryEscape(s.next()) + "&p%61sswd=" + s.plain() + "&user[token]=" + s.plain() + "&json=" + url.QueryEscape(`{"token":"`+s.plain()+`"}`)
		},
		"multipart": func(s *secrets) (string, string) {
			return "multipart/form-data; boundary=xx", "--xx\r\nContent-Disposition: form-data; name=\"Password\"\r\n\r\n" + s.next() + "\r\n--xx\r\nContent-Disposition: form-data; name=\"token\"; filename=\"t.txt\"\r\nContent-Type: text/plain\r\n\r\n" +
				s.plain() + "\r\nmore " + s.plain() + "\r\n--xx\r\nContent-Disposition: form-data; name=meta\r\nContent-Type: application/json\r\n\r\n{\"password\":\"" + s.plain() + "\"}\r\n--xx--\r\n"
		},
		"broken json": func(s *secrets) (string, string) { return "application/json", `{"password":"` + s.plain() },
	}
	for name, body := range bodies {
		for _, coding := range []string{"", "gzip", "deflate", "br", "zstd"} {
			for _, key := range []tapway.Secret{"", "0123456789abcdef0123456789abcdef"} {
				t.Run(fmt.Sprintf("%s/%s/keyed=%v", name, coding, key != ""), func(t *testing.T) {
					s := new(secrets)
					ex := plant(t, s, body, coding)
					r := newRedactor(t, Defaults().Merge(Rules{Path: []string{"id"}, JSON: []string{"$.own[-1]"}, Key: key}))
					r.Apply(ex)
					frame := tapway.AppendFrame(nil, ex)
					// What was compressed and kept would hide from this search.
					for _, b := range []tapway.Body{ex.Request, ex.Response} {
						if coding != "" && !b.Decoded && !b.Withheld {
							t.Fatal("a body with secrets is still compressed")
						}
					}
					for _, v := range s.all {
						for _, form := range forms(v) {
							if i := bytes.Index(frame, []byte(form)); i >= 0 {
								t.Errorf("%q survives as %q near %q", v, form, frame[max(0, i-60):min(len(frame), i+60)])
							}
						}
					}
					if !bytes.Contains(frame, []byte("[REDACTED")) || !bytes.Contains(frame, []byte("keep=me")) {
						t.Error("the frame lost more than secrets")
					}
				})
			}
		}
	}
}

// plant makes an exchange with secrets in every place, and in both bodies.
func plant(t *testing.T, s *secrets, body func(*secrets) (string, string), coding string) *tapway.Exchange {
	id := url.PathEscape(s.next())
	ex := &tapway.Exchange{Meta: tapway.Meta{
		Method: "POST", Route: "POST /users/{id}/x", Path: "/users/" + id + "/x", Status: 200,
		Query: "keep=me&token=" + url.QueryEscape(s.next()) + "&X-Amz-Signature=" + s.plain() + "&%70assword=" + s.plain() + "&a=1;api_key=" + s.plain() + ";rest=" + s.plain(),
	}}
	ex.PathParams = []tapway.PathParam{{Name: "id", Value: id}}
	for _, side := range []struct {
		header, trailer *tapway.Header
		body            *tapway.Body
	}{{&ex.RequestHeader, &ex.RequestTrailer, &ex.Request}, {&ex.ResponseHeader, &ex.ResponseTrailer, &ex.Response}} {
		contentType, text := body(s)
		*side.header = headerWithSecrets(s, contentType, coding)
		*side.header = append(*side.header, tapway.Field{Name: "X-Back", Value: "https://host/users/" + id})
		*side.trailer = fields("Set-Cookie", "sid="+s.plain(), "X-Next", "/a?token="+s.plain())
		side.body.Bytes = compress(t, coding, []byte(text))
		side.body.Size = int64(len(side.body.Bytes))
	}
	return ex
}

const marker1 = "m4rk3rm4rk3r"

// Whatever strangers put around it, a value under a rule's name never reaches the frame.
func FuzzApply(f *testing.F) {
	for kind := range uint8(12) {
		f.Add(kind, []byte("{\"a\":1}\n"), []byte("\n[]"), false)
		f.Add(kind, []byte("data: x\r\n"), []byte("&a=b"), kind%2 == 0)
		f.Add(kind, []byte("--b--\r\n"), []byte("\r\n--b\r\n"), false)
		f.Add(kind, []byte("--b\r\nA: b"), []byte("%"), true)
		f.Add(kind, []byte(`"sid=`), []byte(`"`), false)
	}
	r := newRedactor(f, Defaults().Merge(Rules{Cookies: []string{"sid"}, JSON: []string{"$.a[-1]..*", "$..['pin',0]"}}))
	codings := []string{"", "gzip", "br"}
	f.Fuzz(func(t *testing.T, kind uint8, before, after []byte, truncated bool) {
		var contentType, planted string
		switch kind % 4 {
		case 0:
			contentType, planted = "application/json", `{"pass`+[]string{"word", `\u0077ord`}[kind/4%2]+`":"`+marker1+`"}`
		case 1:
			contentType, planted = "application/x-www-form-urlencoded", "&p%61ssword="+marker1
		case 2:
			contentType, planted = "multipart/form-data; boundary=b", "\r\n--b\r\nContent-Disposition: form-data; name=\"password\"\r\n\r\n"+marker1+"\r\n--b--"
		case 3:
			contentType, planted = "text/event-stream", "\ndata: {\"password\":\""+marker1+"\"}\n\n"
		}
		if bytes.Contains(before, []byte("m4")) || bytes.Contains(after, []byte("m4")) {
			return
		}
		coding := codings[kind/4%3]
		text := string(before) + planted + string(after)
		passed := compress(t, coding, []byte(text))
		kept := bytes.Clone(passed)
		ex := exchange(contentType, coding, "")
		ex.Request = tapway.Body{Bytes: passed, Size: int64(len(passed)), Truncated: truncated}
		ex.ResponseHeader = ex.RequestHeader
		ex.Response = ex.Request
		ex.RequestHeader = append(ex.RequestHeader[:len(ex.RequestHeader):len(ex.RequestHeader)], fields(
			"Referer", "/?"+string(before)+"&token="+marker1, "Cookie", string(before)+"; sid="+marker1, "Set-Cookie", "sid="+marker1+";"+string(after))...)
		ex.Query = string(before) + "&password=" + marker1 + "&" + string(after)
		r.Apply(ex)
		if !bytes.Equal(passed, kept) {
			t.Fatal("the captured bytes were written to")
		}
		if frame := tapway.AppendFrame(nil, ex); bytes.Contains(frame, []byte(marker1)) {
			t.Fatalf("the marker survives:\n%q\n%q\n%q %q", text, ex.Request.Bytes, ex.Query, ex.RequestHeader)
		}
		if coding != "" && !ex.Request.Decoded && !ex.Request.Withheld {
			t.Fatalf("kept as it was: %q", text)
		}
	})
}
