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
	keep := false
	defer func() {
		if keep {
			f.open.Store(r, &inspected{tx: tx})
		} else {
			f.closeTx(r, tx)
		}
	}()
	for _, one := range off {
		tx.(remover).RemoveRuleByIDRange(one.first, one.last)
	}
	found, err = f.ask(tx, r)
	// In detect mode a call that is refused for nothing but its request is not asked about again:
	// Coraza ends at the first verdict.
	keep = found == nil && err == nil && !r.Dry && f.config.Response != ResponseOff
	return found, err
}

func (f *Firewall) closeTx(r *access.Request, tx types.Transaction) {
	if err := tx.Close(); err != nil && !r.Dry {
		f.log.Warn("waf: a temporary file of an upload may be left", "err", err)
	}
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
		return f.report(tx, types.PhaseRequestHeaders), nil
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
	if tx.IsInterrupted() {
		return f.report(tx, types.PhaseRequestHeaders), nil
	}
	if !r.Dry {
		return nil, nil
	}
	found := f.report(tx, types.PhaseRequestHeaders) // whoever asks hears of those that were too few
	if found.passes = true; len(found.rules) == 0 {
		return nil, nil
	}
	return found, nil
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
	passes    bool     // the score is below the threshold; told to those who ask only
}

// The most that is said of one call.
const (
	maxRules     = 20
	maxVariables = 20
)

// isControl reports whether a rule of the Core Rule Set only sets something up, or adds up what
// others have found.
func isControl(id int) bool {
	return id >= 900000 && id < 910000 || id >= 949000 && id < 950000 || id >= 959000 && id < 960000 || id >= 980000 && id < 990000
}

// report is what the rules of a phase and of later ones have found.
func (f *Firewall) report(tx types.Transaction, from types.RulePhase) *finding {
	found, score := new(finding), "blocking_inbound_anomaly_score"
	if from >= types.PhaseResponseHeaders {
		score = "blocking_outbound_anomaly_score"
	}
	for _, m := range tx.MatchedRules() {
		id := m.Rule().ID()
		text := f.rules.messages[id]
		if text == "" || isControl(id) || m.Rule().Phase() < from {
			continue
		}
		found.add(id, text, m.MatchedDatas())
	}
	if by := tx.Interruption(); by != nil && !isControl(by.RuleID) && !has(found.rules, by.RuleID) {
		found.add(by.RuleID, f.rules.messages[by.RuleID], nil)
	}
	if state, ok := tx.(plugintypes.TransactionState); ok {
		if text := state.Variables().TX().Get(score); len(text) > 0 {
			found.score, _ = strconv.Atoi(text[0]) // not a number: not known
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
