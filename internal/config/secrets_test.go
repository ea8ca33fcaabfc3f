package config

import (
	"fmt"
	"strings"
	"testing"
)

// A secret that guards nothing is a mistake, and no mistake repeats a secret.
func TestAccessSecret(t *testing.T) {
	const one, two = "first-0123456789abcdef", "second-0123456789abcdef"
	for _, tt := range []struct {
		text, env string
		want      string // the secrets, or what the problem says
	}{
		{"access: {secret: " + one + "}", "", "[" + one + "]"},
		{"access: {secret: [" + one + ", " + two + "]}", "", "[" + one + " " + two + "]"},
		{"access: {secret: \"$" + "{S}\"}", one, "[" + one + "]"},
		{"", one, "[" + one + "]"},
		{"access: {secret: " + two + "}", one, "[" + one + "]"},
		{"", "", "[]"},
		{"", "   ", "shorter than 16 characters"},
		{"access: {secret: []}", "", "there is no secret in it"},
		{`access: {secret: ""}`, "", "shorter than 16 characters"},
		{"access: {secret: tooshort-secret}", "", "shorter than 16 characters"},
	} {
		c, err := Load(Source{File: "t.yaml", Text: []byte("backend: http://h\n" + tt.text), Getenv: func(name string) (string, bool) {
			return tt.env, tt.env != "" && (name == "TAPWAY_SECRET" && !strings.Contains(tt.text, "{S}") || name == "S")
		}})
		if err != nil {
			if !strings.Contains(err.Error(), tt.want) || strings.Contains(err.Error(), "tooshort") || strings.Contains(err.Error(), "blank") {
				t.Errorf("%q, %q: %v, want %s", tt.text, tt.env, err, tt.want)
			}
			continue
		}
		var got []string
		for _, s := range c.Access.Secret {
			got = append(got, s.Reveal())
		}
		if fmt.Sprint(got) != tt.want {
			t.Errorf("%q, %q: %v, want %s", tt.text, tt.env, got, tt.want)
		}
	}
}

func TestPlacesInS3(t *testing.T) {
	for text, want := range map[string]string{
		"lambda: {routes: s3://bucket/routes/}":                    "",
		"lambda: {routes: s3://bucket/routes}":                     "lambda.routes: ",
		"lambda: {routes: bucket/routes}":                          "lambda.routes: ",
		"lambda: {routes: s3:///routes}":                           "lambda.routes: ",
		"openapi: s3://bucket/a/b.json":                            "",
		"openapi: s3://bucket":                                     "openapi: ",
		"openapi: s3://bucket/a/":                                  "openapi: ",
		"openapi: missing.json":                                    "openapi: cannot be read",
		"lambda: {routes: s3://bucket/}\nbackend: https://h":       "",
		"lambda: {capture: before}":                                "nowhere to send calls",
		"lambda: {routes: s3://bucket/}\nopenapi: s3://bucket/key": "",
	} {
		_, err := Load(Source{File: "t.yaml", Text: []byte(text), Getenv: func(string) (string, bool) { return "", false }})
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}
