package deploy

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/goccy/go-yaml"

	"github.com/tapway/tapway/internal/config"
)

// defaultConcurrency is how many forwarders run at once for a destination without a word of its
// own, as in tapway.yaml.
const defaultConcurrency = 16

// elsewhere are keys of tapway.yaml that the functions have no use for, or that the modules
// set themselves.
var elsewhere = []string{"listen", "tls", "h2c", "data", "queue", "bucket", "admin", "storage", "limits", "aws", "openapi", "stage_variables"}

// Settings is what a tapway.yaml says about functions.
type Settings struct {
	Config       *config.Config
	Counting                               // for rates, quotas and ceilings
	More         map[string]any            // of the file, as it stands there, references to secrets unread
	Destinations map[string]map[string]any // as the module takes them
	Backend      string
	References   []string // to secrets: "aws-ssm:/tapway/token"
	Warnings     []string
}

// ReadSettings reads tapway.yaml for functions: what they cannot have, an environment variable or
// a file of this machine, is a problem with its place. text nil is no file. destination, when
// it is not "", is delivered to instead of the file's destinations.
func ReadSettings(file string, text []byte, destination string) (*Settings, error) {
	s := new(Settings)
	c, problems, err := config.Peek(config.Source{
		File: file, Text: append([]byte{}, text...), Forwards: true,
		Getenv: func(string) (string, bool) { return "", false },
		ReadFile: func(name string) ([]byte, error) {
			return nil, errors.New("the functions have no file of this machine; keep the value in Secrets Manager or the Parameter Store, and write ${aws-secretsmanager:NAME} or ${aws-ssm:/NAME}")
		},
		Resolve: func(refs []config.Ref) (map[string]string, map[string]error) {
			for _, r := range refs {
				s.References = append(s.References, r.Name)
			}
			return nil, nil
		},
	})
	if err != nil {
		return nil, err
	}
	s.Config = c
	left := slices.DeleteFunc(problems, func(p config.Problem) bool {
		top, _, _ := strings.Cut(p.Key, ".")
		top, _, _ = strings.Cut(top, "[")
		return top != "aws" && slices.Contains(elsewhere, top) && ofMachines(p) || destination != "" && top == "destinations"
	})
	for i, p := range left {
		if strings.HasPrefix(p.Message, "the environment variable") {
			left[i].Message, _, _ = strings.Cut(p.Message, ";")
			left[i].Hint = "the functions do not have this machine's environment: write ${aws-secretsmanager:NAME} or ${aws-ssm:/NAME} if it is a secret, else the value"
		}
	}
	if len(left) > 0 {
		return nil, left
	}
	if err := yaml.Unmarshal(text, &s.More); err != nil {
		return nil, fmt.Errorf("%s: %w", file, err)
	}
	if s.More == nil {
		s.More = map[string]any{}
	}
	given, limits := s.More["destinations"], s.More["limits"]
	s.Backend, _ = s.More["backend"].(string)
	for _, key := range append(elsewhere, "backend", "destinations") {
		delete(s.More, key)
	}
	if err := s.counting(file, limits); err != nil {
		return nil, err
	}
	if found := filesIn(s.More, ""); len(found) > 0 {
		return nil, fmt.Errorf("%s: %s: a file of this machine, which the functions do not have; give the PEM itself, such as ${aws-ssm:/NAME}", file, found[0])
	}
	s.Destinations = map[string]map[string]any{}
	if destination != "" {
		s.Destinations["default"] = map[string]any{"url": destination, "concurrency": defaultConcurrency}
		return s, nil
	}
	return s, s.destinations(given)
}

// destinations makes the module's destinations of the file's.
func (s *Settings) destinations(given any) error {
	list, ok := given.([]any)
	if one, isMap := given.(map[string]any); isMap {
		list, ok = []any{one}, true
	}
	if !ok || len(list) != len(s.Config.Destinations) {
		return nil // there is none: one is asked for
	}
	for i, d := range s.Config.Destinations {
		raw, _ := list[i].(map[string]any)
		out := map[string]any{"concurrency": min(max(d.Concurrency, 2), 1000)}
		for _, key := range []string{"url", "headers", "format", "if", "timeout", "batch", "retry", "tls"} {
			if v, ok := raw[key]; ok {
				out[key] = v
			}
		}
		switch secrets := raw["signing_secret"].(type) {
		case string:
			out["signing_secret"] = secrets
		case []any:
			if len(secrets) > 0 {
				out["signing_secret"], out["old_secrets"] = secrets[0], secrets[1:]
			}
		}
		if found := filesIn(map[string]any{"tls": raw["tls"]}, "destinations."+d.Name); len(found) > 0 {
			return fmt.Errorf("%s: a file of this machine, which the functions do not have; give the PEM itself, such as ${aws-ssm:/NAME}", found[0])
		}
		s.warnAboutSecrets(d.Name, raw)
		s.Destinations[d.Name] = out
	}
	return nil
}

func (s *Settings) warnAboutSecrets(name string, raw map[string]any) {
	var clear []string
	headers, _ := raw["headers"].(map[string]any)
	for header, value := range headers {
		if text := fmt.Sprint(value); !strings.Contains(text, "${aws-") && !strings.EqualFold(header, "Content-Type") {
			clear = append(clear, "headers."+header)
		}
	}
	if secret := fmt.Sprint(raw["signing_secret"]); raw["signing_secret"] != nil && !strings.Contains(secret, "${aws-") {
		clear = append(clear, "signing_secret")
	}
	slices.Sort(clear)
	for _, key := range clear {
		s.Warnings = append(s.Warnings, fmt.Sprintf("destinations.%s.%s would stand in clear in Terraform's state and in the bucket; keep it in Secrets Manager and write ${aws-secretsmanager:NAME}", name, key))
	}
}

// filesIn finds the keys of TLS settings that name a file.
func filesIn(v any, at string) (found []string) {
	switch v := v.(type) {
	case map[string]any:
		for key, inner := range v {
			path := strings.TrimPrefix(at+"."+key, ".")
			if text, ok := inner.(string); ok && strings.HasSuffix(at, "tls") && slices.Contains([]string{"ca", "cert", "key", "client_ca"}, key) {
				if text != "" && !strings.HasPrefix(text, "${aws-") && !config.IsPEM(text) {
					found = append(found, path)
				}
				continue
			}
			found = append(found, filesIn(inner, path)...)
		}
	case []any:
		for i, inner := range v {
			found = append(found, filesIn(inner, fmt.Sprintf("%s[%d]", at, i))...)
		}
	}
	slices.Sort(found)
	return found
}

// ProxyTimeout is the timeout that the proxy function needs: two seconds more than a call may
// take, so that there is time for the answer and its record.
func (s *Settings) ProxyTimeout() int {
	t := s.Config.Proxy.Timeout.D()
	if t <= 0 {
		t = 27 * time.Second // API Gateway itself waits 29
	}
	return int(min(max(math.Ceil(t.Seconds())+2, 3), 900))
}

// ForwarderTimeout is the timeout that the forwarder function needs: six times the longest
// attempt, and no less than a minute.
func (s *Settings) ForwarderTimeout() int {
	longest := 10 * time.Second
	if len(s.Destinations) == len(s.Config.Destinations) {
		for _, d := range s.Config.Destinations {
			longest = max(longest, d.Timeout.D())
		}
	}
	return int(min(6*math.Ceil(longest.Seconds()), 900))
}
