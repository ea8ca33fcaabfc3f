package redact

import (
	"bytes"
	"strings"
	"testing"

	"github.com/tapway/tapway"
)

const gone = "[REDACTED]"

// fieldCases are bodies of the kinds that are neither JSON nor a form. In want, "same" and
// "withheld" are as in bodyCases.
var fieldCases = []struct{ name, contentType, body, want string }{
	// XML: elements and attributes.
	{"an element", "application/xml", `<a><password>x</password></a>`, `<a><password>` + gone + `</password></a>`},
	{"letter case", "text/xml; charset=utf-8", `<a><PassWord>x</PassWord></a>`, `<a><PassWord>` + gone + `</PassWord></a>`},
	{"a prefix", "application/soap+xml", `<s:E xmlns:s="urn:x"><w:Password Type="t">x</w:Password></s:E>`, `<s:E xmlns:s="urn:x"><w:Password Type="` + gone + `">` + gone + `</w:Password></s:E>`},
	{"what is in it", "application/xml", "<password>\n <b c='d'>x</b><!-- y --><![CDATA[z]]></password>", "<password>" + gone + "</password>"},
	{"itself in it", "application/xml", `<password><password>x</password></password>`, `<password>` + gone + `</password>`},
	{"an empty one", "application/xml", `<a><password/><password></password></a>`, sameBody},
	{"an empty one with attributes", "application/xml", `<password value="x" />`, `<password value="` + gone + `" />`},
	{"an attribute", "application/xml", `<a user='u' password='x' b="1"/>`, `<a user='u' password='` + gone + `' b="1"/>`},
	{"an attribute that says the name", "application/xml", `<c><add key="password" value="x"/><add key="b" value="y"/></c>`, `<c><add key="password" value="` + gone + `"/><add key="b" value="y"/></c>`},
	{"and the content", "application/xml", `<p name="password">x</p>`, `<p name="password">` + gone + `</p>`},
	{"the last name of a path", "application/xml", `<card><number>4111</number></card>`, `<card><number>` + gone + `</number></card>`},
	{"another name", "application/xml", `<passwords>x</passwords>`, sameBody},
	{"a longer name", "application/xml", `<my-password>x</my-password>`, sameBody},
	{"without a type", "", "\ufeff \n<password>x</password>", "\ufeff \n<password>" + gone + "</password>"},
	{"as text", "text/plain", `<?xml version="1.0"?><password>x</password>`, `<?xml version="1.0"?><password>` + gone + `</password>`},
	{"as HTML", "text/html", `<html><password>x</password>`, sameBody},
	{"a picture", "image/svg+xml", `<svg password="x"></svg>`, `<svg password="` + gone + `"></svg>`},
	{"a document type", "application/xml", `<!DOCTYPE a SYSTEM "a.dtd"><a><password>x</password></a>`, `<!DOCTYPE a SYSTEM "a.dtd"><a><password>` + gone + `</password></a>`},

	// XML: names elsewhere.
	{"words", "application/xml", `<label>Enter your password, please</label>`, sameBody},
	{"words in a comment", "application/xml", `<!-- no password here --><a/>`, sameBody},
	{"a neighbour", "application/xml", `<d><key>password</key><string>x</string></d>`, withheldBody},
	{"a neighbour, blank", "application/xml", "<m><name> password\n</name><value>x</value></m>", withheldBody},
	{"JSON in it", "application/xml", `<a>{"password":"x"}</a>`, `<a>` + gone + `</a>`},
	{"key=value in it", "application/xml", `<a b="c">user=u password=x</a>`, `<a b="c">` + gone + `</a>`},
	{"XML in it", "application/xml", `<a>&lt;password&gt;x&lt;/password&gt;</a>`, `<a>` + gone + `</a>`},
	{"XML in CDATA", "application/xml", `<a><![CDATA[<password>x</password>]]></a>`, `<a><![CDATA[` + gone + `]]></a>`},
	{"XML in a comment", "application/xml", `<a><!--<password>x</password>--></a>`, `<a><!--` + gone + `--></a>`},
	{"a URL", "application/xml", `<a href="/?a=b&amp;password=x"/>`, `<a href="` + gone + `"/>`},
	{"a value in the next element", "application/xml", `<tr><td>password:</td><td>x</td></tr>`, withheldBody},
	{"a value in an element within", "application/xml", `<p>my password: is <b>x</b></p>`, withheldBody},
	{"a value behind an element", "application/xml", `<p><b>your</b> password: x</p>`, withheldBody},
	{"a value in the next section", "application/xml", `<a><![CDATA[<password>]]><![CDATA[x]]></a>`, withheldBody},
	{"a URL that only has the word", "application/xml", `<a href="https://h/password-reset#password"/>`, sameBody},
	{"an instruction", "application/xml", `<?php password="x"?><a/>`, withheldBody},

	// XML that cannot be read.
	{"not closed", "application/xml", `<a><password>x</password>`, withheldBody},
	{"closed wrongly", "application/xml", `<a><password>x</a></password>`, withheldBody},
	{"broken off", "application/xml", `<a><password>x`, withheldBody},
	{"without quotes", "application/xml", `<a password=x></a>`, withheldBody},
	{"a bracket in an attribute", "application/xml", `<a b="<password>x</password>"/>`, withheldBody},
	{"entities", "application/xml", `<!DOCTYPE a [<!ENTITY e "<password>x</password>">]><a>&e;</a>`, withheldBody},
	{"broken without the name", "application/xml", `<a><b>`, sameBody},
	{"UTF-16", "application/xml", "\xff\xfe<\x00a\x00/\x00>\x00", withheldBody},
	{"another charset", "application/xml", `<?xml version="1.0" encoding="UTF-7"?><password>x</password>`, withheldBody},
	{"a charset like ASCII", "application/xml", `<?xml version='1.0' encoding='ISO-8859-1' ?><password>x</password>`, `<?xml version='1.0' encoding='ISO-8859-1' ?><password>` + gone + `</password>`},

	// JSON with something around it.
	{"a guard", "application/json", ")]}',\n{\"password\":\"x\"}", ")]}',\n{\"password\":\"" + gone + "\"}"},
	{"another guard", "application/json", `for(;;);[{"password":"x"}]`, `for(;;);[{"password":"` + gone + `"}]`},
	{"a guard, broken", "application/json", `for(;;);[{"password":"x"}`, withheldBody},
	{"JSONP", "application/javascript", `cb({"password":"x"});`, `cb({"password":"` + gone + `"});`},
	{"JSONP as JSON", "application/json", `cb({"password":"x"})`, `cb({"password":"` + gone + `"})`},
	{"JSONP with a check", "text/javascript; charset=utf-8", "/**/ typeof a.b['c'] === 'function' && a.b['c']( {\"password\":1} ) ;\n", "/**/ typeof a.b['c'] === 'function' && a.b['c']( {\"password\":\"" + gone + "\"} ) ;\n"},
	{"JSONP, escaped", "application/javascript", `cb({"pass\u0077ord":"x"})`, `cb({"pass\u0077ord":"` + gone + `"})`},
	{"JSONP, broken", "application/javascript", `cb({"password":"x"`, withheldBody},
	{"JSONP, code behind", "application/javascript", `cb({"password":"x"});cb({"password":"y"})`, withheldBody},
	{"JSONP without the name", "application/javascript", `cb({"a":"x"`, sameBody},
	{"a script", "application/javascript", `(function(){ var password = document.forms[0].password })()`, sameBody},

	// Plain text.
	{"a setting", "text/plain", "a=1\npassword=x y\nb=2", "a=1\npassword=" + gone + "\nb=2"},
	{"in words", "text/plain", "my password: x\r\nb", "my password: " + gone + "\r\nb"},
	{"a log line", "text/plain", `level=info password="x \" y" b=2`, `level=info password="` + gone + `" b=2`},
	{"quotes twice", "text/plain", `password: 'it''s x' # b`, `password: '` + gone + `' # b`},
	{"other separators", "text/plain", "password := x\n:password => 'y'\n\"password\" : \"z\"", "password := " + gone + "\n:password => '" + gone + "'\n\"password\" : \"" + gone + "\""},
	{"a composed name", "text/plain", "user.password=x\nu[password]=y", "user.password=" + gone + "\nu[password]=" + gone},
	{"a URL in text", "text/plain", "GET /?a=b&password=x HTTP/1.1\nHost: h", "GET /?a=b&password=" + gone + "\nHost: h"},
	{"YAML", "application/yaml", "db:\n  password: x\n  host: h\n", "db:\n  password: " + gone + "\n  host: h\n"},
	{"YAML that goes on", "application/yaml", "- password: x\n    y\n  host: h\n", "- password: " + gone + "\n  host: h\n"},
	{"a YAML block", "application/yaml", "a: b\npassword: |\n  x\n", "a: b\npassword: " + gone},
	{"on the next line", "text/plain", "a\npassword:\n  x\n", "a\npassword: " + gone},
	{"at the end", "text/plain", "password=", sameBody},
	{"not closed", "text/plain", `password="x`, `password= ` + gone},
	{"three quotes", "application/toml", "password = \"\"\"\nx\"\"\"\n", "password = " + gone},
	{"a list", "application/yaml", "password: [x, y]\n", "password: " + gone},
	{"redacted before", "text/plain", "password: [REDACTED]\na=b\n", sameBody},
	{"a document of GraphQL", "application/graphql", "mutation { login(password: \"x\", pin: 1) { token } }", "mutation { login(password: \"" + gone + "\", pin: 1) { token } }"},
	{"nothing in quotes", "text/plain", `password="" a=b`, sameBody},
	{"a word", "text/plain", "forgot your password? see https://h/a=b", sameBody},
	{"another name", "text/plain", "passwords=x my_password=y my-password=z", sameBody},
	{"UTF-16 text", "text/plain", "p\x00=\x001\x00", withheldBody},
}

func TestFieldBodies(t *testing.T) {
	r := newRedactor(t, Rules{JSON: []string{"$..password", "$.card.number"}, Form: []string{"password"}})
	for _, c := range fieldCases {
		for _, coding := range []string{"", "gzip"} {
			t.Run(c.name+" "+coding, func(t *testing.T) {
				passed := compress(t, coding, []byte(c.body))
				before := bytes.Clone(passed)
				ex := exchange(c.contentType, coding, string(passed))
				ex.Request.Bytes = passed
				r.Apply(ex)
				if !bytes.Equal(passed, before) {
					t.Fatal("the captured bytes were written to")
				}
				b := ex.Request
				switch c.want {
				case sameBody:
					if b.Withheld || !bytes.Equal(b.Bytes, passed) {
						t.Errorf("withheld %v, %q; want no change", b.Withheld, b.Bytes)
					}
				case withheldBody:
					if !b.Withheld || b.Bytes != nil || !b.Summed {
						t.Errorf("withheld %v, %q", b.Withheld, b.Bytes)
					}
				default:
					if b.Withheld || string(b.Bytes) != c.want || !b.Summed {
						t.Errorf("withheld %v, %q\nwant %q", b.Withheld, b.Bytes, c.want)
					}
				}
			})
		}
	}
}

// What was cut short is only kept where a value cannot be half.
func TestFieldsTruncated(t *testing.T) {
	r := newRedactor(t, Rules{JSON: []string{"$..password"}})
	for _, c := range []struct {
		contentType, body string
		withheld          bool
	}{
		{"application/xml", "<a><password>x", false},
		{"application/xml", "<a><password>x</pass", false},
		{"application/xml", "<password>x</password>", false},
		{"application/xml", `<password>x</password><a password="x`, false},
		{"application/xml", `<a>password="x`, false},
		{"application/xml", `<a><!-- password="x`, false},
		{"application/xml", `<a>password="x</a><b>`, false},
		{"application/xml", `<a><password>x</a>`, true},
		{"application/xml", "<a><b>x", false},
		{"application/javascript", `cb({"password":"x`, true},
		{"application/javascript", `cb({"a":"x`, false},
		{"text/plain", `a=1 password="x`, false},
		{"text/plain", `a=1 passwor`, false},
	} {
		ex := exchange(c.contentType, "", c.body)
		ex.Request.Truncated = true
		r.Apply(ex)
		if left := string(ex.Request.Bytes); ex.Request.Withheld != c.withheld || strings.Contains(c.body, "word") && (strings.Contains(left, `"x`) || strings.Contains(left, ">x")) {
			t.Errorf("%s %q: withheld %v", c.contentType, c.body, ex.Request.Withheld)
		}
	}
}

// Whatever strangers put around it, a value under a rule's name does not stay, and what was redacted
// once is not changed by a second time.
func FuzzFields(f *testing.F) {
	for kind := range uint8(4) {
		f.Add(kind, []byte("<a>"), []byte("</a>"))
		f.Add(kind, []byte("<!-- "), []byte(" -->"))
		f.Add(kind, []byte("<a b='"), []byte("'/>"))
		f.Add(kind, []byte("a: \"\n"), []byte("\\\""))
		f.Add(kind, []byte("token='"), []byte("'\n  x"))
		f.Add(kind, []byte("<token>"), []byte("</token><!DOCTYPE a>"))
	}
	r := newRedactor(f, Defaults())
	f.Fuzz(func(t *testing.T, kind uint8, before, after []byte) {
		if bytes.Contains(before, []byte("m4")) || bytes.Contains(after, []byte("m4")) {
			return
		}
		contentType, planted := "", ""
		switch kind % 4 {
		case 0:
			contentType, planted = "application/xml", "<password>"+marker1+"</password>"
		case 1:
			contentType, planted = "application/xml", `<a password="`+marker1+`"/>`
		case 2:
			contentType, planted = "text/plain", "\npassword="+marker1+"\n"
		case 3:
			contentType, planted, before = "application/javascript", `cb({"password":"`+marker1+`"}`, nil
		}
		body := string(before) + planted + string(after)
		ex := exchange(contentType, "", body)
		r.Apply(ex)
		if bytes.Contains(ex.Request.Bytes, []byte(marker1)) {
			t.Fatalf("the marker survives:\n%q\n%q", body, ex.Request.Bytes)
		}
		if ex.Request.Withheld {
			return
		}
		again := exchange(contentType, "", string(ex.Request.Bytes))
		r.Apply(again)
		if !again.Request.Withheld && !bytes.Equal(again.Request.Bytes, ex.Request.Bytes) {
			t.Fatalf("%q\n%q\n%q", body, ex.Request.Bytes, again.Request.Bytes)
		}
	})
}

func BenchmarkFields(b *testing.B) {
	r, err := New(Defaults())
	if err != nil {
		b.Fatal(err)
	}
	for _, c := range []struct{ name, contentType, text string }{
		{"XML", "application/xml", "<user><id>5</id><first>Janet</first><avatar href=\"https://example.com/img/5.jpg\"/></user>"},
		{"text", "text/plain", "2026-11-20T10:00:00Z level=info msg=\"call passed on\" status=200\n"},
	} {
		b.Run(c.name, func(b *testing.B) {
			doc := []byte(strings.Repeat(c.text, 10<<10/len(c.text)))
			h := tapway.Header{{Name: "Content-Type", Value: c.contentType}}
			b.SetBytes(int64(len(doc)))
			b.ReportAllocs()
			for b.Loop() {
				body := tapway.Body{Bytes: doc, Size: int64(len(doc)), Summed: true}
				r.body(&body, h)
			}
		})
	}
}
