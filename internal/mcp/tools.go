package mcp

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"

	"github.com/tapway/tapway/internal/admin"
)

// tool is one entry of tools/list.
type tool struct {
	Name        string          `json:"name"`
	Title       string          `json:"title"`
	Description string          `json:"description"`
	Schema      json.RawMessage `json:"inputSchema"`
	Annotations annotations     `json:"annotations"`

	do func(s *Server, ctx context.Context, c *admin.Client, args json.RawMessage) (result, error)
}

// annotations are hints for the client: whether to ask its user first.
type annotations struct {
	ReadOnly    bool `json:"readOnlyHint"`
	Destructive bool `json:"destructiveHint"`
	OpenWorld   bool `json:"openWorldHint"`
}

// Arguments that several tools take.
const (
	filterArgument = `"filter":{"type":"string","description":"Filter language: comparisons joined by &&, ||, ! and parentheses. Fields: see list_filter_fields. Examples: status >= 500 && path startsWith \"/api/\"; time > now-1h; duration > 1s; body contains \"order-4711\""}`
	confirmAll     = `"rate":{"type":"number","minimum":0,"description":"Records a second; 0 is as fast as it goes"},"confirm":{"type":"string","description":"Of the first call: carries out what it counted. Then it stands alone"}`
	idsArgument    = `"ids":{"type":"array","items":{"type":"string"},"description":"Only these exchange ids"}`
)

func object(properties, required string) json.RawMessage {
	return json.RawMessage(`{"type":"object","additionalProperties":false,"properties":{` + properties + `},"required":[` + required + `]}`)
}

var allTools = []tool{
	{Name: "search_exchanges", Title: "Search recorded calls", Annotations: annotations{ReadOnly: true},
		Description: "Recorded calls of the API, newest first, one summary each. Not everything may be looked at in the time given: then next says where to go on with before.",
		Schema:      object(filterArgument+`,"limit":{"type":"integer","minimum":1,"maximum":200,"default":20},"before":{"type":"integer","minimum":0,"description":"Only positions below this: next of the page before"},"seconds":{"type":"integer","minimum":1,"maximum":30,"default":5,"description":"How long to search at most"}`, ``),
		do:          (*Server).search},
	{Name: "get_exchange", Title: "Read one recorded call", Annotations: annotations{ReadOnly: true},
		Description: "One recorded call with headers and bodies, redacted as stored, and what became of it at each destination. Long bodies are cut.",
		Schema:      object(`"id":{"type":"string","description":"Of a summary"},"max_body":{"type":"integer","minimum":0,"maximum":65536,"default":4096,"description":"Bytes of each body"}`, `"id"`),
		do:          (*Server).exchange},
	{Name: "list_dead_letters", Title: "Records that could not be delivered", Annotations: annotations{ReadOnly: true},
		Description: "Dead letters grouped by destination and reason, with counts and a few examples each.",
		Schema:      object(`"destination":{"type":"string"},`+filterArgument+`,"examples":{"type":"integer","minimum":0,"maximum":20,"default":3}`, ``),
		do:          (*Server).deadLetters},
	{Name: "explain_access", Title: "Which access rule decides about a call", Annotations: annotations{ReadOnly: true},
		Description: "Asks the access rules of the configuration about an imagined call, in their order. Nothing is sent and nothing is counted. Same as `tapway access explain`.",
		Schema:      object(`"method":{"type":"string","default":"GET"},"path":{"type":"string","description":"With a query if there is one"},"ip":{"type":"string","default":"203.0.113.7","description":"Address of the peer"},"host":{"type":"string","default":"localhost"},"headers":{"type":"array","items":{"type":"string"},"description":"Name: value"},"https":{"type":"boolean","default":false}`, `"path"`),
		do:          (*Server).explain},
	{Name: "get_status", Title: "Queue, destinations and ledger", Annotations: annotations{ReadOnly: true},
		Description: "What is stored, queued, retried and dead per destination, and the ledger: captured = delivered + queued + dead + dropped.",
		Schema:      object(``, ``),
		do:          (*Server).status},
	{Name: "list_filter_fields", Title: "Fields of the filter language", Annotations: annotations{ReadOnly: true},
		Description: "Every field that a filter can ask for, with its operators, values and an example.",
		Schema:      object(``, ``),
		do:          (*Server).fields},
	{Name: "redrive_dead_letters", Title: "Deliver dead letters again", Annotations: annotations{Destructive: true, OpenWorld: true},
		Description: "Puts dead letters back into the queue of their destination. The first call only counts and gives a confirm; a second call with it carries that out.",
		Schema:      object(`"destination":{"type":"string"},`+filterArgument+`,`+idsArgument+`,"all":{"type":"boolean","description":"Without filter and ids: really all"},`+confirmAll, ``),
		do: func(s *Server, ctx context.Context, c *admin.Client, args json.RawMessage) (result, error) {
			return s.change(ctx, c, "redrive_dead_letters", "/api/v1/deadletters/redrive", args)
		}},
	{Name: "replay_exchanges", Title: "Repeat recorded requests", Annotations: annotations{Destructive: true, OpenWorld: true},
		Description: "Repeats recorded requests against another server, to which path and query are appended; redacted headers are left out. With record the record itself is delivered there. The first call only counts and gives a confirm; a second call with it carries that out.",
		Schema:      object(`"to":{"type":"string","description":"http://host:port or https://…"},`+filterArgument+`,`+idsArgument+`,"record":{"type":"boolean"},`+confirmAll, ``),
		do: func(s *Server, ctx context.Context, c *admin.Client, args json.RawMessage) (result, error) {
			return s.change(ctx, c, "replay_exchanges", "/api/v1/replay", args)
		}},
}

func (s *Server) offers(t *tool) bool {
	return (t.Annotations.ReadOnly || s.Write) && (t.Name != "explain_access" || s.Explain != nil)
}

// result is what a tool found.
type result struct {
	data     any
	captured bool // it holds words of strangers
}

// content is the result of tools/call.
type content struct {
	Content []text `json:"content"`
	IsError bool   `json:"isError,omitempty"`
}

type text struct {
	Type string `json:"type"`
	Text string `json:"text"`
}

func (s *Server) callTool(ctx context.Context, params json.RawMessage) (any, *rpcError) {
	var p struct {
		Name      string          `json:"name"`
		Arguments json.RawMessage `json:"arguments"`
	}
	if err := json.Unmarshal(params, &p); err != nil {
		return nil, &rpcError{codeParams, "tools/call: " + err.Error()}
	}
	for i := range allTools {
		t := &allTools[i]
		if t.Name != p.Name {
			continue
		}
		if !s.offers(t) {
			return nil, &rpcError{codeParams, p.Name + " is not allowed here: `tapway mcp --allow-write`, or admin.mcp: write, allows what changes something"}
		}
		began := s.now()
		out, err := s.carryOut(ctx, t, p.Arguments)
		if s.Log != nil {
			s.Log.Info("mcp tool", "tool", t.Name, "duration", s.now().Sub(began), "failed", err != nil)
		}
		if err != nil { // the agent can mend its call
			return content{Content: []text{{"text", captured(mustJSON(map[string]string{"error": cut(err.Error(), 2000)}))}}, IsError: true}, nil
		}
		body := mustJSON(out.data)
		if out.captured {
			body = captured(body)
		}
		return content{Content: []text{{"text", body}}}, nil
	}
	return nil, &rpcError{codeParams, fmt.Sprintf("there is no tool %q", cut(p.Name, 100))}
}

func (s *Server) carryOut(ctx context.Context, t *tool, args json.RawMessage) (result, error) {
	if t.Name == "explain_access" { // wants the configuration, not the state
		return t.do(s, ctx, nil, args)
	}
	c, done, err := s.Open(ctx)
	if err != nil {
		return result{}, err
	}
	defer done()
	return t.do(s, ctx, c, args)
}

// arguments reads a tool's arguments; none are an empty object.
func arguments(raw json.RawMessage, into any) error {
	if len(raw) == 0 || bytes.Equal(raw, []byte("null")) {
		return nil
	}
	dec := json.NewDecoder(bytes.NewReader(raw))
	dec.DisallowUnknownFields()
	if err := dec.Decode(into); err != nil {
		return fmt.Errorf("arguments: %w", err)
	}
	if _, err := dec.Token(); err != io.EOF {
		return fmt.Errorf("arguments: more than one object")
	}
	return nil
}

// mustJSON escapes <, > and &, so that nothing in v can look like a mark of captured.
func mustJSON(v any) string {
	b, err := json.Marshal(v)
	if err != nil {
		return `{"error":"the result cannot be written as JSON"}`
	}
	return string(b)
}
