package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/goccy/go-yaml"
	"github.com/spf13/pflag"

	"github.com/tapway/tapway/internal/config"
)

const root = "../.."

// block is a fenced block of a document. The words behind the fence say what it is:
//
//	sh                 commands: those of tapway, make and go must exist, with these flags
//	sh run             the same, and they are run (tutorials_test.go)
//	yaml               a tapway configuration, or a part of one: it must be good
//	yaml NAME          file NAME: tapway's if NAME is tapway.yaml, otherwise another program's
type block struct {
	file string
	line int // of its first fence
	tags []string
	text string
}

func (b block) String() string {
	return fmt.Sprintf("%s:%d", strings.TrimPrefix(b.file, root+"/"), b.line)
}

func (b block) is(tag string) bool { return slices.Contains(b.tags, tag) }

// documents are the files whose blocks are looked at.
func documents(t *testing.T) []string {
	t.Helper()
	files := []string{root + "/README.md", root + "/CONTRIBUTING.md", root + "/SECURITY.md"}
	for _, dir := range []string{"docs", "deploy", "contrib"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(path string, d fs.DirEntry, err error) error {
			if err == nil && !d.IsDir() && strings.HasSuffix(path, ".md") {
				files = append(files, path)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	return files
}

// blocksOf reads the fenced blocks of a document, those of lists too.
func blocksOf(t *testing.T, file string) []block {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var out []block
	var open *block
	indent, n := "", 0
	for line := range strings.Lines(string(text)) {
		n++
		bare := strings.TrimLeft(line, " ")
		switch {
		case open == nil && line == "<!-- run: stop -->\n":
			out = append(out, block{file: file, line: n, tags: []string{"run", "stop"}})
		case open == nil && strings.HasPrefix(bare, "```"):
			indent = line[:len(line)-len(bare)]
			open = &block{file: file, line: n, tags: strings.Fields(strings.TrimPrefix(bare, "```"))}
		case open != nil && strings.TrimSpace(line) == "```":
			out = append(out, *open)
			open = nil
		case open != nil:
			open.text += strings.TrimPrefix(line, indent)
		}
	}
	if open != nil {
		t.Errorf("%s: the block is never closed", open)
	}
	return out
}

var (
	hereDocument = regexp.MustCompile(`<<'([A-Z]+)'`)
	remark       = regexp.MustCompile(`(^|\s+)# .*`)
	typed        = regexp.MustCompile(`^(\$ |(?:make|go|sudo) |tapway [a-z]+( |$))`)
)

// linesOf are the command lines of a block: what is continued is one line, and so is a command with its here-document.
// In a block that does not say that it is of the shell they stand behind a prompt or begin with a program's name.
func linesOf(b block) []string {
	if !b.is("sh") && !b.is("console") && len(b.tags) > 0 {
		return nil
	}
	var out []string
	lines := strings.Split(strings.ReplaceAll(b.text, "\\\n", " "), "\n")
	for i := 0; i < len(lines); i++ {
		line := lines[i]
		if !b.is("sh") {
			if !typed.MatchString(line) {
				continue
			}
			line = strings.TrimPrefix(line, "$ ")
		}
		if m := hereDocument.FindStringSubmatch(line); m != nil {
			for i++; i < len(lines); i++ {
				line += "\n" + lines[i]
				if lines[i] == m[1] {
					break
				}
			}
			out = append(out, line+"\n")
			continue
		}
		line = strings.TrimSpace(remark.ReplaceAllString(line, ""))
		if line != "" {
			out = append(out, strings.Join(strings.Fields(line), " "))
		}
	}
	return out
}

func TestLinesOf(t *testing.T) {
	for text, want := range map[string]string{
		"tapway ledger   # a remark\n# another\n\nmake test\n": "tapway ledger|make test",
		"tapway replay ID \\\n  --to http://a\n":               "tapway replay ID --to http://a",
		"cat > a <<'END'\nx: y # z\n  END\nEND\nls\n":          "cat > a <<'END'\nx: y # z\n  END\nEND\n|ls",
	} {
		if got := strings.Join(linesOf(block{tags: []string{"sh"}, text: text}), "|"); got != want {
			t.Errorf("%q: %q", text, got)
		}
	}
	if got := linesOf(block{text: "$ tapway ledger\n3 calls\ntapway: no\nmake torture A=1  # twice\ntapway ● live\n"}); strings.Join(got, "|") != "tapway ledger|make torture A=1" {
		t.Errorf("%q", got)
	}
	if got := linesOf(block{tags: []string{"yaml"}, text: "$ tapway ledger\n"}); len(got) > 0 {
		t.Errorf("%q", got)
	}
}

// commandsOf are the simple commands of a shell text, in words. Words in command
// substitutions stay one word; here-documents are not understood.
func commandsOf(text string) [][]string {
	var out [][]string
	var words []string
	var word strings.Builder
	inWord := false
	endWord := func() {
		if inWord {
			words = append(words, word.String())
		}
		word.Reset()
		inWord = false
	}
	endCommand := func() {
		endWord()
		if len(words) > 0 {
			out = append(out, words)
		}
		words = nil
	}
	text = strings.ReplaceAll(text, "\\\n", " ")
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == '\'' || c == '"':
			end := strings.IndexByte(text[i+1:], c)
			if end < 0 {
				end = len(text) - i - 1
			}
			word.WriteString(text[i+1 : i+1+end])
			i, inWord = i+1+end, true
		case c == '$' && strings.HasPrefix(text[i:], "$("):
			end := strings.IndexByte(text[i:], ')')
			if end < 0 {
				end = len(text) - i - 1
			}
			word.WriteString("substituted")
			i, inWord = i+end, true
		case c == '#' && !inWord:
			for i+1 < len(text) && text[i+1] != '\n' {
				i++
			}
		case c == ' ' || c == '\t':
			endWord()
		case c == '\n' || c == '|' || c == ';' || c == '&':
			endCommand()
		case c == '>' || c == '<':
			endWord()
			word.WriteByte(c) // the target is told from arguments by this
			inWord = true
			for i+1 < len(text) && (text[i+1] == ' ' || text[i+1] == '>' || text[i+1] == '&') {
				i++
			}
		default:
			word.WriteByte(c)
			inWord = true
		}
	}
	endCommand()
	return out
}

var assignment = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*=`)

// checkCommand tells what is wrong with a command that is tapway, make or go; known says
// that it is one of them.
func checkCommand(words []string, targets map[string]bool) (known bool, err error) {
	words = slices.DeleteFunc(slices.Clone(words), func(w string) bool { return w[:min(1, len(w))] == ">" || w[:min(1, len(w))] == "<" })
	for len(words) > 0 && (assignment.MatchString(words[0]) || words[0] == "sudo" || words[0] == "time" || words[0] == "$") {
		words = words[1:]
	}
	if len(words) == 0 {
		return false, nil
	}
	switch {
	case words[0] == "tapway":
		return true, checkTapway(words[1:])
	case words[0] == "make":
		for _, w := range words[1:] {
			if !assignment.MatchString(w) && !targets[w] {
				return true, fmt.Errorf("the Makefile has no target %s", w)
			}
		}
		return true, nil
	case words[0] == "go" && len(words) > 2 && (words[1] == "run" || words[1] == "install"):
		for i, w := range words[2:] {
			if strings.HasPrefix(w, "./") {
				if _, err := os.Stat(filepath.Join(root, w)); err != nil {
					return true, err
				}
				if w == "./cmd/tapway" && i == 0 && words[1] == "run" { // with -tags it may have other commands
					return true, checkTapway(words[i+3:])
				}
				break
			}
		}
		return true, nil
	}
	return false, nil
}

func checkTapway(args []string) error {
	top := newRoot()
	top.InitDefaultCompletionCmd()
	cmd, rest, err := top.Find(args)
	if err != nil {
		return err
	}
	if !cmd.HasParent() {
		return errors.New("no command")
	}
	if err := cmd.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) {
		return err
	}
	if cmd.HasSubCommands() {
		return fmt.Errorf("%s wants one of its commands", cmd.CommandPath())
	}
	return cmd.ValidateArgs(cmd.Flags().Args())
}

// TestDocumentsCommands: every command of tapway, make and go in the documents exists, with
// the flags that it is given.
func TestDocumentsCommands(t *testing.T) {
	makefile, err := os.ReadFile(root + "/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	targets := map[string]bool{}
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):`).FindAllStringSubmatch(string(makefile), -1) {
		targets[m[1]] = true
	}
	n, readme, inline := 0, 0, 0
	for _, file := range append(documents(t), root+"/deploy/github/tapway.yml") {
		for _, command := range inlineOf(t, file) {
			inline++
			if err := checkMention(command); err != nil {
				t.Errorf("%s: %s: %v", file, command, err)
			}
		}
		for _, b := range blocksOf(t, file) {
			for _, words := range commandsOf(strings.Join(linesOf(b), "\n")) {
				known, err := checkCommand(words, targets)
				if err != nil {
					t.Errorf("%s: %s: %v", b, strings.Join(words, " "), err)
				}
				if known {
					n++
					if file == root+"/README.md" {
						readme++
					}
				}
			}
		}
	}
	if n < 150 || readme < 10 || inline < 150 {
		t.Errorf("the documents have %d commands, the README %d, and %d are mentioned: the test does not find them", n, readme, inline)
	}
}

var (
	span = regexp.MustCompile("`(tapway [a-z][^`]*)`")
	step = regexp.MustCompile("/bin/(tapway [a-z][^`\n|]*)")
)

// inlineOf are the commands of tapway that a text mentions, and those of a workflow.
func inlineOf(t *testing.T, file string) (all []string) {
	t.Helper()
	text := read(t, "", file)
	for _, m := range append(span.FindAllStringSubmatch(text, -1), step.FindAllStringSubmatch(text, -1)...) {
		all = append(all, m[1])
	}
	return all
}

// checkMention tells whether a command that is mentioned, often without its arguments, exists with its flags.
func checkMention(command string) error {
	for _, words := range commandsOf(command) {
		if words[0] != "tapway" {
			continue
		}
		cmd, rest, err := newRoot().Find(words[1:])
		if err != nil {
			return err
		}
		if err := cmd.ParseFlags(rest); err != nil && !errors.Is(err, pflag.ErrHelp) && !strings.Contains(err.Error(), "flag needs an argument") && !strings.Contains(err.Error(), `invalid argument "N"`) {
			return err
		}
		if args := cmd.Flags().Args(); cmd.HasSubCommands() && len(args) > 0 {
			return fmt.Errorf("%s has no command %s", cmd.CommandPath(), args[0])
		}
	}
	return nil
}

func TestCheckMention(t *testing.T) {
	for command, good := range map[string]bool{
		"tapway dlq": true, "tapway dlq redrive --rate": true, "tapway attach": true, "tapway attach --via url:…": true, "tapway dlq list|show": true, "tapway tail FILTER": true,
		"tapway dql": false, "tapway dlq redrvie": false, "tapway attach --promot": false, "tapway nothing at all": false,
	} {
		if err := checkMention(command); (err == nil) != good {
			t.Errorf("%s: %v", command, err)
		}
	}
}

func TestCheckCommand(t *testing.T) {
	for line, good := range map[string]bool{
		"tapway ledger --json | jq .": true,
		"tapway ledger --jsn":         false,
		"tapway legder":               false,
		"tapway":                      false,
		"tapway cache":                false,
		"TAPWAY_TOKEN=x tapway tail 'status >= 500 # no'":        true,
		"tapway tail \"status >= 500\" twice":                    false,
		"tapway queue stats > out.txt # --nonsense":              true,
		"tapway completion bash":                                 true,
		"true && tapway ledger --nonsense":                       false,
		"tapway replay ID \\\n  --to http://127.0.0.1:3000":      true,
		"tapway replay ID \\\n  --too http://127.0.0.1:3000":     false,
		"tapway replay $(tapway export --limit 1) --to http://a": true,
		"make nonsense":            false,
		"make test":                true,
		"go run ./cmd/nonsense":    false,
		"go run ./cmd/tapway demo": true,
		"go run ./cmd/tapway domo": false,
	} {
		var failed error
		for _, words := range commandsOf(line) {
			if _, err := checkCommand(words, map[string]bool{"test": true}); err != nil {
				failed = err
			}
		}
		if (failed == nil) != good {
			t.Errorf("%q: %v", line, failed)
		}
	}
}

// TestDocumentsConfigurations: every configuration in the documents is good. A part of one
// is completed with a backend.
func TestDocumentsConfigurations(t *testing.T) {
	n := 0
	for _, file := range documents(t) {
		dir := filesFor(t, read(t, "", file))
		for _, b := range blocksOf(t, file) {
			if len(b.tags) > 1 && b.is("json") {
				write(t, dir, b.tags[1], b.text)
			}
		}
		for _, b := range blocksOf(t, file) {
			if !b.is("yaml") || len(b.tags) > 1 && b.tags[1] != "tapway.yaml" {
				continue
			}
			n++
			if err := checkConfiguration(b.text, dir); err != nil {
				t.Errorf("%s: %v", b, err)
			}
		}
	}
	if n < 12 {
		t.Errorf("the documents have %d configurations: the test does not find them", n)
	}
}

var pemFile = regexp.MustCompile(`[a-z0-9-]+\.pem`)

// filesFor is a directory with every PEM file that a text names.
func filesFor(t *testing.T, text string) string {
	t.Helper()
	dir := t.TempDir()
	cert, key := certificate(t)
	for _, name := range pemFile.FindAllString(text, -1) {
		if strings.Contains(name, "key") {
			write(t, dir, name, key)
		} else {
			write(t, dir, name, cert)
		}
	}
	return dir
}

// checkConfiguration is `tapway config check` in an environment that has every variable and
// the files in dir.
func checkConfiguration(text, dir string) error {
	var top map[string]any
	if err := yaml.Unmarshal([]byte(text), &top); err != nil {
		return err
	}
	s := config.Source{File: "tapway.yaml", Text: []byte(text), Set: map[string]string{}, Dir: dir}
	if top["backend"] == nil && top["routes"] == nil && top["openapi"] == nil {
		s.Set["backend"] = "https://api.example.com"
	}
	s.Getenv = func(name string) (string, bool) {
		switch {
		case !strings.Contains(text, "${"+name+"}"):
			return "", false
		case strings.HasSuffix(name, "URL"):
			return "https://hooks.example.com/" + name, true
		}
		return "a-value-of-20-or-more-characters-" + name, true
	}
	s.Resolve = func([]config.Ref) (map[string]string, map[string]error) { return nil, nil }
	_, err := config.Load(s)
	return err
}

var (
	ours     = regexp.MustCompile("`((?:access|access_log|admin|alarms|aws|cache|capture|egress|lambda|limits|log|proxy|storage|telemetry|tls)[.][a-z_.]+)(?:: [^`]*)?`")
	variable = regexp.MustCompile("Environment: ([^.]+)[.]")
)

// TestDocumentsKeys: every key of the configuration that a text mentions exists.
func TestDocumentsKeys(t *testing.T) {
	reference, n := config.Reference(), 0
	for _, file := range documents(t) {
		for _, m := range ours.FindAllStringSubmatch(read(t, "", file), -1) {
			key := strings.TrimSuffix(m[1], ".")
			if strings.HasSuffix(key, ".json") || strings.HasSuffix(key, ".md") || strings.HasSuffix(key, ".amazonaws.com") {
				continue
			}
			n++
			if !strings.Contains(reference, "`"+key+"`") && !strings.Contains(reference, "`"+key+"[") {
				t.Errorf("%s: there is no key %s", file, key)
			}
		}
	}
	if n < 100 {
		t.Errorf("the documents mention %d keys: the test does not find them", n)
	}
}

// TestMigration: the notes tell what becomes of each variable of the older systems, which are those that do not begin with our name.
func TestMigration(t *testing.T) {
	notes, n := read(t, root, "docs/migrate.md"), 0
	for _, m := range variable.FindAllStringSubmatch(config.Reference(), -1) {
		for _, name := range strings.Split(m[1], ", ") {
			if name = strings.Trim(name, "`"); strings.HasPrefix(name, "TAPWAY_") {
				continue
			}
			n++
			if !strings.Contains(notes, "| `"+name) {
				t.Errorf("docs/migrate.md does not tell of %s", name)
			}
		}
	}
	if n < 8 {
		t.Errorf("%d variables were looked for", n)
	}
}

func TestCheckConfiguration(t *testing.T) {
	dir := filesFor(t, "cert.pem key.pem")
	for text, good := range map[string]bool{
		"proxy: {timeout: 5s}":                   true,
		"proxy: {timeuot: 5s}":                   false,
		"backend: nonsense":                      false,
		"routes: []":                             false,
		"tls: {cert: cert.pem, key: key.pem}":    true,
		"tls: {cert: nowhere, key: key.pem}":     false,
		"access: {resource_policy: policy.json}": false,
		"destinations: [{name: a, url: \"http://a/\", format: nonsense}]": false,
		"access: {secret: \"${A_SECRET}\"}":                               true,
	} {
		if err := checkConfiguration(text, dir); (err == nil) != good {
			t.Errorf("%s: %v", text, err)
		}
	}
}
