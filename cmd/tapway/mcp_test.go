package main

import (
	"encoding/json"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/modelcontextprotocol/go-sdk/mcp"
)

// agent connects a real client of the protocol.
func agent(t *testing.T, transport mcp.Transport) *mcp.ClientSession {
	t.Helper()
	session, err := mcp.NewClient(&mcp.Implementation{Name: "test", Version: "1"}, nil).Connect(t.Context(), transport, nil)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { session.Close() })
	return session
}

func ask(t *testing.T, s *mcp.ClientSession, tool, args string) string {
	t.Helper()
	r, err := s.CallTool(t.Context(), &mcp.CallToolParams{Name: tool, Arguments: json.RawMessage(args)})
	if err != nil {
		t.Fatalf("%s: %v", tool, err)
	}
	text := r.Content[0].(*mcp.TextContent).Text
	if r.IsError {
		t.Fatalf("%s %s: %s", tool, args, text)
	}
	return text
}

func tools(t *testing.T, s *mcp.ClientSession) (names []string) {
	t.Helper()
	list, err := s.ListTools(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range list.Tools {
		names = append(names, tool.Name)
	}
	return names
}

// bearer sends a token with every request.
type bearer struct{ token string }

func (b bearer) RoundTrip(r *http.Request) (*http.Response, error) {
	r = r.Clone(r.Context())
	r.Header.Set("Authorization", "Bearer "+b.token)
	return http.DefaultTransport.RoundTrip(r)
}

// TestMCP: an agent over stdio, with a running process and without, and over HTTP.
func TestMCP(t *testing.T) {
	t.Parallel()
	w := newWorld(t, "access:\n  resource_policy: policy.json\nadmin: {listen: \"127.0.0.1:0\", token: a-long-enough-token, mcp: read}\n")
	write(t, w.dir, "policy.json", `{"Statement":[{"Effect":"Allow","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*"},
		{"Effect":"Deny","Principal":"*","Action":"execute-api:Invoke","Resource":"execute-api:/*","Condition":{"IpAddress":{"aws:SourceIp":"203.0.113.0/24"}}}]}`)
	g := serve(t, w.dir)
	g.calls(t, "/users/1", "/poison/1", "/poison/2")
	settled(t, w.dir)
	look := func(s *mcp.ClientSession) {
		t.Helper()
		if text := ask(t, s, "search_exchanges", `{"filter":"response_body contains \"/users/1\""}`); !strings.Contains(text, `"path":"/users/1"`) || !strings.HasPrefix(text, "What stands between") {
			t.Errorf("search: %s", text)
		}
		if text := ask(t, s, "list_dead_letters", `{}`); !strings.Contains(text, `"count":2`) {
			t.Errorf("dead letters: %s", text)
		}
		for ip, passes := range map[string]string{"203.0.113.9": `"passes":false`, "198.51.100.1": `"passes":true`} {
			if text := ask(t, s, "explain_access", `{"path":"/users/1","ip":"`+ip+`"}`); !strings.Contains(text, passes) {
				t.Errorf("%s: %s", ip, text)
			}
		}
	}
	url := "http://" + g.admin + "/mcp"
	web := agent(t, &mcp.StreamableClientTransport{Endpoint: url, HTTPClient: &http.Client{Transport: bearer{"a-long-enough-token"}}})
	look(web)
	if names := tools(t, web); slices.Contains(names, "redrive_dead_letters") {
		t.Errorf("mcp: read offers %v", names)
	}
	for name, change := range map[string]func(*http.Request){
		"no token":     func(r *http.Request) { r.Header.Del("Authorization") },
		"other origin": func(r *http.Request) { r.Header.Set("Origin", "https://evil.example") },
	} {
		r, err := http.NewRequest("POST", url, strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"tools/list"}`))
		if err != nil {
			t.Fatal(err)
		}
		r.Header.Set("Authorization", "Bearer a-long-enough-token")
		change(r)
		resp, err := http.DefaultClient.Do(r)
		if err != nil {
			t.Fatal(err)
		}
		resp.Body.Close()
		if resp.StatusCode != 401 && resp.StatusCode != 403 {
			t.Errorf("%s: %d", name, resp.StatusCode)
		}
	}
	s := agent(t, &mcp.CommandTransport{Command: command(w.dir, "mcp")})
	look(s)
	web.Close()
	g.stop(t)
	look(s) // the same session goes on with the data directory alone
	if names := tools(t, s); slices.Contains(names, "replay_exchanges") {
		t.Errorf("without --allow-write there is %v", names)
	}
	writer := agent(t, &mcp.CommandTransport{Command: command(w.dir, "mcp", "--allow-write")})
	var first struct {
		Matched int
		Confirm string
	}
	if err := json.Unmarshal([]byte(ask(t, writer, "redrive_dead_letters", `{"all":true}`)), &first); err != nil || first.Matched != 2 {
		t.Fatalf("%+v, error %v", first, err)
	}
	if text := ask(t, writer, "redrive_dead_letters", `{"confirm":"`+first.Confirm+`"}`); !strings.Contains(text, `"ok":2`) {
		t.Errorf("redrive: %s", text)
	}
	// Whoever is not there holds nothing.
	g = serve(t, w.dir)
	settled(t, w.dir)
	g.stop(t)
}

// TestMCPIsOff: the admin address does not serve agents unless it is told to.
func TestMCPIsOff(t *testing.T) {
	t.Parallel()
	g := serve(t, newWorld(t, "").dir)
	resp, err := http.Post("http://"+g.admin+"/mcp", "application/json", strings.NewReader(`{"jsonrpc":"2.0","id":1,"method":"ping"}`))
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusNotFound {
		t.Errorf("/mcp answers %d", resp.StatusCode)
	}
	g.stop(t)
}

// One message on standard input gets its answer, and nothing else is on standard output.
func TestMCPPiped(t *testing.T) {
	t.Parallel()
	out, errOut, code := executeWith(t, t.TempDir(), `{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"get_status"}}`+"\n", "mcp")
	if code != 0 || strings.Count(out, "\n") != 1 || !strings.Contains(out, "there is no data directory") || !strings.Contains(out, `"isError":true`) {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
}
