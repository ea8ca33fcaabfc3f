package awssecret

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"unicode/utf8"
)

// batch is how many parameters GetParameters takes at once, parallel how many calls are under
// way at once.
const (
	batch    = 10
	parallel = 8
)

// Resolve looks up references, "aws-secretsmanager:siem#token" or "aws-ssm:/siem/token", all at once.
// Each of them is in one of the two maps. It takes no longer than 8 s. A line end at the end of
// a value is cut. No error holds a value; each says what is missing, and what to allow.
func (c *Client) Resolve(ctx context.Context, references []string) (values map[string]string, failed map[string]error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	l := &lookup{client: c, values: map[string]string{}, failed: map[string]error{}, slots: make(chan struct{}, parallel)}
	secrets := map[reference][]reference{} // by what is asked for: several fields of a secret are one call
	parameters := map[string][]reference{} // by region
	for _, text := range slices.Compact(slices.Sorted(slices.Values(references))) {
		r, err := parse(text)
		switch {
		case err != nil:
			l.fail(r, err)
		case r.kind == SecretsManager:
			asked := reference{kind: r.kind, id: r.id, stage: r.stage, region: r.region}
			secrets[asked] = append(secrets[asked], r)
		default:
			parameters[r.region] = append(parameters[r.region], r)
		}
	}
	for _, same := range secrets {
		l.run(func() { l.secret(ctx, same) })
	}
	for _, list := range parameters {
		for _, some := range batches(list) {
			l.run(func() { l.parameters(ctx, some) })
		}
	}
	l.running.Wait()
	return l.values, l.failed
}

// batches shares references out so that no call asks for two versions of a parameter: by its
// name alone the answer tells them apart.
func batches(list []reference) (out [][]reference) {
	for _, r := range list {
		i := slices.IndexFunc(out, func(b []reference) bool {
			return len(b) < batch && !slices.ContainsFunc(b, func(o reference) bool { return o.parameter() == r.parameter() })
		})
		if i < 0 {
			i, out = len(out), append(out, nil)
		}
		out[i] = append(out[i], r)
	}
	return out
}

// Fail is err, told as the reason why a reference gives nothing.
func Fail(reference string, err error) error { return fmt.Errorf("${%s}: %w", reference, err) }

// lookup is one Resolve.
type lookup struct {
	client  *Client
	running sync.WaitGroup
	slots   chan struct{}

	mu     sync.Mutex
	values map[string]string
	failed map[string]error
}

func (l *lookup) run(f func()) {
	l.running.Go(func() {
		l.slots <- struct{}{}
		defer func() { <-l.slots }()
		f()
	})
}

func (l *lookup) fail(r reference, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.failed[r.text] = Fail(r.text, err)
}

func (l *lookup) found(r reference, value string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.values[r.text] = strings.TrimRight(value, "\r\n")
}

// secret looks a secret up for all that want something of it.
func (l *lookup) secret(ctx context.Context, all []reference) {
	in := struct {
		SecretId     string
		VersionStage string `json:",omitempty"`
	}{all[0].id, all[0].stage}
	var out struct {
		SecretString *string
		SecretBinary []byte
	}
	f := l.client.call(ctx, all[0], "GetSecretValue", in, &out)
	for _, r := range all {
		switch {
		case f != nil:
			l.fail(r, advise(r, f))
		case out.SecretString == nil && !utf8.Valid(out.SecretBinary):
			l.fail(r, errors.New("the secret is binary, and not text"))
		default:
			text := string(out.SecretBinary)
			if out.SecretString != nil {
				text = *out.SecretString
			}
			if value, err := field(text, r.field); err != nil {
				l.fail(r, err)
			} else {
				l.found(r, value)
			}
		}
	}
}

// field takes a field out of a secret that is a JSON object; "" is the whole secret.
func field(secret, name string) (string, error) {
	if name == "" {
		return secret, nil
	}
	var fields map[string]json.RawMessage
	if json.Unmarshal([]byte(secret), &fields) != nil { // its error may quote the secret
		return "", errors.New("the secret is not a JSON object, so it has no fields; write its name without #" + name)
	}
	raw, ok := fields[name]
	if !ok {
		return "", fmt.Errorf("the secret has no field %q", name)
	}
	switch raw[0] {
	case '"':
		var text string
		err := json.Unmarshal(raw, &text)
		return text, err
	case '{', '[', 'n':
		return "", fmt.Errorf("the field %q of the secret is neither a text nor a number", name)
	}
	return string(raw), nil
}

// parameters looks up to ten parameters up. AWS refuses all of them for one that the caller may not
// read or that is misspelt, so then each is asked for alone: the error is to name the right one.
func (l *lookup) parameters(ctx context.Context, list []reference) {
	in := struct {
		Names          []string
		WithDecryption bool
	}{WithDecryption: true}
	for _, r := range list {
		in.Names = append(in.Names, r.id)
	}
	var out struct {
		Parameters []struct{ ARN, Name, Value string }
	}
	f := l.client.call(ctx, list[0], "GetParameters", in, &out)
	if f != nil && !f.passing() && len(list) > 1 {
		for i := range list {
			l.run(func() { l.parameters(ctx, list[i:i+1]) })
		}
		return
	}
	for _, r := range list {
		if f != nil {
			l.fail(r, advise(r, f))
			continue
		}
		known := false
		for _, p := range out.Parameters {
			if p.Name == r.parameter() || p.ARN == r.parameter() {
				l.found(r, p.Value)
				known = true
				break
			}
		}
		if !known {
			l.fail(r, fmt.Errorf("there is no such parameter in %s, or no such version of it", l.client.region(r)))
		}
	}
}

// advise says what to do about a fault.
func advise(r reference, f *fault) error {
	action := map[string]string{SecretsManager: "secretsmanager:GetSecretValue", ParameterStore: "ssm:GetParameters"}[r.kind]
	hint := ""
	switch about := strings.ToLower(f.message); {
	case f.err != nil:
		hint = "; is there a way from here to AWS? (a function in a VPC needs a NAT gateway or an interface endpoint for " +
			map[string]string{SecretsManager: "secretsmanager", ParameterStore: "ssm"}[r.kind] + ")"
	case f.code == "DecryptionFailure", f.code == "InvalidKeyId",
		f.code == "AccessDeniedException" && (strings.Contains(about, "kms") || strings.Contains(about, "ciphertext")):
		hint = "; allow kms:Decrypt with the key that it is encrypted with"
	case f.code == "AccessDeniedException":
		hint = "; allow " + action + " on it, and kms:Decrypt if it is encrypted with a key of your own"
	case f.code == "ResourceNotFoundException":
		hint = "; check its name, its version and its region"
	case f.code == "InvalidSignatureException", f.code == "RequestExpired", f.code == "SignatureDoesNotMatch":
		hint = "; check the AWS credentials and the clock"
	}
	return fmt.Errorf("%w%s", f, hint)
}
