package config

import (
	"encoding/base64"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"reflect"
	"slices"
	"strconv"
	"strings"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/egress"
	"github.com/tapway/tapway/internal/filter"
	"github.com/tapway/tapway/internal/redact"
	"github.com/tapway/tapway/internal/route"
)

// check tests what types alone cannot: first every field by its tags, then what fields say
// together.
func check(d *decoder, c *Config) {
	k := &checker{d}
	k.fields(reflect.ValueOf(c).Elem(), "")
	k.backends(c)
	k.listeners(c)
	k.export(c)
	k.destinations(c)
	k.queues(c)
	k.capture(c)
	k.egress(c)
	k.access(c)
	k.cache(c)
	k.alarms(c)
	k.telemetry(c)
	if info, err := os.Stat(d.path(c.Data)); err == nil && !info.IsDir() && !k.failed("data") {
		k.fail("data", c.Data+" is a file, and a directory is wanted", "name another one")
	}
	if host, _, err := net.SplitHostPort(c.Admin.Listen); err == nil && !d.unchecked["admin.listen"] && !loopback(host) && c.Admin.Token == "" && !k.failed("admin.token") {
		k.fail("admin.token", "the admin API listens beyond loopback without a token", "set admin.token, or listen on 127.0.0.1")
	}
}

type checker struct{ d *decoder }

// fail reports a problem where key stands, or where its nearest parent does.
func (k *checker) fail(key, message, hint string) {
	k.d.problems = append(k.d.problems, k.at(key, message, hint))
}

// blind is fail for a message that quotes nothing of the value: it may be told of a secret.
func (k *checker) blind(key, message, hint string) {
	p := k.at(key, message, hint)
	p.blind = true
	k.d.problems = append(k.d.problems, p)
}

// warn reports what may be meant so, and seldom is.
func (k *checker) warn(key, message, hint string) {
	p := k.at(key, message, hint)
	p.Warning = true
	k.d.warnings = append(k.d.warnings, p)
}

func (k *checker) at(key, message, hint string) Problem {
	p := Problem{File: k.d.file, Key: key, Message: message, Hint: hint}
	for at := key; ; {
		if from, ok := k.d.origins[at]; ok {
			p.File = from
			break
		}
		if pos := k.d.places[at]; pos != nil {
			p.Line, p.Column = pos.Line, pos.Column
			break
		}
		i := strings.LastIndexAny(at, ".[")
		if i < 0 {
			break
		}
		at = at[:i]
	}
	if p.File == "" {
		p.File = Nowhere
	}
	return p
}

// failed reports whether key has a problem already, so that one mistake is told once, or a value
// that is not known here.
func (k *checker) failed(key string) bool {
	return k.d.isUnchecked(key) || slices.ContainsFunc(k.d.problems, func(p Problem) bool { return p.Key == key })
}

// has reports whether there is a problem at key or below it.
func (d *decoder) has(key string) bool {
	return slices.ContainsFunc(d.problems, func(p Problem) bool { return below(p.Key, key) })
}

func (k *checker) fields(v reflect.Value, key string) {
	for _, f := range fieldsOf(v.Type()) {
		k.field(f, v.Field(f.index), join(key, f.name))
	}
}

func (k *checker) field(f field, v reflect.Value, key string) {
	switch v.Kind() {
	case reflect.Pointer:
		if !v.IsNil() && v.Elem().Kind() == reflect.Struct {
			k.field(f, v.Elem(), key)
		}
	case reflect.Struct:
		k.fields(v, key)
		switch t := v.Addr().Interface().(type) {
		case *ServerTLS:
			k.serverTLS(key, t)
		case *ClientTLS:
			k.clientTLS(key, t)
		}
	case reflect.Slice:
		for i := range v.Len() {
			at := fmt.Sprintf("%s[%d]", key, i)
			if v.Index(i).Kind() == reflect.Struct {
				k.fields(v.Index(i), at)
			} else {
				k.value(f, v.Index(i), at)
			}
		}
	case reflect.Map:
	default:
		k.value(f, v, key)
	}
}

func (k *checker) value(f field, v reflect.Value, key string) {
	if v.Kind() != reflect.String || v.String() == "" || k.failed(key) {
		return
	}
	if f.kind == "file" || f.kind == "export" && !strings.HasPrefix(v.String(), "s3://") || f.kind == "pem" && !IsPEM(v.String()) {
		v.SetString(k.d.path(v.String()))
	}
	text := v.String()
	if len(f.enum) > 0 && !slices.Contains(f.enum, text) {
		k.fail(key, fmt.Sprintf("%q is not one of %s", text, strings.Join(f.enum, ", ")), didYouMean(text, f.enum))
		return
	}
	if rule, ok := kinds[f.kind]; ok {
		if err := rule(text); err != nil {
			message, hint, _ := strings.Cut(err.Error(), "; ")
			k.fail(key, message, hint)
		}
	}
}

// kinds are the forms a text can have. An error's part after "; " is its hint.
var kinds = map[string]func(string) error{
	"addr": checkAddr,
	"addr or off": func(s string) error {
		if s == "off" {
			return nil
		}
		return checkAddr(s)
	},
	"url":       func(s string) error { return checkURL(s, true) },
	"backend":   checkBackend,
	"file":      checkFile,
	"export":    checkExport,
	"pem":       checkPEM,
	"cidr":      checkCIDR,
	"email":     checkEmail,
	"console":   checkConsole,
	"queue":     checkQueue,
	"bucket":    checkBucket,
	"counters":  checkCounters,
	"addresses": checkAddresses,
	"s3 prefix": func(s string) error {
		bucket, prefix, ok := strings.Cut(strings.TrimPrefix(s, "s3://"), "/")
		if !ok || !strings.HasPrefix(s, "s3://") || checkBucket(bucket) != nil || prefix != "" && !strings.HasSuffix(prefix, "/") {
			return fmt.Errorf("%q is no place in S3; write s3://BUCKET/PREFIX/", s)
		}
		return nil
	},
	"filter": func(s string) error {
		_, err := filter.Parse(s)
		return err
	},
	"egress": func(s string) error {
		_, err := egress.ParseRule(s)
		return err
	},
	"match": func(s string) error {
		_, _, err := route.ParseMatch(s)
		return err
	},
}

func checkFile(s string) error {
	f, err := os.Open(s)
	if err != nil {
		return fmt.Errorf("cannot be read: %w", err)
	}
	return f.Close()
}

func checkExport(s string) error {
	if !strings.HasPrefix(s, "s3://") {
		return checkFile(s)
	}
	if _, key, err := S3(s); err != nil || key == "" || strings.HasSuffix(key, "/") {
		return fmt.Errorf("%q names no object; write s3://BUCKET/KEY", s)
	}
	return nil
}

// S3 takes s3://BUCKET/KEY apart; the key may be "".
func S3(s string) (bucket, key string, err error) {
	rest, ok := strings.CutPrefix(s, "s3://")
	bucket, key, _ = strings.Cut(rest, "/")
	if !ok || checkBucket(bucket) != nil {
		return "", "", fmt.Errorf("%q is no place in a bucket; write s3://BUCKET/PREFIX/", s)
	}
	return bucket, key, nil
}

// IsPEM reports whether the value of a key that takes a file or its content is the content.
func IsPEM(s string) bool { return strings.HasPrefix(strings.TrimSpace(s), "-----BEGIN ") }

func checkPEM(s string) error {
	if !IsPEM(s) {
		return checkFile(s)
	}
	if block, _ := pem.Decode([]byte(strings.TrimSpace(s))); block == nil {
		return errors.New("it begins as PEM but does not go on as such; are its line ends there? In YAML write | behind the key and the lines below it")
	}
	return nil
}

func checkCIDR(s string) error {
	if _, err := netip.ParsePrefix(s); err == nil {
		return nil
	}
	if _, err := netip.ParseAddr(s); err == nil {
		return nil
	}
	return fmt.Errorf("%q is neither an address nor a network; write 10.0.0.0/8 or 2001:db8::/32", s)
}

const (
	small    = "abcdefghijklmnopqrstuvwxyz0123456789"
	capitals = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
	letters  = small + capitals
)

// made reports whether s has from lo up to hi bytes, all of them of alphabet. A regular expression
// would cost every start of a Lambda function its compilation.
func made(s, alphabet string, lo, hi int) bool {
	return len(s) >= lo && len(s) <= hi && strings.Trim(s, alphabet) == ""
}

// QueueFor is a queue's name or URL for one destination.
func QueueFor(queue, destination string) string {
	return strings.ReplaceAll(queue, "{destination}", destination)
}

func checkQueue(s string) error {
	const write = "write disk, sqs://NAME, or the URL or ARN of an SQS queue"
	name := QueueFor(strings.TrimPrefix(s, "sqs://"), "x")
	if parts := strings.Split(name, ":"); len(parts) == 6 && parts[0] == "arn" && parts[2] == "sqs" {
		name = parts[5]
	}
	switch scheme, rest, ok := strings.Cut(s, "://"); {
	case ok && (scheme == "https" || scheme == "http"):
		if err := checkURL(QueueFor(s, "x"), false); err != nil {
			return err
		}
		name = name[strings.LastIndexByte(name, '/')+1:]
		if strings.Count(strings.Trim(rest, "/"), "/") < 2 {
			return fmt.Errorf("%q is not the URL of an SQS queue; write https://sqs.REGION.amazonaws.com/ACCOUNT/NAME, or sqs://NAME", s)
		}
	case ok && scheme != "sqs":
		return fmt.Errorf("%q is no queue that this version knows; %s", s, write)
	}
	if strings.HasSuffix(name, ".fifo") {
		return fmt.Errorf("%q is a FIFO queue, which would let one failing record hold up the others; use a standard queue", s)
	}
	if !made(name, letters+"-_", 1, 80) {
		return fmt.Errorf("%q does not name a queue; %s", s, write)
	}
	return nil
}

func checkBucket(s string) error {
	if !made(s, small+"-.", 3, 63) || strings.Trim(s, "-.") != s {
		return fmt.Errorf("%q is not the name of an S3 bucket; write the name alone, without s3://", s)
	}
	return nil
}

// export tells what is wrong with an API Gateway export that is here to be read. A function reads its
// own at the start, which a second reading would make longer.
func (k *checker) export(c *Config) {
	if c.OpenAPI == "" || k.d.function || k.failed("openapi") || strings.HasPrefix(c.OpenAPI, "s3://") {
		return
	}
	text, err := os.ReadFile(c.OpenAPI)
	if err == nil {
		_, err = route.ReadOpenAPI(text, route.OpenAPIOptions{StageVariables: c.StageVariables})
	}
	if err != nil {
		k.fail("openapi", c.OpenAPI+": "+err.Error(), "`tapway discover --openapi "+c.OpenAPI+"` reads it as well")
	}
}

func (k *checker) backends(c *Config) {
	ways := 0
	for _, used := range []bool{c.Backend != "", len(c.Routes) > 0, c.OpenAPI != ""} {
		if used {
			ways++
		}
	}
	switch {
	case ways == 0 && (k.d.forwards || c.Lambda.Routes != ""):
	case ways == 0 && len(k.d.problems) == 0:
		k.fail("backend", "there is nowhere to send calls", "set backend: https://host, or routes, or openapi (on the command line: --backend https://host)")
	case ways > 1:
		k.fail("backend", "backend, routes and openapi exclude each other", "keep one; a route \"ANY /{proxy+}\" catches the rest")
	}
	bad := false
	routes := make([]route.Route, len(c.Routes))
	for i, r := range c.Routes {
		key := fmt.Sprintf("routes[%d]", i)
		k.literal(key+".match", r.Match)
		method, template, err := route.ParseMatch(r.Match)
		if err != nil || k.failed(key+".match") || k.failed(key+".backend") || r.Backend == "" {
			bad = true
			continue
		}
		routes[i] = route.Route{Method: method, Template: template, Backend: r.Backend, Ref: i}
		if _, err := route.NewTable(routes[i : i+1]); err != nil {
			k.fail(key+".backend", err.Error(), "")
			bad = true
		}
	}
	if !bad && len(routes) > 0 {
		if _, err := route.NewTable(routes); err != nil {
			k.fail("routes", err.Error(), "")
		}
	}
	if c.TLS != nil && c.Listen == "" {
		k.fail("listen", "there is no address to listen on", "")
	}
}

// ownHeaders are those that tapway sets when it delivers.
var ownHeaders = []string{"Webhook-Id", "Webhook-Timestamp", "Webhook-Signature", "X-Tapway-Attempt", "Content-Length", "Transfer-Encoding", "Connection", "Trailer", "Upgrade"}

func (k *checker) destinations(c *Config) {
	seen := map[string]bool{}
	for i, dest := range c.Destinations {
		key := fmt.Sprintf("destinations[%d]", i)
		switch {
		case dest.Name == "", k.d.isUnchecked(key + ".name"):
		case !made(dest.Name, letters+"-_", 1, 64) || !made(dest.Name[:1], letters, 1, 1):
			k.fail(key+".name", fmt.Sprintf("%q is not a name", dest.Name), "use up to 64 letters, digits, '-' and '_'")
		case seen[dest.Name]:
			k.fail(key+".name", fmt.Sprintf("%q is taken by a destination above", dest.Name), "")
		}
		seen[dest.Name] = true
		k.signing(key+".signing_secret", dest.Signing)
		k.positive(key+".concurrency", dest.Concurrency)
		k.positive(key+".batch.max_records", dest.Batch.MaxRecords)
		k.positive(key+".retry.max_attempts", dest.Retry.MaxAttempts)
		if dest.Retry.Min > dest.Retry.Max {
			k.fail(key+".retry", "min is longer than max", "")
		}
		if dest.Timeout == 0 {
			k.fail(key+".timeout", "an attempt without a timeout could block a destination for ever", "write 10s")
		}
		for name := range dest.Headers {
			if !made(name, letters+"-!#$%&'*+.^_`|~", 1, 1<<16) {
				k.fail(key+".headers", fmt.Sprintf("%q is not a header name", name), "")
			} else if slices.ContainsFunc(ownHeaders, func(own string) bool { return strings.EqualFold(own, name) }) {
				k.fail(key+".headers."+name, "tapway sets this header itself", "remove it")
			}
		}
	}
}

// signing tests the form of a Standard Webhooks secret, and never shows it.
func (k *checker) signing(key string, secrets []tapway.Secret) {
	for i, secret := range secrets {
		at := fmt.Sprintf("%s[%d]", key, i)
		if k.failed(at) || k.failed(key) {
			continue
		}
		encoded, ok := strings.CutPrefix(secret.Reveal(), "whsec_")
		switch _, err := base64.RawStdEncoding.DecodeString(strings.TrimRight(encoded, "=")); {
		case strings.TrimSpace(secret.Reveal()) == "":
			k.blind(at, "it is empty", "write whsec_ and the output of openssl rand -base64 32")
		case ok && (err != nil || encoded == ""):
			k.blind(at, "what follows whsec_ is not Base64", "write whsec_ and the output of openssl rand -base64 32")
		}
	}
}

func (k *checker) positive(key string, n int) {
	if n < 1 && !k.failed(key) {
		k.fail(key, "must be at least 1", "")
	}
}

// queues tests that every destination has a queue of its own.
func (k *checker) queues(c *Config) {
	several := len(c.Destinations) > 1
	if several && c.Queue != "disk" && QueueFor(c.Queue, "") == c.Queue && !k.failed("queue") {
		k.fail("queue", "several destinations cannot share an SQS queue", "write {destination} into it, as in sqs://records-{destination}, and make a queue for each")
	}
	dead := c.Lambda.DeadLetterQueue
	if dead != "" && dead == c.Queue {
		k.fail("lambda.dead_letter_queue", "it is the queue itself", "")
	}
}

func (k *checker) capture(c *Config) {
	for i, r := range c.Capture.Rules {
		if r.Sample != nil && !(*r.Sample >= 0 && *r.Sample <= 1) {
			k.fail(fmt.Sprintf("capture.rules[%d].sample", i), fmt.Sprintf("%v is not a share between 0 and 1", *r.Sample), "")
		}
	}
	if k.d.skips("capture.redact") {
		return
	}
	r := c.Capture.Redact
	for i, path := range r.JSON {
		if _, err := redact.New(redact.Rules{JSON: []string{path}}); err != nil {
			hint := ""
			if made(path, letters+"_-.", 1, 1<<10) {
				hint = "write $.." + path
			}
			k.fail(fmt.Sprintf("capture.redact.json[%d]", i), strings.TrimPrefix(err.Error(), "redact json[0] "), hint)
		}
	}
	for name, list := range map[string][]string{"headers": r.Headers, "cookies": r.Cookies} {
		for i, one := range list {
			if strings.ContainsAny(one, ",; \t:") {
				k.fail(fmt.Sprintf("capture.redact.%s[%d]", name, i), fmt.Sprintf("%q is not one name, and nothing would be redacted by it", one), "write a list: ["+strings.Join(strings.FieldsFunc(one, func(c rune) bool { return strings.ContainsRune(",; \t:", c) }), ", ")+"]")
			}
		}
	}
	if _, err := redact.New(r.Rules()); err != nil && !k.d.has("capture.redact") {
		k.fail("capture.redact", err.Error(), "")
	}
}

// egress tells of backends and destinations that could never be dialled.
func (k *checker) egress(c *Config) {
	policy, err := c.Egress.Policy()
	if err != nil || c.Egress.ReportOnly {
		return // what is wrong with a rule has been told
	}
	one := func(key, to string) {
		host, port, ok := egress.HostOf(to)
		if !ok || k.failed(key) {
			return
		}
		if v, never := policy.Never(host, port); never {
			at := net.JoinHostPort(host, strconv.Itoa(int(port)))
			hint := "add " + at + " to egress.allow, or the network it is in"
			switch {
			case v.Rule == egress.HostForm:
				hint = "write it as 192.0.2.1"
			case v.Rule != egress.AllowList:
				hint = "remove that rule from egress.deny, or add a more specific one to egress.allow"
			}
			k.fail(key, fmt.Sprintf("%s can never be dialled (%s)", at, v), hint)
		}
	}
	one("backend", c.Backend)
	for i, r := range c.Routes {
		one(fmt.Sprintf("routes[%d].backend", i), r.Backend)
	}
	for i, d := range c.Destinations {
		one(fmt.Sprintf("destinations[%d].url", i), d.URL)
	}
	c.Alarms.places(one)
}

// Rules are these rules in the redactor's form, the built-in ones included if wanted.
func (r Redact) Rules() redact.Rules {
	rules := redact.Rules{
		Headers: r.Headers, Cookies: r.Cookies, Query: r.Query, Path: r.Path, JSON: r.JSON, Form: r.Form, Key: r.Key,
	}
	if r.Defaults {
		return redact.Defaults().Merge(rules)
	}
	return rules
}
