package waf

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"

	"github.com/goccy/go-yaml"

	"github.com/tapway/tapway/internal/config"
)

// Modes of a firewall.
const (
	Detect = "detect" // tell what would be refused; everything passes
	Block  = "block"  // refuse it
)

// What becomes of a call that could not be inspected.
const (
	Refuse = "refuse" // it is answered 503
	Pass   = "pass"   // it passes uninspected
)

// Config is waf.yaml. Start from Default.
type Config struct {
	Mode      string `yaml:"mode"`      // Detect or Block; default Detect
	Paranoia  int    `yaml:"paranoia"`  // paranoia level of the Core Rule Set, 1 to 4; default 1
	Threshold int    `yaml:"threshold"` // anomaly score from which on a call is refused; a critical rule counts 5; default 5

	// MaxBody is how much of a body is inspected; what is beyond passes uninspected. 0: bodies
	// pass uninspected. Default 128 KiB, at most 16 MiB.
	MaxBody Size `yaml:"max_body"`

	// Response says what of responses is inspected: ResponseOff (the default), ResponseHeaders or
	// ResponseBody.
	Response string `yaml:"response"`

	// MaxResponse is how much of a response's body is inspected, and in block mode held back until
	// then. Default 128 KiB, at most 16 MiB.
	MaxResponse Size `yaml:"max_response"`

	// BodyMemory is for all bodies that are held at once; without room a call cannot be inspected.
	// Default 64 MiB.
	BodyMemory Size `yaml:"body_memory"`

	Arguments    int      `yaml:"arguments"`     // values in a query and in a body; a call with more is refused; default 1,000
	Methods      []string `yaml:"methods"`       // methods that are not refused by rule 911100
	ContentTypes []string `yaml:"content_types"` // media types of bodies that are not refused by rule 920420

	// Prefilter has regular expressions matched by tables: the same verdicts at less cost. Default true.
	Prefilter bool `yaml:"prefilter"`

	// OnError says what becomes of a call that cannot be inspected: Refuse (the default) or Pass.
	// In detect mode it always passes.
	OnError string `yaml:"on_error"`

	Rules      []string    `yaml:"rules"`       // files of SecLang rules, asked before the Core Rule Set
	RulesAfter []string    `yaml:"rules_after"` // files of SecLang directives that change rules of the Core Rule Set
	Exclusions []Exclusion `yaml:"exclusions"`
}

// Exclusion takes rules off a path and everything below it. It counts when every reading that a
// backend may make of a call's path is that path or lies below it: another spelling of a path
// never gets fewer rules.
type Exclusion struct {
	Path  string   `yaml:"path"`
	Rules []string `yaml:"rules"` // "942100", "942000-942999", or "all": such a call is not inspected
}

// Size is a number of bytes, written as "128KiB".
type Size int64

// UnmarshalYAML reads a Size.
func (s *Size) UnmarshalYAML(text []byte) error {
	n, err := config.ParseSize(strings.Trim(strings.TrimSpace(string(text)), `"'`))
	*s = Size(n)
	return err
}

const maxMaxBody = 16 << 20

// Default is the configuration without a waf.yaml. Methods and media types are those of HTTP APIs;
// the Core Rule Set alone would refuse PUT, PATCH and DELETE.
func Default() Config {
	return Config{
		Mode: Detect, Paranoia: 1, Threshold: 5, MaxBody: 128 << 10, BodyMemory: 64 << 20, Arguments: 1000, Prefilter: true, OnError: Refuse,
		Response: ResponseOff, MaxResponse: 128 << 10,
		Methods: []string{"GET", "HEAD", "POST", "OPTIONS", "PUT", "PATCH", "DELETE"},
		ContentTypes: []string{
			"application/x-www-form-urlencoded", "multipart/form-data", "multipart/related", "text/xml", "application/xml", "application/soap+xml",
			"application/json", "application/merge-patch+json", "application/json-patch+json", "application/vnd.api+json", "application/problem+json",
			"application/cloudevents+json", "application/cloudevents-batch+json", "application/reports+json", "application/csp-report",
			"application/x-ndjson", "application/octet-stream", "application/pdf", "image/png", "image/jpeg", "image/webp", "text/plain", "text/csv",
		},
	}
}

// Load reads a waf.yaml over the defaults. Relative names of files in it are relative to its
// directory. An unknown key is an error. The result is not checked yet: flags may change it.
func Load(file string) (Config, error) {
	c := Default()
	text, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return c, fmt.Errorf("read the firewall's configuration: %w; write one, or leave --waf out", err)
	} else if err != nil {
		return c, fmt.Errorf("read the firewall's configuration: %w", err)
	}
	if isEmpty(text) {
		return c, nil // the YAML reader would make everything zero
	}
	if err := yaml.UnmarshalWithOptions(text, &c, yaml.Strict()); err != nil {
		return c, fmt.Errorf("%s: %s", file, oneLine(err))
	}
	for _, list := range [][]string{c.Rules, c.RulesAfter} {
		for i, name := range list {
			if !filepath.IsAbs(name) {
				list[i] = filepath.Join(filepath.Dir(file), name)
			}
		}
	}
	if err := c.Check(); err != nil {
		return c, fmt.Errorf("%s: %w", file, err)
	}
	return c, nil
}

// isEmpty reports whether a YAML file has nothing but comments.
func isEmpty(text []byte) bool {
	for line := range bytes.Lines(text) {
		if line = bytes.TrimSpace(line); len(line) > 0 && line[0] != '#' {
			return false
		}
	}
	return true
}

// oneLine is an error of the YAML reader, "[line:column] reason", without the excerpt below it.
func oneLine(err error) string {
	first, _, _ := strings.Cut(err.Error(), "\n")
	return first
}

// Check tells everything that is wrong with the values of c. The rules themselves are checked by New.
func (c *Config) Check() error {
	var wrong []error
	fail := func(format string, args ...any) { wrong = append(wrong, fmt.Errorf(format, args...)) }
	if c.Mode != Detect && c.Mode != Block {
		fail("mode: %q is neither detect nor block", c.Mode)
	}
	if c.OnError != Refuse && c.OnError != Pass {
		fail("on_error: %q is neither refuse nor pass", c.OnError)
	}
	if c.Paranoia < 1 || c.Paranoia > 4 {
		fail("paranoia: %d is not between 1 and 4", c.Paranoia)
	}
	if c.Threshold < 1 {
		fail("threshold: %d is less than 1", c.Threshold)
	}
	if c.MaxBody < 0 || c.MaxBody > maxMaxBody {
		fail("max_body: it must be between 0 and 16MiB")
	}
	if c.Response != ResponseOff && c.Response != ResponseHeaders && c.Response != ResponseBody {
		fail("response: %q is neither off nor headers nor body", c.Response)
	}
	if c.MaxResponse < 1 || c.MaxResponse > maxMaxBody {
		fail("max_response: it must be between 1 and 16MiB")
	}
	if c.Response == ResponseBody && c.BodyMemory < c.MaxResponse {
		fail("body_memory: it must have room for one body of max_response")
	}
	if c.BodyMemory < c.MaxBody {
		fail("body_memory: it must have room for one body of max_body")
	}
	if c.Arguments < 1 {
		fail("arguments: %d is less than 1", c.Arguments)
	}
	if len(c.Methods) == 0 {
		fail("methods: name at least one")
	}
	words := func(key string, list []string) {
		for _, word := range list {
			if !isWord(word) {
				fail("%s: %q is not one", key, word)
			}
		}
	}
	words("methods", c.Methods)
	words("content_types", c.ContentTypes)
	for i, e := range c.Exclusions {
		if !strings.HasPrefix(e.Path, "/") {
			fail("exclusions[%d].path: %q does not begin with /", i, e.Path)
		}
		if len(e.Rules) == 0 {
			fail("exclusions[%d].rules: name the rules, or all", i)
		}
		for _, text := range e.Rules {
			if _, err := parseRange(text); err != nil && text != "all" {
				fail("exclusions[%d].rules: %w", i, err)
			}
		}
	}
	return errors.Join(wrong...)
}

// isWord reports whether s can stand in a directive: it must not end the quotes around it.
func isWord(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$&^_.+-/*") == ""
}

// ruleRange is numbers of rules, both ends included.
type ruleRange struct{ first, last int }

func parseRange(text string) (ruleRange, error) {
	low, high, isRange := strings.Cut(text, "-")
	first, err := strconv.Atoi(low)
	last := first
	if err == nil && isRange {
		last, err = strconv.Atoi(high)
	}
	if err != nil || first < 1 || last < first {
		return ruleRange{}, fmt.Errorf("%q is not a rule's number, nor a range such as 942000-942999, nor all", text)
	}
	return ruleRange{first, last}, nil
}
