package access

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestOddSpellings: spellings that only some servers understand, with neighbours that are something else to them as well.
func TestOddSpellings(t *testing.T) {
	f := newFilter([]string{"/secret/kıt"})
	for path, want := range map[string]bool{
		"/%u0073ecret/kit": true, "/%U0073ecret/kit": true, "%u002fsecret/kit": true, "/x/%u002e%u002e/secret/kit": true, "/secret%u002fkit": true,
		"/%25u0073ecret/kit": true, "/%u00250073ecret/kit": false, "/%u002573ecret/kit": true, "/secret%u005ckit": true, "/secret/kit%u0000.png": true,
		"/%u0074ecret/kit": false, "/%u007ecret/kit": false, "/%u73ecret/kit": false, "/%u": false, "/%u00": false, "/secret/kit%u0078": false,
		"/x/%c0%ae%c0%ae/secret/kit": true, "/secret%c0%afkit": true, "/secret\xc0\xafkit": true, "/secret%c1%9ckit": true, "/%c1%b3ecret/kit": true,
		"/secret%e0%80%afkit": true, "/secret%f0%80%80%afkit": true, "/secret%f8%80%80%80%afkit": true, "/secret%fc%80%80%80%80%afkit": true, "/secret%25c0%25afkit": true,
		"/secret%c0%2fkit": false, "/secret%c0kit": false, "/secret%c2%afkit": false, "/secret%e0%82%afkit": false, "/secret%c0": false, "/%e0%80": false, "/\xfc\x80": false,
		"/secret／kit": true, "/%ef%bc%8fsecret/kit": true, "/ｓｅｃｒｅｔ/kit": true, "/ＳECRET/kit": true, "/%uff0fsecret/kit": true, "/secret/kit%ef%bc%81": false, "/%ef": false, "/ｘ": false,
		"/ſecret/kit": true, "/SECRET/KIT": true, "/secret/KİT": true, "/secret/kIt": true, "/%c5%bfecret/\u212ait": true, "/secret/két": false, "/secreŧ/kit": false,
	} {
		if f.blocks(path) != want {
			t.Errorf("%q is blocked: %v", path, !want)
		}
	}
}

// spell writes a character in one of the ways in which some server reads it as that.
func spell(rt *rapid.T, c byte) string {
	switch rapid.IntRange(0, 7).Draw(rt, "spelling") {
	case 0:
		return fmt.Sprintf("%%%02x", c)
	case 1:
		return fmt.Sprintf("%%u%04X", c)
	case 2:
		return fmt.Sprintf("%%%02x%%%02x", 0xc0|c>>6, 0x80|c&0x3f)
	case 3:
		return fmt.Sprintf("%%E0%%%02X%%%02X", 0x80|c>>6, 0x80|c&0x3f)
	case 4:
		return fmt.Sprintf("%%uFF%02x", c-0x20)
	case 5:
		return string(rune(c) + 0xfee0)
	case 6:
		return strings.ToUpper(string(c))
	}
	return string(c)
}

// TestAnySpelling: every character of a path in any of its spellings, encoded again up to twice, is the path to every rule.
func TestAnySpelling(t *testing.T) {
	policy := mustPolicy(t, policyOf(allowAll, `{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/*/s/a*"}`))
	rules := &Rules{List: []Rule{{Match: mustPattern(t, "ANY /s/a"), APIKey: Required}}}
	filtered := newFilter([]string{"/s/a"})
	keys := &Keys{Default: Off, Rules: rules}
	rapid.Check(t, func(rt *rapid.T) {
		path := ""
		for _, c := range []byte("/s/a") {
			path += spell(rt, c)
		}
		for range rapid.IntRange(0, 2).Draw(rt, "layers") {
			path = strings.ReplaceAll(path, "%", "%25")
		}
		request := func() *Request {
			r := asked{path: "/" + path}.request()
			r.Path = "/" + path // two slashes at its start are one
			return r
		}
		if filtered.Decide(request()) == nil {
			rt.Errorf("%q is not filtered", path)
		}
		if r := request(); keys.Decide(r) != keyMissing {
			rt.Errorf("%q needs no key", path)
		}
		// Letter case counts in a policy.
		if v := policy.Evaluate(request(), Invoke); v.Allowed && !strings.ContainsAny(path, "SA") {
			rt.Errorf("%q: %s", path, v)
		}
	})
}
