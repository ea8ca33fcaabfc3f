package waf

import (
	"bytes"
	"fmt"
	"io/fs"
	"os"
	"strings"

	coreruleset "github.com/corazawaf/coraza-coreruleset/v4"
	"github.com/corazawaf/coraza/v3"
	"github.com/corazawaf/coraza/v3/experimental"
	"github.com/corazawaf/coraza/v3/types"
)

// engine is one set of rules, ready to be asked.
type engine struct {
	coraza.WAF
	messages map[int]string // of the rules as they were written, without what they quote of a call
	count    int
}

// build reads all rules of c.
func build(c Config) (*engine, error) {
	e := &engine{messages: map[int]string{}}
	var err error
	if e.WAF, err = assemble(c, files{}, func(r types.RuleMetadata) {
		e.count++
		e.messages[r.ID()] = message(r.Raw())
	}); err != nil {
		return nil, locate(c, err)
	}
	return e, nil
}

func assemble(c Config, root files, observe func(types.RuleMetadata)) (coraza.WAF, error) {
	w := experimental.WAFConfigWithRuleObserver(coraza.NewWAFConfig().WithRootFS(root), observe)
	w = w.WithDirectives(c.before())
	for _, name := range c.Rules {
		w = w.WithDirectivesFromFile(name)
	}
	w = w.WithDirectives("Include @owasp_crs/REQUEST-*.conf")
	if c.Response != ResponseOff {
		w = w.WithDirectives("Include @owasp_crs/RESPONSE-95*.conf")
	}
	for _, name := range c.RulesAfter {
		w = w.WithDirectivesFromFile(name)
	}
	return coraza.NewWAF(w.WithDirectives(c.last()))
}

// before is what the Core Rule Set reads of its settings, and the rules about reading a call at
// all, under Coraza's numbers for them: a call that is not read whole must not pass as clean. A body that is longer than what is
// inspected ends in the middle, so rule 200002 must not refuse it for being malformed.
// Bodies that are no form are not read as one: that would find fields, and attacks, in any text.
func (c *Config) before() string {
	types := make([]string, len(c.ContentTypes))
	for i, t := range c.ContentTypes {
		types[i] = "|" + strings.ToLower(t) + "|"
	}
	prefilter := "Off"
	if c.Prefilter {
		prefilter = "On"
	}
	literals := ""
	if len(c.Rules)+len(c.RulesAfter) > 0 {
		literals = `SecAction "id:200011,phase:1,pass,t:none,nolog,setvar:tx.` + everyLiteral + `=1"`
	}
	return fmt.Sprintf(`
SecRxPreFilter %s
%s
SecAction "id:900000,phase:1,pass,t:none,nolog,setvar:tx.blocking_paranoia_level=%d"
SecAction "id:900110,phase:1,pass,t:none,nolog,setvar:tx.inbound_anomaly_score_threshold=%d"
SecAction "id:900120,phase:1,pass,t:none,nolog,setvar:tx.early_blocking=1"
SecAction "id:900200,phase:1,pass,t:none,nolog,setvar:'tx.allowed_methods=%s'"
SecAction "id:900220,phase:1,pass,t:none,nolog,setvar:'tx.allowed_request_content_type=%s'"
SecAction "id:900990,phase:1,pass,t:none,nolog,setvar:tx.crs_setup_version=4250"
SecRequestBodyJsonDepthLimit 512
SecRule URI_PARSE_ERROR "@eq 1" "id:200009,phase:1,t:none,log,deny,status:400,msg:'Failed to parse the target'"
SecRule ARGUMENTS_LIMIT_REACHED "@eq 1" "id:200004,phase:1,t:none,log,deny,status:400,msg:'Too many arguments in the query'"
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application|text)/(?:[a-z0-9.-]+[+])?xml" "id:200000,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=XML"
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application|text)/(?:[a-z0-9.-]+[+])?json" "id:200001,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=JSON"
SecRule REQUEST_HEADERS:Content-Type "@rx ^(?:application/(?:octet-stream|pdf|x-ndjson)|image/|text/(?:plain|csv)|multipart/related)" "id:200010,phase:1,t:none,t:lowercase,pass,nolog,ctl:requestBodyProcessor=RAW"
SecRule REQBODY_ERROR "!@eq 0" "id:200002,phase:2,t:none,log,deny,status:400,msg:'Failed to parse request body',severity:2,chain"
    SecRule INBOUND_DATA_ERROR "!@eq 1" "t:none"
SecRule MULTIPART_STRICT_ERROR "!@eq 0" "id:200003,phase:2,t:none,log,deny,status:400,msg:'Multipart request body is not strictly one'"
SecRule ARGUMENTS_LIMIT_REACHED "@eq 1" "id:200005,phase:2,t:none,log,deny,status:400,msg:'Too many arguments in the body'"
`, prefilter, literals, c.Paranoia, c.Threshold, strings.ToUpper(strings.Join(c.Methods, " ")), strings.Join(types, " "))
}

// last are settings that no file of rules may change: whether a call is blocked, how much of it
// is read, and that nothing of it is written down.
func (c *Config) last() string {
	access := "On"
	if c.MaxBody == 0 {
		access = "Off"
	}
	responses := "Off"
	if c.Response == ResponseBody {
		responses = "On"
	}
	limit := c.MaxBody + 1 // Coraza takes a body of exactly the limit for one that goes on
	return fmt.Sprintf(`
SecRuleEngine On
SecAuditEngine Off
SecDebugLogLevel 0
SecRequestBodyAccess %s
SecRequestBodyLimit %d
SecRequestBodyInMemoryLimit %d
SecRequestBodyLimitAction ProcessPartial
SecResponseBodyAccess %s
SecResponseBodyMimeType text/plain text/html text/xml text/csv application/json application/problem+json application/xml application/soap+xml
SecResponseBodyLimit %d
SecResponseBodyLimitAction ProcessPartial
SecArgumentsLimit %d
SecUploadKeepFiles Off
`, access, limit, limit, responses, c.MaxResponse+1, c.Arguments)
}

// locate finds the line of a file that Coraza has refused: its errors do not say. It tries ever
// more of the file until the error comes.
func locate(c Config, err error) error {
	base := c
	base.Rules, base.RulesAfter = nil, nil
	for _, list := range []struct{ from, to *[]string }{{&c.Rules, &base.Rules}, {&c.RulesAfter, &base.RulesAfter}} {
		for _, name := range *list.from {
			*list.to = append(*list.to, name)
			text, readErr := os.ReadFile(name)
			if readErr != nil {
				return fmt.Errorf("read the firewall's rules: %w", readErr)
			}
			fails := func(upTo int) error {
				_, err := assemble(base, files{name: text[:upTo]}, func(types.RuleMetadata) {})
				return err
			}
			if fails(len(text)) == nil {
				continue
			}
			directives := split(text)
			low, high := 0, len(directives)-1 // the first that fails is among these
			for low < high {
				if mid := (low + high) / 2; fails(directives[mid].end) != nil {
					high = mid
				} else {
					low = mid + 1
				}
			}
			if high >= 0 {
				return fmt.Errorf("%s:%d: %w", name, directives[low].line, fails(directives[low].end))
			}
		}
	}
	return fmt.Errorf("firewall: %w", err)
}

// directive is where one directive of a file begins, as a line from 1, and where it ends, as an
// offset. One that goes on in the next line ends with a backslash.
type directive struct{ line, end int }

func split(text []byte) (all []directive) {
	line, end, begun := 0, 0, 0
	for one := range bytes.Lines(text) {
		line++
		end += len(one)
		one = bytes.TrimSpace(one)
		if len(one) == 0 || one[0] == '#' {
			continue
		}
		if begun == 0 {
			begun = line
		}
		if one[len(one)-1] != '\\' {
			all = append(all, directive{begun, end})
			begun = 0
		}
	}
	if begun > 0 {
		all = append(all, directive{begun, end})
	}
	return all
}

// files are the files of rules by name: names that begin with "@" are the Core Rule Set's own,
// others are on disk unless the map has them.
type files map[string][]byte

// Open is fs.FS.
func (f files) Open(name string) (fs.File, error) {
	if strings.HasPrefix(name, "@") {
		return coreruleset.FS.Open(name)
	}
	return os.Open(name)
}

// ReadFile is fs.ReadFileFS.
func (f files) ReadFile(name string) ([]byte, error) {
	if text, ok := f[name]; ok {
		return text, nil
	}
	if strings.HasPrefix(name, "@") {
		return fs.ReadFile(coreruleset.FS, name)
	}
	return os.ReadFile(name)
}

// message is the text of a rule's msg action; what it would quote of a call is "…".
func message(raw string) string {
	_, rest, ok := strings.Cut(raw, "msg:'")
	if !ok {
		return ""
	}
	var b strings.Builder
	for i := 0; i < len(rest) && rest[i] != '\''; i++ {
		switch {
		case rest[i] == '\\' && i+1 < len(rest):
			i++
			b.WriteByte(rest[i])
		case strings.HasPrefix(rest[i:], "%{"):
			end := strings.IndexByte(rest[i:], '}')
			if end < 0 {
				return b.String()
			}
			b.WriteString("…")
			i += end
		default:
			b.WriteByte(rest[i])
		}
	}
	return b.String()
}
