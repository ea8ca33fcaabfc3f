package config

import (
	"errors"
	"fmt"
	"strings"
)

// expand replaces ${NAME}, ${NAME:-default}, ${file:/path} and references to AWS in one value
// of the file, each by what lookUp gives for what stands in the braces, and $${ by ${. It works on
// values, never on the file's text, so that nothing brought in can change the structure.
func expand(text string, lookUp func(ref string) (string, error)) (string, error) {
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
			return "", errNotClosed
		}
		value, err := lookUp(text[i+2 : i+end])
		if err != nil {
			return "", err
		}
		out.WriteString(value)
		text = text[i+end+1:]
	}
}

var errNotClosed = errors.New("a ${ is not closed by a }; write $${ for the characters themselves")

// lookUp gives what stands for ${ref} in the value of a key.
func (d *decoder) lookUp(ref, key string) (string, error) {
	if isReference(ref) {
		return d.reference(ref, key)
	}
	if path, ok := strings.CutPrefix(ref, "file:"); ok {
		b, err := d.readFile(path)
		if err != nil {
			return "", fmt.Errorf("${file:%s} cannot be read: %w", path, err)
		}
		return strings.TrimRight(string(b), "\r\n"), nil // a file's trailing line end is cut
	}
	name, fallback, hasFallback := strings.Cut(ref, ":-")
	if name == "" || strings.ContainsAny(name, " \t$:{") {
		return "", fmt.Errorf("${%s} is not a variable; write ${NAME}, ${NAME:-default}, ${file:/path}, ${aws-secretsmanager:NAME} or ${aws-ssm:NAME}", ref)
	}
	if value, ok := d.getenv(name); ok && (value != "" || !hasFallback) {
		return d.references(value, key)
	}
	if hasFallback {
		return fallback, nil
	}
	return "", fmt.Errorf("the environment variable %s is not set; set it, or write ${%s:-default}", name, name)
}
