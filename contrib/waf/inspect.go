package waf

import (
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/corazawaf/coraza/v3/experimental/plugins/plugintypes"
	"github.com/corazawaf/coraza/v3/types"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/access"
)

// remover is what takes rules off one call; Coraza's transactions have it.
type remover interface {
	RemoveRuleByIDRange(first, last int)
}

// inspect asks the rules about a call. nil: they let it pass. An error is that they could not be asked.
func (f *Firewall) inspect(r *access.Request, off []ruleRange) (found *finding, err error) {
	defer func() {
		if p := recover(); p != nil { // a rule must not take the gateway down
			found, err = nil, fmt.Errorf("the rules panicked: %T", p) // p itself may quote the call
		}
	}()
	tx := f.rules.NewTransactionWithID(r.Call.ID.String())
	for _, one := range off {
		tx.(remover).RemoveRuleByIDRange(one.first, one.last)
	}
	found, err = f.ask(tx, r)
	if closing := tx.Close(); closing != nil && err == nil && !r.Dry {
		f.log.Warn("waf: a temporary file of an upload may be left", "err", closing)
	}
	return found, err
}

func (f *Firewall) ask(tx types.Transaction, r *access.Request) (*finding, error) {
	in := r.HTTP
	path, query, hasQuery, _ := tapway.Target(in) // the gate has seen that it is one
	if hasQuery {
		path += "?" + query
	}
	client := ""
	if r.Client.IsValid() {
		client = r.Client.String()
	}
	tx.ProcessConnection(client, 0, "", 0)
	tx.ProcessURI(path, in.Method, in.Proto)
	addHeaders(tx, in)
	if tx.ProcessRequestHeaders() != nil {
		return f.report(tx), nil
	}
	body, err := f.peek(r)
	if err != nil {
		return nil, err
	}
	if len(body) > 0 {
		if _, _, err := tx.WriteRequestBody(body); err != nil {
			return nil, fmt.Errorf("take the body: %w", err)
		}
	}
	if _, err := tx.ProcessRequestBody(); err != nil {
		return nil, fmt.Errorf("read the body: %w", err)
	}
	if !tx.IsInterrupted() {
		return nil, nil
	}
	return f.report(tx), nil
}

func addHeaders(tx types.Transaction, in *http.Request) {
	for name, values := range in.Header {
		for _, value := range values {
			if name == "Expect" && strings.EqualFold(value, "100-continue") {
				continue // between the client and tapway; the Core Rule Set would refuse it
			}
			tx.AddRequestHeader(name, value)
		}
	}
	if in.Host != "" {
		tx.AddRequestHeader("Host", in.Host)
		tx.SetServerName(in.Host)
	}
	if in.ContentLength >= 0 && in.Body != nil && in.Header["Content-Length"] == nil && in.Method != http.MethodGet && in.Method != http.MethodHead {
		tx.AddRequestHeader("Content-Length", strconv.FormatInt(in.ContentLength, 10))
	}
	for _, coding := range in.TransferEncoding {
		tx.AddRequestHeader("Transfer-Encoding", coding)
	}
}

// finding is what may be said of a call that the rules refuse.
type finding struct {
	rules     []int // in the order in which they matched
	score     int   // anomaly score; 0 when a rule refused it by itself
	messages  []string
	variables []string // names, such as "ARGS:q"
}

// The most that is said of one call.
const (
	maxRules     = 20
	maxVariables = 20
)

// isControl reports whether a rule of the Core Rule Set only sets something up, or adds up what
// others have found.
func isControl(id int) bool { return id >= 900000 && id < 910000 || id >= 949000 && id < 950000 }

func (f *Firewall) report(tx types.Transaction) *finding {
	found := new(finding)
	for _, m := range tx.MatchedRules() {
		id := m.Rule().ID()
		text := f.rules.messages[id]
		if text == "" || isControl(id) {
			continue
		}
		found.add(id, text, m.MatchedDatas())
	}
	if by := tx.Interruption(); by != nil && !isControl(by.RuleID) && !has(found.rules, by.RuleID) {
		found.add(by.RuleID, f.rules.messages[by.RuleID], nil)
	}
	if state, ok := tx.(plugintypes.TransactionState); ok {
		if score := state.Variables().TX().Get("blocking_inbound_anomaly_score"); len(score) > 0 {
			found.score, _ = strconv.Atoi(score[0]) // not a number: not known
		}
	}
	return found
}

func (found *finding) add(id int, text string, matched []types.MatchData) {
	if has(found.rules, id) || len(found.rules) == maxRules {
		return
	}
	found.rules = append(found.rules, id)
	if text != "" && !has(found.messages, text) {
		found.messages = append(found.messages, text)
	}
	for _, data := range matched {
		if name := variable(data); !has(found.variables, name) && len(found.variables) < maxVariables {
			found.variables = append(found.variables, name)
		}
	}
}

// variable is the name of what matched. Its key is chosen by whoever sends the call, so it is only
// told when it looks like a name, and never where it is the value itself.
func variable(data types.MatchData) string {
	name, key := data.Variable().Name(), data.Key()
	if key == "" || strings.HasSuffix(name, "_NAMES") || len(key) > 64 ||
		strings.Trim(key, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_.-[]") != "" {
		return name
	}
	return name + ":" + key
}

// String is what stands in the record: "rules 942100, 942190, score 10".
func (found *finding) String() string {
	b := []byte("rules ")
	if len(found.rules) == 1 {
		b = []byte("rule ")
	}
	for i, id := range found.rules {
		if i > 0 {
			b = append(b, ", "...)
		}
		b = strconv.AppendInt(b, int64(id), 10)
	}
	if found.score > 0 {
		b = strconv.AppendInt(append(b, ", score "...), int64(found.score), 10)
	}
	return string(b)
}

func has[T comparable](list []T, one T) bool {
	for _, other := range list {
		if other == one {
			return true
		}
	}
	return false
}
