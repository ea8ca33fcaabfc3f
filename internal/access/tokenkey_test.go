package access

import (
	"fmt"
	"strings"
	"testing"
)

// TestKeyOfToken: the key in a token counts in place of the header's, for those calls that a token is asked of.
func TestKeyOfToken(t *testing.T) {
	s := newShop(t)
	j := newJWT(newIDP(allKeys()...))
	j.APIKey = "key"
	rules := &Rules{List: []Rule{{Match: mustPattern(t, "GET /machines"), Auth: NoAuth}, {Match: mustPattern(t, "GET /public"), APIKey: Off}}}
	j.Rules, s.keys.Rules = rules, rules
	s.rules(j, s.keys, s.plans)
	token := func(more string) string {
		return "Bearer " + mint("EdDSA", `{"alg":"EdDSA"}`, fmt.Sprintf(`{"iss":%q,"aud":"api","exp":1850000000%s}`, issuer, more))
	}
	claim := func(key string) string { return token(`,"key":` + key) }
	gold := claim(`"` + goldKey + `"`)
	for _, tt := range []struct {
		name, path string
		headers    []string
		status     int
		reason     string
		counted    int64
	}{
		{"its key", "/x", []string{"Authorization", gold}, 200, "", 1},
		{"again, when the token is known", "/x", []string{"Authorization", gold}, 200, "", 2},
		{"its rate is used up", "/x", []string{"Authorization", gold}, 429, "throttle: usage plan", 2},
		{"not the header's", "/x", []string{"Authorization", claim(`"` + freeKey + `"`), "X-Api-Key", goldKey}, 200, "", 2},
		{"an unknown one", "/x", []string{"Authorization", claim(`"x"`), "X-Api-Key", freeKey}, 403, "api key: unknown", 2},
		{"an empty one", "/x", []string{"Authorization", claim(`""`), "X-Api-Key", freeKey}, 403, "api key: missing", 2},
		{"none", "/x", []string{"Authorization", token(""), "X-Api-Key", freeKey}, 403, "api key: missing", 2},
		{"a number", "/x", []string{"Authorization", claim("1"), "X-Api-Key", freeKey}, 401, "jwt: token is malformed", 2},
		{"null", "/x", []string{"Authorization", claim("null")}, 401, "jwt: token is malformed", 2},
		{"a list", "/x", []string{"Authorization", claim(`["` + freeKey + `"]`)}, 401, "jwt: token is malformed", 2},
		{"a token that is wrong", "/x", []string{"Authorization", gold + "x", "X-Api-Key", freeKey}, 401, "jwt: token is malformed", 2},
		{"no token", "/x", []string{"X-Api-Key", freeKey}, 401, "jwt: token missing", 2},
		{"where none is asked for, the header", "/machines", []string{"X-Api-Key", freeKey}, 200, "", 2},
		{"and nothing else", "/machines", []string{"Authorization", claim(`"` + freeKey + `"`)}, 403, "api key: missing", 2},
		{"where no key is asked for", "/public", []string{"Authorization", token("")}, 200, "", 2},
	} {
		got := s.get(t, tt.path, tt.headers...)
		if got.status != tt.status || s.call.Error != tt.reason || s.used() != tt.counted {
			t.Errorf("%s: %d %q, %d counted; want %d %q, %d", tt.name, got.status, s.call.Error, s.used(), tt.status, tt.reason, tt.counted)
		}
		if strings.Contains(s.call.Error, goldKey) {
			t.Errorf("%s: the record has the key", tt.name)
		}
	}
	off := newJWT(newIDP(allKeys()...)) // without the setting such a claim is a claim
	s.rules(off, &Keys{Default: Required, Configured: s.keys.Configured, Plans: s.keys.Plans})
	if got := s.get(t, "/x", "Authorization", gold); got.status != 403 || s.call.Error != "api key: missing" {
		t.Errorf("without the setting: %d %s", got.status, s.call.Error)
	}
	if got := s.get(t, "/x", "Authorization", claim("1"), "X-Api-Key", freeKey); got.status != 200 {
		t.Errorf("without the setting, beside a header: %d %s", got.status, s.call.Error)
	}
}
