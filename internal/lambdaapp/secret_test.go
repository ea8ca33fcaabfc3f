package lambdaapp

import (
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/tapway/tapway/internal/lambdaruntime"
	"github.com/tapway/tapway/internal/lambdaruntime/runtimetest"
	"github.com/tapway/tapway/internal/queue/sqsqueue/sqstest"
)

// vault is Secrets Manager and the Parameter Store.
type vault struct {
	values map[string]string // names of secrets and parameters
	refuse string            // what every call is refused with

	mu    sync.Mutex
	calls int
}

func (v *vault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	v.mu.Lock()
	v.calls++
	v.mu.Unlock()
	if v.refuse != "" {
		w.WriteHeader(http.StatusBadRequest)
		_ = json.NewEncoder(w).Encode(map[string]string{"__type": v.refuse})
		return
	}
	if id := gjson.GetBytes(body, "SecretId").String(); id != "" {
		_ = json.NewEncoder(w).Encode(map[string]string{"Name": id, "SecretString": v.values[id]})
		return
	}
	list := []map[string]string{}
	for _, name := range gjson.GetBytes(body, "Names").Array() {
		if value, ok := v.values[name.String()]; ok {
			list = append(list, map[string]string{"Name": name.String(), "Value": value})
		}
	}
	_ = json.NewEncoder(w).Encode(map[string]any{"Parameters": list})
}

// keep gives the world's functions a vault.
func (w *world) keep(values map[string]string) *vault {
	v := &vault{values: values}
	w.env["AWS_ENDPOINT_URL_SECRETS_MANAGER"] = w.serve(v)
	w.env["AWS_ENDPOINT_URL_SSM"] = w.env["AWS_ENDPOINT_URL_SECRETS_MANAGER"]
	return v
}

// TestSecrets: what is kept in Secrets Manager and in the Parameter Store is used, is asked
// for once in an environment's life, and is in no line that a function writes: not when calls
// work, and not when everything fails.
func TestSecrets(t *testing.T) {
	const planted = "planted-9f3a1c"
	w := newWorld(t)
	v := w.keep(map[string]string{
		"siem": `{"token":"` + planted + `-token","path":"in/` + planted + `-path"}`, "hook": planted + "-hook", "/backend": w.env["TAPWAY_BACKEND"],
	})
	w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
	writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tapway.yaml", `
destinations:
  - name: siem
    url: `+w.env["TAPWAY_DESTINATION"]+`/${aws-secretsmanager:siem#path}?key=${aws-secretsmanager:siem#token}
    headers: {Authorization: "Bearer ${aws-secretsmanager:siem#token}", X-Key: "${OWN_KEY}"}
    signing_secret: ${aws-secretsmanager:hook}
    retry: {max_attempts: 2}
capture: {redact: {key: "${aws-secretsmanager:hook}"}}
log: {calls: true, level: debug}
`)
	delete(w.env, "TAPWAY_DESTINATION")
	w.env["OWN_KEY"] = "${aws-secretsmanager:siem#token}"
	w.env["TAPWAY_BACKEND"] = "${aws-ssm:/backend}"
	answers := []int{200, 500, 401} // and then the connection breaks
	w.sink = func(rw http.ResponseWriter, r *http.Request, _ []byte) {
		same(t, "authorization", r.Header.Get("Authorization"), "Bearer "+planted+"-token")
		same(t, "a header from a variable", r.Header.Get("X-Key"), planted+"-token")
		same(t, "target", r.RequestURI, "/in/"+planted+"-path?key="+planted+"-token")
		if len(answers) == 0 {
			panic(http.ErrAbortHandler)
		}
		rw.WriteHeader(answers[0])
		answers = answers[1:]
	}
	p, f := w.start(Proxy), w.start(Forwarder)
	same(t, "calls of the vault", v.calls, 2*3) // the secrets siem and hook, and one for the parameters, in either function
	asked := v.calls
	fault := false
	w.sqs.Fault = func(c sqstest.Call) *sqstest.Fault {
		if fault {
			return &sqstest.Fault{Status: 403, Code: "AccessDenied"}
		}
		return nil
	}
	for range len(answers) + 1 {
		result := p.Invoke(t.Context(), urlEvent("GET", "/a?token="+planted, "", "authorization", planted))
		same(t, "status", gjson.GetBytes(result.Body, "statusCode"), 200)
		p.settled(t)
		w.pump()
	}
	w.sink = nil
	fault = true
	p.Invoke(t.Context(), urlEvent("GET", "/spilled", "", "authorization", planted))
	p.settled(t)
	w.s3Fault = func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(http.StatusForbidden); return true }
	p.Do(t.Context(), invocation(urlEvent("GET", "/logged", "", "authorization", planted), 3*time.Second))
	p.settled(t)
	w.backend = func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) }
	p.Do(t.Context(), invocation(urlEvent("GET", "/broken", ""), 3*time.Second))
	p.settled(t)
	same(t, "calls of the vault while calls came", v.calls-asked, 0)
	for name, out := range map[string]string{"log of the proxy": p.log.String(), "log of the forwarder": f.log.String(), "metrics of the proxy": p.metrics.String(), "metrics of the forwarder": f.metrics.String()} {
		if out == "" || strings.Contains(out, planted) || strings.Contains(out, base64.StdEncoding.EncodeToString([]byte(planted))[:12]) {
			t.Errorf("the %s is empty or holds the secret:\n%s", name, out)
		}
		for line := range strings.Lines(out) {
			if !gjson.Valid(line) {
				t.Errorf("the %s has a line that is not JSON: %s", name, line)
			}
		}
	}
	sums := p.sums(t)
	for name, want := range map[string]float64{"calls": 7, "captured": 7, "spilled": 1, "logged": 2, "cold_start": 1} {
		same(t, "the proxy's "+name, sums[name], want)
	}
	for _, name := range []string{"overhead_ms", "backend_ms", "init_ms"} {
		if sums[name] <= 0 {
			t.Errorf("the proxy's %s is %v", name, sums[name])
		}
	}
	sums = f.sums(t)
	for name, want := range map[string]float64{"delivered": 1, "returned": 3, "cold_start": 1} {
		same(t, "the forwarder's "+name, sums[name], want)
	}
}

// A reference that gives nothing fails the init, with what to allow and without any secret.
func TestSecretInitErrors(t *testing.T) {
	const planted = "planted-9f3a1c"
	for _, tt := range []struct {
		name   string
		role   Role
		refuse string
		set    []string
		want   []string
	}{
		{"forbidden", Proxy, "AccessDeniedException", []string{"TAPWAY_BACKEND=${aws-secretsmanager:b}"},
			[]string{"environment variable TAPWAY_BACKEND: backend: ${aws-secretsmanager:b}: AccessDeniedException; allow secretsmanager:GetSecretValue on it"}},
		{"no such parameter", Forwarder, "", []string{"TAPWAY_DESTINATION=${aws-ssm:/none}"}, []string{"environment variable TAPWAY_DESTINATION: destinations: ${aws-ssm:/none}: there is no such parameter in eu-west-1"}},
		{"of the wrong form", Proxy, "", []string{"REQUEST_TIMEOUT=${aws-ssm:/secret}"}, []string{"environment variable REQUEST_TIMEOUT: proxy.timeout: what ${aws-ssm:/secret} gives does not fit here; want a duration"}},
		{"a backend of the wrong form", Proxy, "", []string{"TAPWAY_BACKEND=${aws-ssm:/secret}"}, []string{"environment variable TAPWAY_BACKEND: backend: what ${aws-ssm:/secret} gives does not fit here"}},
		{"a destination of the wrong form", Forwarder, "", []string{"TAPWAY_DESTINATION=${aws-ssm:/secret}"}, []string{"environment variable TAPWAY_DESTINATION", "what ${aws-ssm:/secret} gives does not fit here"}},
		{"a wrong kind", Proxy, "", []string{"TAPWAY_BACKEND=${aws-secretsmanager:}"}, []string{"there is no name behind the colon"}},
		{"a wrong endpoint", Proxy, "", []string{"AWS_ENDPOINT_URL_SSM=localhost"}, []string{"AWS_ENDPOINT_URL_SSM"}},
		{"a key of the wrong form", Forwarder, "", []string{"TAPWAY_CONFIG=tls.yaml"}, []string{"destinations[0].tls.cert: it holds a private key and no certificate"}},
		{"a signing secret of the wrong form", Forwarder, "", []string{"TAPWAY_CONFIG=hook.yaml", "TAPWAY_DESTINATION="}, []string{"destinations[0].signing_secret[0]: what follows whsec_ is not Base64"}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newWorld(t)
			v := w.keep(map[string]string{"/secret": planted, "/pem": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte(planted)})), "/hook": "whsec_" + planted + "!"})
			v.refuse = tt.refuse
			w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
			writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/tls.yaml", "destinations: [{name: a, url: https://a, tls: {cert: \"${aws-ssm:/pem}\", key: \"${aws-ssm:/pem}\"}}]\n")
			writeFile(t, w.env["LAMBDA_TASK_ROOT"]+"/hook.yaml", "destinations: [{name: a, url: https://a, signing_secret: \"${aws-ssm:/hook}\"}]\n")
			if slices.Contains(tt.set, "TAPWAY_CONFIG=tls.yaml") {
				delete(w.env, "TAPWAY_DESTINATION")
			}
			api := runtimetest.Start(t)
			f := &function{API: api, log: new(buffer), metrics: new(buffer)}
			_, err := New(t.Context(), w.options(f, tt.role, tt.set...))
			if err == nil {
				t.Fatal("it starts")
			}
			if told := (&lambdaruntime.Runtime{API: api.Addr()}).InitError(t.Context(), err); told != nil {
				t.Fatal(told)
			}
			heard, err := api.WaitInitError(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			same(t, "type", heard.Type, "Config.Invalid")
			for _, want := range tt.want {
				if !strings.Contains(heard.Message, want) {
					t.Errorf("the message is %q, want %q in it", heard.Message, want)
				}
			}
			if all := heard.Message + f.log.String() + f.metrics.String(); strings.Contains(all, planted) {
				t.Errorf("the secret is told: %s", all)
			}
		})
	}
}

// A backend with a certificate of a private CA, which comes with the package, as a parameter, or
// stands in the configuration.
func TestPrivateCA(t *testing.T) {
	backend := httptest.NewTLSServer(http.HandlerFunc(func(rw http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(rw, "private") }))
	defer backend.Close()
	ca := string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: backend.Certificate().Raw}))
	for name, value := range map[string]string{
		"a file of the package": "ca.pem", "a parameter": "${aws-ssm:/ca}", "in place": "|\n      " + strings.ReplaceAll(strings.TrimSpace(ca), "\n", "\n      "), "a file as a value": "${file:ca.pem}",
	} {
		for _, from := range []string{"bundled", "S3"} {
			t.Run(name+"/"+from, func(t *testing.T) {
				w := newWorld(t)
				w.keep(map[string]string{"/ca": ca})
				root := t.TempDir()
				w.env["LAMBDA_TASK_ROOT"] = root
				writeFile(t, root+"/ca.pem", ca)
				text := "backend: " + backend.URL + "\nproxy:\n  tls:\n    ca: " + value + "\n"
				set := "TAPWAY_CONFIG=s3://objects/conf/tapway.yaml"
				if from == "bundled" {
					writeFile(t, root+"/tapway.yaml", text)
					set = "TAPWAY_CONFIG="
				} else {
					w.put("conf/tapway.yaml", text)
				}
				p := w.start(Proxy, set, "TAPWAY_BACKEND=")
				result := p.Invoke(t.Context(), urlEvent("GET", "/a", ""))
				same(t, "body", gjson.GetBytes(result.Body, "body"), "private")
				p.settled(t)
			})
		}
	}
	w := newWorld(t)
	p := w.start(Proxy, "TAPWAY_BACKEND="+backend.URL)
	result := p.Invoke(t.Context(), urlEvent("GET", "/a", ""))
	same(t, "without the CA", gjson.GetBytes(result.Body, "statusCode"), 502)
	p.settled(t)
}

func (w *world) put(key, text string) {
	w.t.Helper()
	if _, err := w.s3.PutObject("objects", key, nil, strings.NewReader(text), int64(len(text)), nil); err != nil {
		w.t.Fatal(err)
	}
}

// A file that a configuration in S3 names is one of the package, and the error says so.
func TestFileOfAConfigurationInS3(t *testing.T) {
	w := newWorld(t)
	w.env["LAMBDA_TASK_ROOT"] = t.TempDir()
	w.put("tapway.yaml", "proxy: {tls: {ca: ca.pem}}\n")
	_, err := New(t.Context(), w.options(&function{log: new(buffer), metrics: new(buffer)}, Proxy, "TAPWAY_CONFIG=s3://objects/tapway.yaml"))
	for _, want := range []string{"s3://objects/tapway.yaml:1:19: proxy.tls.ca: cannot be read: open " + w.env["LAMBDA_TASK_ROOT"] + "/ca.pem", "in the function's package, not in the bucket", "ca: ${aws-ssm:/PATH/NAME}"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	w.s3Fault = func(rw http.ResponseWriter, _ *http.Request) bool { rw.WriteHeader(http.StatusForbidden); return true }
	_, err = New(t.Context(), w.options(&function{log: new(buffer), metrics: new(buffer)}, Proxy, "TAPWAY_CONFIG=s3://objects/tapway.yaml"))
	if err == nil || !strings.Contains(err.Error(), "s3:GetObject") {
		t.Errorf("forbidden: %v", err)
	}
}
