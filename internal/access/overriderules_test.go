package access

import (
	"net/http"
	"strings"
	"testing"
	"time"
)

// overridePolicy allows all but DELETE, and deletes below /own.
const overridePolicy = `{"Version":"2012-10-17","Statement":[
	{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},
	{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*/DELETE/*"}]}`

// TestOverridePolicy: the resource policy is asked about every method that a call asks for.
func TestOverridePolicy(t *testing.T) {
	policy, err := ParsePolicy([]byte(overridePolicy))
	if err != nil {
		t.Fatal(err)
	}
	methods := &Methods{Policy: policy, Forms: &Bodies{Max: MaxForm, Total: 4 * MaxForm, State: NewState(nil, time.Now())}}
	if !methods.Needed() {
		t.Error("the policy tells methods apart")
	}
	w := newWorld(t, &PolicyDecider{Policy: policy}, methods)
	for _, tt := range []struct {
		target, header, value, kind, body string
		status                            int
		by                                string
	}{
		{"/x", "", "", "", "", 200, ""},
		{"/x", "X-Http-Method-Override", "PUT", "", "", 200, ""},
		{"/x", "X-Http-Method-Override", "delete", "", "", 403, "resource_policy"},
		{"/x", "X-Http-Method-Override", "DELETE, PUT", "", "", 403, "resource_policy"},
		{"/x", "X_method_override", " DELETE ", "", "", 403, "resource_policy"},
		{"/x?_method=DELETE", "", "", "", "", 403, "resource_policy"},
		{"/x?_method=PUT&_method=DELETE", "", "", "", "", 403, "resource_policy"},
		{"/x?_method=a&_method=b&_method=c&_method=d", "", "", "", "", 403, "resource_policy"},
		{"/x", "", "", urlencoded, "_method=PUT", 200, ""},
		{"/x", "", "", urlencoded, "_method=DELETE", 403, "methods"},
		{"/x", "", "", "application/json", `{"_method":"DELETE"}`, 403, "methods"},
		{"/x", "", "", "multipart/form-data; boundary=B", "--B\r\nContent-Disposition: form-data; name=_method\r\n\r\nDELETE\r\n--B--", 403, "methods"},
	} {
		w.seen = nil
		header := http.Header{"Content-Type": {tt.kind}}
		if tt.kind == "" {
			header.Set("Content-Type", "text/plain")
		}
		if tt.header != "" {
			header[tt.header] = []string{tt.value}
		}
		status, _, _ := w.postForm(t, tt.target, header, strings.NewReader(tt.body))
		if status != tt.status || strings.Join(w.seen, " ") != tt.by {
			t.Errorf("%s %s: %s %q: %d by %v", tt.target, tt.header, tt.value, tt.body, status, w.seen)
		}
	}
	// Far behind, when the call is with the backend already.
	for method, allowed := range map[string]bool{"PUT": true, "DELETE": false, "PURGE": false} {
		status, got, err := w.postForm(t, "/x", http.Header{"Content-Type": {urlencoded}}, strings.NewReader("a="+strings.Repeat("x", 2*formAhead)+"&_method="+method))
		if (err == nil) != allowed || strings.Contains(string(got), "_method") != allowed {
			t.Errorf("%s: %d, %v after %d bytes", method, status, err, len(got))
		}
	}
}

// TestOverridePolicyMethods: which policies tell methods apart, so that bodies are looked into.
func TestOverridePolicyMethods(t *testing.T) {
	for resource, want := range map[string]bool{
		"*": false, "execute-api:/*": false, "execute-api:/prod/*": false, "execute-api:/prod/*/pets": false, "execute-api:/*/*/pets/?x": false,
		"arn:aws:execute-api:eu-west-1:1:api/*": false, "arn:aws:execute-api:eu-west-1:1:*/*": false, "arn:aws:execute-api:eu-west-1:1:api/*/*/pets": false,
		"execute-api:/prod/GET/pets": true, "execute-api:/*/GET/*": true, "execute-api:/*/G?T/*": true, "execute-api:/*/pets": true, "execute-api:/pr*E/*": true, "execute-api:/*T/x": true,
		"arn:aws:execute-api:eu-west-1:1:api/prod/GET/*": true, "arn:aws:execute-api:eu-west-1:1:*/prod/GET/*": true, "execute-api:/prod/*/": false,
	} {
		policy, err := ParsePolicy([]byte(strings.Replace(overridePolicy, "execute-api:/*/DELETE/*", resource, 1)))
		if err != nil {
			t.Fatalf("%s: %v", resource, err)
		}
		if policy.byMethod != want {
			t.Errorf("%s: %v", resource, policy.byMethod)
		}
	}
}

// TestOverrideRoutes: a call has the rules of every method that it asks for, and a body cannot ask for one that has stricter ones.
func TestOverrideRoutes(t *testing.T) {
	state := NewState(nil, time.Unix(1700000000, 0))
	rules := &Rules{List: []Rule{
		{Match: mustPattern(t, "DELETE /x"), APIKey: Required},
		{Match: mustPattern(t, "PUT /x"), Throttle: state.Throttle("put", Rate{PerSecond: 1, Burst: 1})},
		{Match: mustPattern(t, "ANY /free"), APIKey: Off},
	}}
	methods := &Methods{Rules: rules, Forms: &Bodies{Max: MaxForm, Total: 4 * MaxForm, State: state}}
	if !methods.Needed() || (&Methods{Rules: &Rules{List: rules.List[1:]}}).Needed() {
		t.Error("methods are needed for the first entry alone")
	}
	w := newWorld(t, &Keys{Default: Off, Rules: rules}, &Plans{Rules: rules, State: state}, methods)
	w.now = time.Unix(1700000000, 0)
	json := http.Header{"Content-Type": {"application/json"}}
	for _, tt := range []struct {
		target, header, body string
		status               int
		by                   string
	}{
		{"/x", "", "{}", 200, ""},
		{"/x", "DELETE", "{}", 403, "api_key"},
		{"/x?_method=delete", "", "{}", 403, "api_key"},
		{"/free", "DELETE", "{}", 200, ""},
		{"/x", "PUT", "{}", 200, ""},
		{"/x", "PUT", "{}", 429, "plan"}, // the entry's rate is used up
		{"/x", "", "{}", 200, ""},
		{"/x", "", `{"_method":"DELETE"}`, 403, "methods"},
		{"/x", "", `{"_method":"PUT"}`, 200, ""}, // asks for no more
		{"/free", "", `{"_method":"DELETE"}`, 200, ""},
		{"/x/", "", `{"_method":"DELETE"}`, 403, "methods"},
		{"/y", "", `{"_method":"DELETE"}`, 200, ""},
	} {
		w.seen = nil
		header := json.Clone()
		if tt.header != "" {
			header.Set("X-HTTP-Method-Override", tt.header)
		}
		status, _, _ := w.postForm(t, tt.target, header, strings.NewReader(tt.body))
		if status != tt.status || strings.Join(w.seen, " ") != tt.by {
			t.Errorf("%s %s %s: %d by %v", tt.target, tt.header, tt.body, status, w.seen)
		}
	}
}

// TestOverridePlan: a key's rate for a route counts for a call that asks for the route's method.
func TestOverridePlan(t *testing.T) {
	plan := &UsagePlan{Name: "a", Rate: &Rate{PerSecond: 1, Burst: 10}, Routes: []PlanRoute{{Match: mustPattern(t, "DELETE /x"), Rate: Rate{PerSecond: 1, Burst: 1}}}}
	for header, want := range map[string][]int{"": {-1}, "DELETE": {-1, 0}, "PUT": {-1}} {
		r := &Request{HTTP: &http.Request{Method: "POST", Header: http.Header{}, RequestURI: "/x"}, Path: "/x"}
		if header != "" {
			r.HTTP.Header.Set("X-Method-Override", header)
		}
		list, whole := plan.routes(r)
		if whole {
			list = append([]int{-1}, list...)
		}
		if len(list) != len(want) || list[len(list)-1] != want[len(want)-1] {
			t.Errorf("%s: %v", header, list)
		}
	}
}

// TestOverrideCredential: an access key that is for some methods is for no others.
func TestOverrideCredential(t *testing.T) {
	c := &Credential{Routes: []Pattern{mustPattern(t, "POST /x"), mustPattern(t, "PUT /x")}}
	iam := &IAM{Credentials: map[string]*Credential{"a": c}}
	if !iam.byMethod() || (&IAM{Credentials: map[string]*Credential{"a": {Routes: []Pattern{mustPattern(t, "/x")}}}}).byMethod() {
		t.Error("which credentials tell methods apart")
	}
	for header, want := range map[string]bool{"PUT": true, "DELETE": false, "PUT,DELETE": false} {
		r := &Request{HTTP: &http.Request{Method: "POST", Header: http.Header{"X-Http-Method": {header}}, RequestURI: "/x"}, Path: "/x"}
		if c.may(r) != want {
			t.Errorf("%s: %v", header, !want)
		}
	}
	r := &Request{HTTP: &http.Request{Method: "POST", Header: http.Header{}, RequestURI: "/x"}, Path: "/x", credential: c}
	if !iam.mayMethod(r, "PUT") || iam.mayMethod(r, "DELETE") {
		t.Error("what its body may ask for")
	}
}
