package waf

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/corazawaf/coraza/v3/collection"
	"github.com/tidwall/gjson"
)

// collected is a collection that keeps what is added.
type collected struct {
	collection.Map
	all []string
}

func (c *collected) Add(key, value string) { c.all = append(c.all, key+"="+value) }

// TestReadJSON: which values of a JSON text the rules are asked about.
func TestReadJSON(t *testing.T) {
	for _, tt := range []struct {
		text     string
		literals bool
		want     string
	}{
		{`{"a":"x","b":{"c":"y"}}`, false, "json.a=x json.b.c=y"},
		{`{"a":[{"b":"x"},{"b":"y"},{"b":"x"}]}`, false, "json.a.b=x json.a.b=y"},
		{`["x",["y"]]`, false, "json=x json=y"},
		{`"x"`, false, "json=x"},
		{`{"a":1,"b":true,"c":null,"d":-1.5e+7,"a":2}`, false, "json.a= json.b= json.c= json.d="},
		{`{"a":1,"b":true,"c":null}`, true, "json.a=1 json.b=true json.c="},
		{`{"a":"1","b":"true"}`, false, "json.a=1 json.b=true"},
		{`{"a":"\u003cb>"}`, false, "json.a=<b>"},
		{`{"<b>":1}`, false, "json.<b>="},
		{`{}`, false, ""},
		{`{"a":1';DROP--}`, false, "json.a=1';DROP--"},
	} {
		args := new(collected)
		w := &jsonWalk{args: args, room: 10, seen: map[[2]string]struct{}{}, name: []byte("json"), literals: tt.literals}
		w.value(gjson.Parse(tt.text), 5)
		if got := strings.Join(args.all, " "); got != tt.want || w.full || w.deep {
			t.Errorf("%s: %s, want %s", tt.text, got, tt.want)
		}
	}
	for n, full := range map[int]bool{10: false, 11: true} {
		args := new(collected)
		w := &jsonWalk{args: args, room: 10, seen: map[[2]string]struct{}{}, name: []byte("json")}
		w.value(gjson.Parse("["+strings.Join(slices.Repeat([]string{"1"}, n), ",")+"]"), 5)
		if w.full != full {
			t.Errorf("%d values: full %v", n, w.full)
		}
	}
	for text, want := range map[string]int{`[[1]]`: 2, `{"a":"[[[["}`: 1, `["\"[["]`: 1, `"[`: 0} {
		if got := nesting(text); got != want {
			t.Errorf("%s: %d levels, want %d", text, got, want)
		}
	}
}

// TestJSON: wherever in a text an attack stands, it is found; and a rule of one's own has the numbers too.
func TestJSON(t *testing.T) {
	w := newWorld(t, nil)
	const attack = "1' UNION SELECT password FROM users-- -"
	for name, text := range map[string]string{
		"in the last of many": `{"a":[` + strings.Repeat(`{"b":"x"},`, 300) + `{"b":"` + attack + `"}]}`,
		"in a name":           `{"a":[{"` + attack + `":1}]}`,
		"in an array":         `[["x"],["` + attack + `"]]`,
		"a text alone":        `"` + attack + `"`,
		"escaped":             `{"a":"1\u0027 UNION SELECT password FROM users-- -"}`,
	} {
		if status, _ := w.send("POST", "/items", json, text); status != 403 {
			t.Errorf("%s: %d %s", name, status, w.last())
		}
	}
	for depth, want := range map[int]int{512: 200, 513: 403, 50_000: 403} {
		if status, _ := w.send("POST", "/items", json, strings.Repeat("[", depth)+strings.Repeat("]", depth)); status != want {
			t.Errorf("%d levels: %d, want %d", depth, status, want)
		}
	}
	for n, want := range map[int]int{1000: 200, 1001: 403} {
		if status, _ := w.send("POST", "/items", json, "["+strings.Repeat("1,", n-1)+"1]"); status != want {
			t.Errorf("%d values: %d, want %d", n, status, want)
		}
	}
	own := write(t, "own.conf", `SecRule ARGS:json.items.amount "@gt 100" "id:1000001,phase:2,deny,msg:'Too many'"`+"\n")
	w = newWorld(t, func(c *Config) { c.Rules = []string{own} })
	for amount, want := range map[int]int{100: 200, 101: 403} {
		if status, _ := w.send("POST", "/items", json, fmt.Sprintf(`{"items":[{"amount":1},{"amount":%d}]}`, amount)); status != want {
			t.Errorf("an amount of %d: %d, want %d", amount, status, want)
		}
	}
}
