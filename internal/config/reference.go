package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Reference is the documentation of every key in Markdown, made from the struct.
func Reference() string {
	var b strings.Builder
	b.WriteString(`# tapway.yaml

Every key, made from the program by a test. ` + "`tapway config init`" + ` prints a file to begin with, ` + "`tapway config check`" + ` tells
all that is wrong with one, and ` + "`tapway config schema`" + ` prints a JSON Schema for editors.

- Unknown keys are errors.
- Flags win over the environment, which wins over the file, which wins over the defaults.
- ` + "`${NAME}`" + ` in a value reads the environment, ` + "`${NAME:-default}`" + ` with a fallback, ` + "`${file:/path}`" + ` a file; ` + "`$${`" + ` is the
  characters themselves. What they bring in is a value, never more YAML.
- ` + "`${aws-secretsmanager:NAME}`" + ` is a secret of AWS Secrets Manager, by name or ARN; ` + "`NAME#FIELD`" + ` is a field of one that is a JSON object, and
  ` + "`NAME@AWSPREVIOUS`" + ` the version before (` + "`NAME@AWSPREVIOUS#FIELD`" + ` both). ` + "`${aws-ssm:/PATH/NAME}`" + ` is a parameter of the Systems Manager
  Parameter Store, decrypted; ` + "`NAME:3`" + ` or ` + "`NAME:LABEL`" + ` is a version of it. They also work in environment variables that set a key or that
  ` + "`${NAME}`" + ` reads. They are looked up when the configuration is read: at the start and at each reload, and on Lambda once in an
  environment's life. It takes ` + "`secretsmanager:GetSecretValue`, `ssm:GetParameters`, and `kms:Decrypt`" + ` for a key of your own; region, credentials
  and endpoints are AWS's own variables (` + "`AWS_ENDPOINT_URL_SECRETS_MANAGER`, `AWS_ENDPOINT_URL_SSM`" + `). ` + "`tapway config check`" + ` only looks
  them up with ` + "`--secrets`" + `.
- Where a PEM file is wanted, its content may stand instead.
- Durations are written ` + "`250ms`, `10s`, `15m`, `24h`, `7d`" + `; a bare number is seconds. Sizes are written ` + "`512`, `10KiB`, `10MB`" + `.
- OpenTelemetry's own variables (` + "`OTEL_…`" + `) set what stands below ` + "`telemetry`" + ` in ` + "`tapway serve`" + ` and ` + "`tapway forward`" + `: [telemetry.md](telemetry.md) has the list.
- A list of one may be written as the value alone. Anchors, aliases and ` + "`<<`" + ` work as in YAML 1.1.
- A reload (SIGHUP, or POST /reload on the admin address) puts everything into force except what stands under ` + "`listen`, `h2c`," + `
  ` + "`data`, `queue`, `storage`, `admin`, `limits`, `access_log`, `telemetry`, `log.format`, `log.level`, and in `capture`: `max_body`, `memory`, `durability`," + `
  ` + "`on_failure`, and in `access`: `proxy_protocol`, `counters`, `counters_on_failure`, `counters_wait`" + `. A changed key of those is named and keeps its old value until a restart.

| key | kind | default | meaning |
|---|---|---|---|
`)
	reference(&b, reflect.TypeFor[Config](), "")
	return b.String()
}

func reference(b *strings.Builder, t reflect.Type, prefix string) {
	for _, f := range fieldsOf(t) {
		inner, suffix := f.typ, ""
		if inner.Kind() == reflect.Pointer {
			inner = inner.Elem()
		}
		if inner.Kind() == reflect.Slice && inner.Elem().Kind() == reflect.Struct {
			inner, suffix = inner.Elem(), "[]"
		}
		doc := f.doc
		if len(f.enum) > 0 {
			doc += " One of " + code(f.enum) + "."
		}
		if f.required {
			doc += " Required."
		}
		if len(f.env) > 0 {
			doc += " Environment: " + code(f.env) + "."
		}
		if f.example != "" {
			doc += " Example: " + code([]string{f.example}) + "."
		}
		def := ""
		if f.def != "" {
			def = code([]string{f.def})
		}
		fmt.Fprintf(b, "| `%s%s%s` | %s | %s | %s |\n", prefix, f.name, suffix, kindName(f.typ), def, strings.ReplaceAll(doc, "|", `\|`))
		if inner.Kind() == reflect.Struct {
			reference(b, inner, prefix+f.name+suffix+".")
		}
	}
}

func code(words []string) string { return "`" + strings.Join(words, "`, `") + "`" }

func kindName(t reflect.Type) string {
	switch {
	case t.Kind() == reflect.Pointer:
		return kindName(t.Elem())
	case t == durationType:
		return "duration"
	case t == sizeType:
		return "size"
	case t == shareType:
		return "share"
	case t == secretType:
		return "secret"
	}
	switch t.Kind() {
	case reflect.Struct:
		return "keys"
	case reflect.Slice:
		if t.Elem().Kind() == reflect.Struct {
			return "list of keys"
		}
		return "list of " + kindName(t.Elem()) + "s"
	case reflect.Map:
		return "names to " + kindName(t.Elem()) + "s"
	case reflect.Bool:
		return "true or false"
	case reflect.Int, reflect.Float64:
		return "number"
	}
	return "text"
}
