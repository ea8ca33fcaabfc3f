package redact

import (
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

func TestQuery(t *testing.T) {
	r := newRedactor(t, Rules{Query: []string{"token", "api key", "X-Amz-Signature"}})
	for in, want := range map[string]string{
		"":                                 "",
		"a=b&c":                            "a=b&c",
		"token=x":                          "token=R",
		"token=":                           "token=",
		"token":                            "token",
		"a=1&token=x&b=2":                  "a=1&token=R&b=2",
		"token=x&token=y":                  "token=R&token=R",
		"TOKEN=x&Token=y":                  "TOKEN=R&Token=R",
		"%74oken=x&t%6Fken=y":              "%74oken=R&t%6Fken=R",
		"api+key=x&api%20key=y&api_key=z":  "api+key=R&api%20key=R&api_key=z",
		"x-amz-signature=abc":              "x-amz-signature=R",
		"tokens=x&atoken=y&to=z&token2=1":  "tokens=x&atoken=y&to=z&token2=1",
		"token[]=x&user[token]=y&token.a=": "token[]=R&user[token]=R&token.a=",
		"user.token=x&user[token][0]=y":    "user.token=R&user[token][0]=R",
		"user%5Btoken%5D=x":                "user%5Btoken%5D=R",
		"a=1;token=x;b=2&c=3":              "a=1;token=R&c=3",
		"token=x=y=z&a=1":                  "token=R&a=1",
		"token=a%26b&c=1":                  "token=R&c=1",
		"a=%zz&b=%":                        "a=%zz&b=%",
		"%zz=x&b=1":                        "%zz=R&b=1",
		"tok%u0065n=x":                     "tok%u0065n=R",
		"+token=x":                         "+token=R",
		"&&=&=x&;;token=y":                 "&&=&=x&;;token=R",
		"next=/cb?token=x&y=1":             "next=/cb?token=R&y=1",
		"next=https%3A%2F%2Fa%2F%3Ftoken%3Dx&y=1": "next=R&y=1",
		"next=https%3A%2F%2Fa%2F%3Fpage%3Dx&y=1":  "next=https%3A%2F%2Fa%2F%3Fpage%3Dx&y=1",
		"next=%253Ftoken%253Dx":                   "next=R",
		"next=%252525252525253Dx":                 "next=R",
		"q=100%25&page=2":                         "q=100%25&page=2",
		"a=token&b=token%3D":                      "a=token&b=token%3D",
		"a==token=x":                              "a==token=x",
		"a?token=x":                               "a?token=R",
		"z=%E2%82%AC&%E2%82%AC=1&to\u212aen=x&to%E2%84%AAen=y": "z=%E2%82%AC&%E2%82%AC=1&to\u212aen=R&to%E2%84%AAen=R",
	} {
		if got := r.Query(in); got != strings.ReplaceAll(want, "R", Mark) {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
	r = newRedactor(t, Rules{JSON: []string{"$..token"}})
	for in, want := range map[string]string{
		`variables=%7B%22token%22%3A1%7D&a=1`:  `variables=R&a=1`,
		`variables={"token":1}&a=1`:            `variables=R&a=1`,
		`variables=%5B{"a":1}]`:                `variables=%5B{"a":1}]`,
		`variables=%7B%22token%22`:             `variables=R`,
		`variables=%7B%22tokens%22&token=1&x=`: `variables=%7B%22tokens%22&token=1&x=`,
	} {
		if got := r.Query(in); got != strings.ReplaceAll(want, "R", Mark) {
			t.Errorf("JSON in %s\n got %s\nwant %s", in, got, want)
		}
	}
	if got := newRedactor(t, Rules{Headers: []string{"A"}}).Query("token=x"); got != "token=x" {
		t.Errorf("without query rules: %s", got)
	}
}

func TestHeader(t *testing.T) {
	r := newRedactor(t, Rules{Headers: []string{"authorization", "X-Api-Key"}, Cookies: []string{"sid", "Remember"}, Query: []string{"token"}})
	for _, c := range []struct{ name, in, want string }{
		{"Authorization", "Bearer abc", "R"},
		{"AUTHORIZATION", "Basic abc", "R"},
		{"Authorization", "", ""},
		{"X-Api-Key", "k", "R"},
		{"X-Api-Keys", "k", "k"},
		{"X-Api", "k", "k"},
		{"Cookie", "a=1; sid=abc; b=2", "a=1; sid=R; b=2"},
		{"Cookie", "sid=abc", "sid=R"},
		{"Cookie", "SID=abc;remember=x;sidx=1", "SID=R;remember=R;sidx=1"},
		{"Cookie", "sid=a=b==; c=d", "sid=R; c=d"},
		{"Cookie", `sid="a;b"; c=d`, `sid=R; c=d`},
		{"Cookie", `sid="a;b`, `sid=R;b`},
		{"Cookie", "a=1, sid=x,y; b=2", "a=1, sid=R; b=2"},
		{"Cookie", "sid", "sid"},
		{"Cookie", "sid=; x=1", "sid=; x=1"},
		{"Cookie", "; ;=; sid=x", "; ;=; sid=R"},
		{"Set-Cookie", "sid=abc; Path=/; HttpOnly", "sid=R; Path=/; HttpOnly"},
		{"Set-Cookie", "other=abc; sid=x", "other=abc; sid=x"},
		{"set-cookie", " Sid =abc; Max-Age=1", " Sid =R; Max-Age=1"},
		{"X-Cookie", "sid=abc", "sid=abc"},
		{"Referer", "https://a/b?x=1&token=abc#f", "https://a/b?x=1&token=R#f"},
		{"Referer", "https://a/b;token=abc", "https://a/b;token=R"},
		{"Location", "/cb#access=1&token=abc", "/cb#access=1&token=R"},
		{"Location", "/cb?a=1#token=abc", "/cb?a=1#token=R"},
		{"Location", "https://a/?next=https%3A%2F%2Fb%3Ftoken%3Dc", "https://a/?next=R"},
		{"Content-Location", "?token=abc", "?token=R"},
		{"Refresh", "5; url=https://a/?token=abc", "5; url=https://a/?token=R"},
		{"Link", `<https://a/?token=abc&p=2>; rel="next", <https://a/?token=d>; rel="prev"`, `<https://a/?token=R&p=2>; rel="next", <https://a/?token=R>; rel="prev"`},
		{"X-Forwarded-Uri", "/a?token=abc", "/a?token=R"},
		{"Referer", "https://user:pw@host/a@b", "https://R@host/a@b"},
		{"Referer", "//user@host", "//R@host"},
		{"From", "someone@example.com", "someone@example.com"},
		{"Referer", "https://host/@user?x=a@b", "https://host/@user?x=a@b"},
		{"User-Agent", "curl/8", "curl/8"},
	} {
		if got := r.Header(c.name, c.in); got != strings.ReplaceAll(c.want, "R", Mark) && c.name != "Refresh" || c.name == "Refresh" && !strings.HasSuffix(got, "token="+Mark) {
			t.Errorf("%s: %s\n got %s\nwant %s", c.name, c.in, got, c.want)
		}
	}
}

func TestPathParams(t *testing.T) {
	r := newRedactor(t, Rules{Path: []string{"id", "Proxy"}})
	for _, c := range []struct {
		name, route, path string
		params            []string
		want              string
	}{
		{"one", "GET /users/{id}", "/users/7", []string{"id", "7"}, "/users/R"},
		{"any letter case", "GET /users/{ID}", "/users/7", []string{"ID", "7"}, "/users/R"},
		{"no rule", "GET /users/{name}", "/users/7", []string{"name", "7"}, "/users/7"},
		{"no parameter", "GET /users", "/users", nil, "/users"},
		{"the same value in a segment before", "GET /users/{id}", "/users/users", []string{"id", "users"}, "/users/R"},
		{"the same value in another parameter", "GET /{name}/{id}", "/7/7", []string{"name", "7", "id", "7"}, "/7/R"},
		{"in any order", "GET /{name}/{id}", "/7/7", []string{"id", "7", "name", "7"}, "/7/R"},
		{"greedy", "ANY /v1/{proxy+}", "/v1/a/b%2Fc/", []string{"proxy", "a/b%2Fc/"}, "/v1/R"},
		{"two of them", "ANY /{id}/x/{proxy+}", "/1/x/2/3", []string{"proxy", "2/3", "id", "1"}, "/R/x/R"},
		{"encoded", "GET /users/{id}", "/users/a%20b", []string{"id", "a%20b"}, "/users/R"},
		{"without a route", "", "/users/7/orders/8", []string{"name", "7", "id", "8"}, "/users/7/orders/R"},
		{"without a route, in order", "", "/7/users/7", []string{"name", "7", "id", "7"}, "/7/users/R"},
		{"not a whole segment", "", "/users/a7b", []string{"id", "7"}, "/users/aRb"},
		{"twice and not where it should be", "GET /x/{id}", "/y7/z7", []string{"id", "7"}, "/yR/zR"},
		{"another encoding", "", "/users/%61b/ab", []string{"id", "a%62"}, "/users/R/R"},
		{"nowhere", "", "/users/7", []string{"id", "8"}, "/users/7"},
		{"empty", "GET /users/{id}", "/users/", []string{"id", ""}, "/users/"},
		{"a prefix of the path before the template", "GET /users/{id}", "/prod/users/7", []string{"id", "7"}, "/prod/users/R"},
		{"a template that goes on", "GET /users/{id}/a", "/users/7/a", []string{"id", "7"}, "/users/R/a"},
	} {
		ex := &tapway.Exchange{Meta: tapway.Meta{Route: c.route, Path: c.path}}
		for i := 0; i < len(c.params); i += 2 {
			ex.PathParams = append(ex.PathParams, tapway.PathParam{Name: c.params[i], Value: c.params[i+1]})
		}
		r.Apply(ex)
		if ex.Path != strings.ReplaceAll(c.want, "R", Mark) {
			t.Errorf("%s: %s, want %s", c.name, ex.Path, c.want)
		}
	}
	ex := &tapway.Exchange{
		Meta:           tapway.Meta{Route: "GET /reset/{id}", Path: "/reset/abc"},
		PathParams:     []tapway.PathParam{{Name: "id", Value: "abc"}},
		RequestHeader:  fields("Referer", "https://a/reset/abc?x=1", "X-Other", "/abcd"),
		ResponseHeader: fields("Location", "/reset/abc/"),
	}
	r.Apply(ex)
	if got := ex.RequestHeader[0].Value + " " + ex.RequestHeader[1].Value + " " + ex.ResponseHeader[0].Value; got != "https://a/reset/[REDACTED]?x=1 /abcd /reset/[REDACTED]/" {
		t.Errorf("the value in other URLs: %s", got)
	}
	ex = &tapway.Exchange{Meta: tapway.Meta{Path: "/a;jsessionid=abc/b;x=1"}}
	newRedactor(t, Defaults()).Apply(ex)
	if ex.Path != "/a;jsessionid=[REDACTED]/b;x=1" {
		t.Errorf("matrix parameters: %s", ex.Path)
	}
}

func TestForm(t *testing.T) {
	r := newRedactor(t, Rules{Form: []string{"password", "a b"}, JSON: []string{"$..token"}})
	for in, want := range map[string]string{
		"user=x&password=y":                 "user=x&password=R",
		"PASSWORD=y&Password=z":             "PASSWORD=R&Password=R",
		"p%61ssword=y&pass%77ord=z":         "p%61ssword=R&pass%77ord=R",
		"a+b=1&a%20b=2&a_b=3":               "a+b=R&a%20b=R&a_b=3",
		"user[password]=y&user.password=z":  "user[password]=R&user.password=R",
		"passwords=y&xpassword=z":           "passwords=y&xpassword=z",
		"x=password":                        "x=password",
		"password":                          "password",
		"password=&x=1":                     "password=&x=1",
		"a=1;password=x;b=2&c=3":            "a=1;password=R&c=3",
		"a=1&\r\npassword=x":                "a=1&\r\npassword=R",
		"x=%zz&password=%":                  "x=%zz&password=R",
		"payload=%7B%22token%22%3A1%7D&x=1": "payload=R&x=1",
		"payload={\"token\":1}":             "payload=R",
		"payload={\"tokens\":1}":            "payload={\"tokens\":1}",
		"payload={\"token\":":               "payload=R",
		"":                                  "",
	} {
		ex := exchange("application/x-www-form-urlencoded", "", in)
		r.Apply(ex)
		if got := string(ex.Request.Bytes); got != strings.ReplaceAll(want, "=R", "="+Mark) || ex.Request.Withheld {
			t.Errorf("%s\n got %s\nwant %s", in, got, want)
		}
	}
	// What is sent as a form but is JSON, as curl -d does.
	ex := exchange("application/x-www-form-urlencoded", "", `{"token":"x","password":"y&password=z"}`)
	r.Apply(ex)
	if got := string(ex.Request.Bytes); got != `{"token":"[REDACTED]","password":"y&password=[REDACTED]` {
		t.Errorf("JSON sent as a form: %s", got)
	}
}

// TestCredentialHeaders: what the defaults name is not recorded, in any letter case; its neighbours are.
func TestCredentialHeaders(t *testing.T) {
	r := newRedactor(t, Defaults())
	for _, name := range []string{
		"Authorization", "set-cookie", "X-Amzn-Mtls-Clientcert", "x-amzn-mtls-clientcert-leaf", "X-Amzn-Mtls-Clientcert-Serial-Number", "X-SSL-Client-Cert", "x-ssl-client-s-dn",
		"X-Client-Cert", "X-Forwarded-Client-Cert", "Private-Token", "X-Vault-Token", "X-Auth-Request-Access-Token", "X-AUTH-REQUEST-USER", "X-Goog-Iap-Jwt-Assertion",
		"X-Ms-Token-Aad-Id-Token", "Cf-Access-Jwt-Assertion", "Client-Cert-Chain", "X-Auth-Request-",
	} {
		if got := r.Header(name, "value"); got == "value" {
			t.Errorf("%s is recorded", name)
		}
	}
	for _, name := range []string{"X-Auth-Request", "X-Auth-Requests", "X-SSL-Clien", "X-Ms-Tokens", "X-Amzn-Mtls-Clientcer", "Private-Tokens", "X-Forwarded-Client-Certs", "X-Forwarded-User", "A", ""} {
		if got := r.Header(name, "value"); got != "value" {
			t.Errorf("%s is %s", name, got)
		}
	}
	all := newRedactor(t, Rules{Headers: []string{"*"}})
	if got := all.Header("Anything", "value"); got == "value" {
		t.Error("* does not mean every name")
	}
}
