package deploy

import (
	"fmt"
	"regexp"
	"slices"
	"strings"
	"testing"

	modules "github.com/tapway/tapway/deploy"
	"github.com/tapway/tapway/internal/config"
)

// TestCheckTapped: the last function that fits is allowed, and the first that does not is told before anything is made.
func TestCheckTapped(t *testing.T) {
	s, err := ReadSettings("tapway.yaml", []byte(full+"limits: {daily_calls: 5}"), "")
	if err != nil {
		t.Fatal(err)
	}
	stack := &Stack{Project: "shop", Region: "eu-west-1", Account: "123456789012", Settings: s}
	if err := stack.CheckTapped(); err != nil {
		t.Errorf("no functions: %v", err)
	}
	for i := range 200 {
		stack.Tapped = append(stack.Tapped, fmt.Sprintf("arn:aws:lambda:eu-west-1:123456789012:function:orders-%03d:live", i))
	}
	err = stack.CheckTapped()
	if err == nil || !strings.Contains(err.Error(), "the attached APIs call 200 Lambda functions") || !strings.Contains(err.Error(), "role shop-proxy-eu-west-1") {
		t.Fatalf("200 functions: %v", err)
	}
	_, text, _ := strings.Cut(err.Error(), "allowed ")
	var fit int
	if _, err := fmt.Sscan(text, &fit); err != nil || fit < 80 || fit > 150 {
		t.Fatalf("%d fit, %v: %s", fit, err, text)
	}
	all := stack.Tapped
	for n, fits := range map[int]bool{fit: true, fit + 1: false} {
		stack.Tapped = all[:n]
		if err := stack.CheckTapped(); (err == nil) != fits {
			t.Errorf("%d functions: %v", n, err)
		}
	}
	one := len(`"` + all[0] + `",`)
	size, err := stack.withTapped(all[:fit]).roleSize()
	if err != nil || size > 10240 || size+one <= 10240 {
		t.Errorf("%d functions have %d characters, one more %d: %v", fit, size, one, err)
	}
	s.References = nil
	for i := range 150 {
		s.References = append(s.References, fmt.Sprintf("aws-ssm:/tapway/a-parameter-with-a-long-name/%d", i))
	}
	if err := stack.CheckTapped(); err == nil || !strings.Contains(err.Error(), "fewer destinations or secrets") {
		t.Errorf("too many secrets: %v", err)
	}
}

// TestRoleSizeKnowsModule: what the module writes into the role's policies is what is reckoned with.
func TestRoleSizeKnowsModule(t *testing.T) {
	s, err := ReadSettings("tapway.yaml", []byte(full+"limits: {daily_calls: 5}"), "")
	if err != nil {
		t.Fatal(err)
	}
	stack := &Stack{Project: "shop", Region: "eu-west-1", Account: "123456789012", Settings: s, VPC: &config.AWSVPC{}, Tapped: []string{"arn:x"}}
	all, err := stack.roleStatements()
	if err != nil {
		t.Fatal(err)
	}
	var ours []string
	for _, one := range all {
		ours = append(append(ours, one.Sid), one.Action...)
	}
	read := func(name, from, to string) string {
		text, err := modules.Modules.ReadFile("terraform/tapway/" + name)
		if err != nil {
			t.Fatal(err)
		}
		_, part, found := strings.Cut(string(text), from)
		part, _, ended := strings.Cut(part, to)
		if !found || !ended {
			t.Fatalf("%s has no longer %q and %q", name, from, to)
		}
		return part
	}
	text := read("roles.tf", "  common = concat(", "\n  )\n") + read("roles.tf", `resource "aws_iam_role_policy" "proxy" {`, "\n}\n") + read("counters.tf", `resource "aws_iam_role_policy" "counters" {`, "\n}\n")
	var theirs []string
	for _, m := range regexp.MustCompile(`Sid +=\s"([A-Za-z]+)"|"([a-z0-9]+:[A-Z][A-Za-z]+)"`).FindAllStringSubmatch(text, -1) {
		if name := m[1] + m[2]; name != "Key" && !strings.HasPrefix(name, "kms:") { // deploy gives no key
			theirs = append(theirs, name)
		}
	}
	slices.Sort(ours)
	slices.Sort(theirs)
	if !slices.Equal(ours, theirs) {
		t.Errorf("reckoned with:\n%q\nin the module:\n%q", ours, theirs)
	}
}
