package access

import (
	"slices"
	"strings"
	"testing"
)

// TestSigV4Changed: what somebody in between may do to a signed call and what not.
func TestSigV4Changed(t *testing.T) {
	const path, query = "/a%2Fb/c", "x=1&x=2&y=%2B"
	target, signed := sdkSign(t, "service", false, "GET", "https://api.example.com"+path+"?"+query, nil, map[string]string{"X-Custom": "one"}, suiteTime)
	if target != path+"?"+query {
		t.Fatal(target)
	}
	for _, tt := range []struct {
		name, method, target, body string
		headers                    []string // in place of the signed ones of their names; a value "-" takes one out
		status                     int
	}{
		{"nothing", "GET", target, "", nil, 200},
		{"path encoded twice", "GET", "/a%252Fb/c?" + query, "", nil, 403},
		{"path decoded", "GET", "/a/b/c?" + query, "", nil, 403},
		{"path in small hex", "GET", "/a%2fb/c?" + query, "", nil, 403},
		{"path with a slash", "GET", path + "/?" + query, "", nil, 403},
		{"path with a parameter", "GET", path + ";x?" + query, "", nil, 403},
		{"order of parameters", "GET", path + "?y=%2B&x=2&x=1", "", nil, 200}, // not signed in AWS either
		{"small hex in the query", "GET", path + "?x=1&x=2&y=%2b", "", nil, 200},
		{"empty parameters", "GET", path + "?&x=1&&x=2&y=%2B&", "", nil, 200},
		{"plus for %2B", "GET", path + "?x=1&x=2&y=+", "", nil, 403},
		{"semicolon", "GET", path + "?x=1;x=2&y=%2B", "", nil, 403},
		{"capitals", "GET", path + "?X=1&x=2&y=%2B", "", nil, 403},
		{"one parameter less", "GET", path + "?x=1&y=%2B", "", nil, 403},
		{"one more, empty", "GET", target + "&z", "", nil, 403},
		{"no query", "GET", path, "", nil, 403},
		{"method in small letters", "get", target, "", nil, 403},
		{"a body", "GET", target, "x", nil, 403},
		{"blanks around a header", "GET", target, "", []string{"X-Custom", "  one "}, 200},
		{"header in capitals", "GET", target, "", []string{"X-Custom", "ONE"}, 403},
		{"header twice", "GET", target, "", []string{"X-Custom", "one", "X-Custom", "one"}, 403},
		{"header with an empty second", "GET", target, "", []string{"X-Custom", "one", "X-Custom", ""}, 403},
		{"header gone", "GET", target, "", []string{"X-Custom", "-"}, 403},
		{"header dropped on the way", "GET", target, "", []string{"Connection", "X-Custom"}, 403},
		{"header dropped among others", "GET", target, "", []string{"Connection", "close", "Connection", "keep-alive ,\tx-custom"}, 403},
		{"date dropped on the way", "GET", target, "", []string{"Connection", "x-amz-date"}, 403},
		{"another header dropped", "GET", target, "", []string{"Connection", "keep-alive, X-Custom-2"}, 200},
		{"another header", "GET", target, "", []string{"X-Custom-2", "two"}, 200}, // only what is signed is proved
		{"host with its port", "GET", target, "", []string{"Host", "api.example.com:443"}, 403},
		{"host in capitals", "GET", target, "", []string{"Host", "API.example.com"}, 403},
		{"host with a dot", "GET", target, "", []string{"Host", "api.example.com."}, 403},
		{"two dates", "GET", target, "", []string{"X-Amz-Date", suiteDate, "X-Amz-Date", suiteDate}, 403},
		{"another date", "GET", target, "", []string{"X-Amz-Date", "20150830T123601Z"}, 403},
		{"date with a fraction", "GET", target, "", []string{"X-Amz-Date", "20150830T123600.0Z"}, 403},
		{"hash of the body twice", "GET", target, "", []string{"X-Amz-Content-Sha256", emptyHash, "X-Amz-Content-Sha256", emptyHash}, 403},
		{"hash of the body that was not signed", "GET", target, "", []string{"X-Amz-Content-Sha256", emptyHash}, 200}, // it is the body's
		{"hash in capitals", "GET", target, "", []string{"X-Amz-Content-Sha256", strings.ToUpper(emptyHash)}, 403},
		{"unsigned payload", "GET", target, "x", []string{"X-Amz-Content-Sha256", unsignedPayload}, 403},
		{"a session token", "GET", target, "", []string{"X-Amz-Security-Token", "x"}, 403},
		{"a method asked for", "GET", target + "&_method=DELETE", "", nil, 403},
	} {
		w := iamWorld(t, newIAM())
		var headers []string
		for i := 0; i < len(signed); i += 2 {
			if replaced := slices.ContainsFunc(slices.Collect(slices.Chunk(tt.headers, 2)), func(pair []string) bool { return pair[0] == signed[i] }); !replaced {
				headers = append(headers, signed[i], signed[i+1])
			}
		}
		for i := 0; i < len(tt.headers); i += 2 {
			if tt.headers[i+1] != "-" {
				headers = append(headers, tt.headers[i], tt.headers[i+1])
			}
		}
		if got, _ := w.ask(t, tt.method, tt.target, tt.body, headers...); got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", tt.name, got.status, w.call.Error, tt.status)
		}
	}
}

// TestPresignedChanged: likewise of a presigned URL, by whoever has it.
func TestPresignedChanged(t *testing.T) {
	target, headers := sdkSign(t, "service", true, "GET", "https://api.example.com/x?a=1", nil, nil, suiteTime)
	signature := target[strings.Index(target, "X-Amz-Signature=")+len("X-Amz-Signature="):]
	replace := func(old, new string) string {
		if !strings.Contains(target, old) {
			t.Fatalf("%s has no %s", target, old)
		}
		return strings.Replace(target, old, new, 1)
	}
	for name, tt := range map[string]struct {
		target string
		header string
		status int
	}{
		"nothing":                       {target, "", 200},
		"beside a token":                {target, "Bearer x", 200},
		"valid for longer":              {replace("X-Amz-Expires=60", "X-Amz-Expires=61"), "", 403},
		"for longer, said again":        {target + "&X-Amz-Expires=61", "", 403},
		"for longer, encoded":           {target + "&X-Amz-%45xpires=61", "", 403},
		"for longer, in small letters":  {target + "&x-amz-expires=61", "", 403},
		"for longer, with zeros":        {replace("X-Amz-Expires=60", "X-Amz-Expires=060"), "", 403},
		"its name encoded":              {replace("X-Amz-Expires=60", "X-Amz-%45xpires=60"), "", 200}, // the same parameter
		"without its time":              {replace("&X-Amz-Expires=60", ""), "", 403},
		"without its headers":           {replace("X-Amz-SignedHeaders=host", "x=1"), "", 403},
		"a session token":               {target + "&X-Amz-Security-Token=x", "", 403},
		"unsigned payload":              {target + "&X-Amz-Content-Sha256=UNSIGNED-PAYLOAD", "", 403},
		"signature in capitals":         {replace(signature, strings.ToUpper(signature)), "", 403},
		"signature twice":               {target + "&X-Amz-Signature=" + signature, "", 403},
		"another parameter":             {target + "&b", "", 403},
		"another path":                  {replace("/x?", "/y?"), "", 403},
		"another path through this one": {replace("/x?", "/x/../y?"), "", 403},
		"signed in its header as well":  {target, authorization("host;x-amz-date", signature[:64]), 403},
	} {
		w := iamWorld(t, newIAM())
		more := headers
		if tt.header != "" {
			more = append(headers[:len(headers):len(headers)], "Authorization", tt.header)
		}
		if got, _ := w.ask(t, "GET", tt.target, "", more...); got.status != tt.status {
			t.Errorf("%s: %d %s, want %d", name, got.status, w.call.Error, tt.status)
		}
	}
}
