package access

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

// TestTokenForms: forms of a token and of the header around it that another reader could take for something else.
func TestTokenForms(t *testing.T) {
	good := bearer("EdDSA", "")[7:]
	header, rest, _ := strings.Cut(good, ".")
	with := func(header string) string { return "Bearer " + mint("EdDSA", header, payload("")) }
	claims := func(more string) string { return bearer("EdDSA", more) }
	for _, tt := range []struct {
		name, value string
		status      int
	}{
		{"as it is", "Bearer " + good, 200},
		{"in capitals", "BEARER " + good, 200},
		{"two blanks", "Bearer  " + good, 200},
		{"a tab", "Bearer\t" + good, 401},
		{"twice", "Bearer Bearer " + good, 401},
		{"a blank behind", "Bearer " + good + " ", 401},
		{"two in a list", "Bearer " + good + ", Bearer " + good, 401},
		{"a parameter behind", "Bearer " + good + ",x=1", 401},
		{"quoted", `Bearer "` + good + `"`, 401},
		{"encrypted, five parts", "Bearer " + good + "..", 401},
		{"padded", "Bearer " + header + "=." + rest, 401},
		{"a line feed within", "Bearer " + header + "\n." + rest, 401},
		{"the longest", "Bearer " + strings.Repeat("a", MaxToken-7), 401},
		{"beyond it", "Bearer " + strings.Repeat("a", MaxToken), 401},
		{"white space in the JSON", with(` { "alg" : "EdDSA" } `), 200},
		{"alg escaped", with(`{"\u0061lg":"EdDSA"}`), 200}, // the same name
		{"alg escaped, and again", with(`{"\u0061lg":"EdDSA","alg":"EdDSA"}`), 401},
		{"ALG beside alg", with(`{"alg":"EdDSA","ALG":"none"}`), 200}, // another name, and none that is read
		{"ALG alone", with(`{"ALG":"EdDSA"}`), 401},
		{"alg a list", with(`{"alg":["EdDSA"]}`), 401},
		{"alg null", with(`{"alg":null}`), 401},
		{"kid a path", with(`{"alg":"EdDSA","kid":"../../dev/null"}`), 401},
		{"kid a number", with(`{"alg":"EdDSA","kid":0}`), 401},
		{"kid empty", with(`{"alg":"EdDSA","kid":""}`), 200}, // as if there were none
		{"kid too long", with(`{"alg":"EdDSA","kid":"` + strings.Repeat("k", maxKid+1) + `"}`), 401},
		{"b64 true", with(`{"alg":"EdDSA","b64":true}`), 401},
		{"crit null", with(`{"alg":"EdDSA","crit":null}`), 401},
		{"zip", with(`{"alg":"EdDSA","zip":"DEF","cty":"JWT"}`), 200}, // means nothing in a JWS
		{"typ of another kind", with(`{"alg":"EdDSA","typ":"secevent+jwt"}`), 401},
		{"a name twice, deep", claims(`,"a":{"b":[{"c":1,"c":2}]}`), 401},
		{"nbf null", claims(`,"nbf":null`), 401},
		{"nbf a text", claims(`,"nbf":"0"`), 401},
		{"nbf before 1970", claims(`,"nbf":-1`), 401},
		{"nbf beyond all times", claims(`,"nbf":1e12`), 401},
		{"scope a list", claims(`,"scope":["read"]`), 200},
		{"scope a list of numbers", claims(`,"scope":[1]`), 401},
		{"scope null", claims(`,"scope":null`), 401},
		{"scope an object", claims(`,"scope":{"read":true}`), 401},
		{"aud twice", claims(`,"aud":"other"`), 401},
		{"AUD beside aud", claims(`,"AUD":"x"`), 200},
	} {
		w := jwtWorld(t, newJWT(newIDP(allKeys()...)))
		if got := w.get(t, "/", "Authorization", tt.value); got.status != tt.status || (w.served > 0) != (tt.status == 200) {
			t.Errorf("%s: %d %s, want %d", tt.name, got.status, w.call.Error, tt.status)
		}
	}
	for text, ok := range map[string]bool{
		`"api"`: true, `["api"]`: true, `["x","api"]`: true, `[]`: false, `[null]`: false, `["api",1]`: false, `[["api"]]`: false, `{"api":1}`: false,
		`null`: false, `"API"`: false, `"api "`: false, `"api,x"`: false, `"api x"`: false, `""`: false, `true`: false,
	} {
		w := jwtWorld(t, newJWT(newIDP(allKeys()...)))
		token := mint("EdDSA", `{"alg":"EdDSA"}`, fmt.Sprintf(`{"iss":%q,"exp":1850000000,"client_id":"api","aud":%s}`, issuer, text))
		if got := w.get(t, "/", "Authorization", "Bearer "+token); (got.status == 200) != ok {
			t.Errorf("aud %s: %d", text, got.status)
		}
	}
}

// TestKeyStorm: a flood of tokens with keys that nobody knows has the provider asked twice a minute, and holds up neither
// known tokens nor a new key for longer than that.
func TestKeyStorm(t *testing.T) {
	ed, ec := keyText(signers()["Ed25519"], "old", ""), keyText(signers()["P-256"], "new", "")
	p := newIDP(ed)
	w := jwtWorld(t, newJWT(p))
	old := "Bearer " + mint("EdDSA", `{"alg":"EdDSA","kid":"old"}`, payload(""))
	fresh := "Bearer " + mint("ES256", `{"alg":"ES256","kid":"new"}`, payload(""))
	rotated := time.Duration(-1)
	const lasts = 120 * time.Second
	for at := time.Duration(0); at < lasts; at += 250 * time.Millisecond {
		w.now = epoch.Add(at)
		forged := mint("EdDSA", fmt.Sprintf(`{"alg":"EdDSA","kid":"k%d"}`, at), payload(""))
		if got := w.get(t, "/", "Authorization", "Bearer "+forged); got.status != 401 {
			t.Fatalf("a token with an unknown key: %d", got.status)
		}
		if got := w.get(t, "/", "Authorization", old); got.status != 200 {
			t.Fatalf("a known token: %d after %v", got.status, at)
		}
		if at == lasts/2+time.Second {
			p.publish(ed, ec)
		}
		if got := w.get(t, "/", "Authorization", fresh); got.status == 200 && rotated < 0 {
			rotated = at - lasts/2 - time.Second
		}
	}
	if most := 2 * (2 + int(lasts/unknownKeys)); len(p.asked) > most { // two documents each time
		t.Errorf("%d documents were asked for, want %d at most", len(p.asked), most)
	}
	if rotated < 0 || rotated > unknownKeys {
		t.Errorf("the new key counted after %v", rotated)
	}
	p.down = true
	asked := len(p.asked)
	for at := lasts; at < 2*lasts; at += time.Second {
		w.now = epoch.Add(at)
		forged := mint("EdDSA", fmt.Sprintf(`{"alg":"EdDSA","kid":"d%d"}`, at), payload(""))
		if got := w.get(t, "/", "Authorization", "Bearer "+forged); got.status != 401 {
			t.Fatalf("while the provider is down: %d", got.status)
		}
	}
	if n := len(p.asked) - asked; n > 1+int(lasts/retryKeys) {
		t.Errorf("%d questions while the provider was down", n)
	}
}
