package config

import (
	"fmt"
	"strings"
)

// expand replaces ${NAME}, ${NAME:-default} and ${file:/path} in one value of the file, and
// $${ by ${. It works on values, never on the file's text, so that no variable can change
// the structure. A file's trailing line end is cut.
func expand(text string, getenv func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	if !strings.Contains(text, "${") {
		return text, nil
	}
	var out strings.Builder
	for {
		i := strings.Index(text, "${")
		if i < 0 {
			out.WriteString(text)
			return out.String(), nil
		}
		if i > 0 && text[i-1] == '$' {
			out.WriteString(text[:i-1])
			out.WriteString("${")
			text = text[i+2:]
			continue
		}
		out.WriteString(text[:i])
		end := strings.IndexByte(text[i:], '}')
		if end < 0 {
			return "", fmt.Errorf("a ${ is not closed by a }; write $${ for the characters themselves")
		}
		value, err := lookUp(text[i+2:i+end], getenv, readFile)
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = text[i+end+1:]
	}
}

func lookUp(ref string, getenv func(string) (string, bool), readFile func(string) ([]byte, error)) (string, error) {
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		b, err := readFile(path)
		if err != nil {
			return "", fmt.Errorf("${file:%s} cannot be read: %w", path, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil
	}
	name, fallback, hasFallback := strings.Cut(ref, ":-")
	if name == "" || strings.ContainsAny(name, " \t$:{") {
		return "", fmt.Errorf("${%s} is not a variable; write ${NAME}, ${NAME:-default} or ${file:/path}", ref)
	}
	if value, ok := getenv(name); ok && (value != "" || !hasFallback) {
		return value, nil
	}
	if hasFallback {
		return fallback, nil
	}
	return "", fmt.Errorf("the environment variable %s is not set; set it, or write ${%s:-default}", name, name)
}
