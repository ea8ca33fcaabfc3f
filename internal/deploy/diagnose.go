package deploy

import (
	"context"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
)

// TerraformError is a run of terraform that failed.
type TerraformError struct {
	Command string   // init, plan, apply
	Said    []string // its errors, each in a line or a few
	Missing []string // IAM actions that the credentials lack: "sqs:CreateQueue"
	Advice  string
	Err     error
}

func (e *TerraformError) Error() string {
	var b strings.Builder
	fmt.Fprintf(&b, "terraform %s failed", e.Command)
	for _, said := range e.Said {
		b.WriteString("\n  " + strings.ReplaceAll(said, "\n", "\n  "))
	}
	if len(e.Missing) > 0 {
		fmt.Fprintf(&b, "\nthese credentials lack %s; `tapway deploy --print-policy` prints the smallest IAM policy", strings.Join(e.Missing, ", "))
	}
	if e.Advice != "" {
		b.WriteString("\n" + e.Advice)
	}
	return b.String()
}

func (e *TerraformError) Unwrap() error { return e.Err }

var (
	lacking    = regexp.MustCompile(`not authorized to perform:? ([a-z0-9-]+:[A-Za-z0-9]+)`)
	denied     = regexp.MustCompile(`operation error ([A-Za-z0-9 ]+): ([A-Za-z0-9]+), .*(?:StatusCode: 403|AccessDenied|UnauthorizedOperation|AuthorizationError)`)
	lockID     = regexp.MustCompile(`ID:\s+([0-9a-f-]{36})`)
	frame      = regexp.MustCompile(`[│╷╵]`)
	escapes    = regexp.MustCompile("\x1b\\[[0-9;]*[A-Za-z]")
	serviceIAM = map[string]string{"Lambda": "lambda", "SQS": "sqs", "S3": "s3", "IAM": "iam", "CloudWatch": "cloudwatch", "CloudWatch Logs": "logs", "SNS": "sns", "EC2": "ec2", "DynamoDB": "dynamodb", "STS": "sts"}
)

// plainText is what terraform says for eyes, without frames and colours.
func plainText(s string) string {
	return frame.ReplaceAllString(escapes.ReplaceAllString(s, ""), "")
}

// diagnose makes an error of what terraform said.
func (t *Terraform) diagnose(ctx context.Context, command string, err error, all []diagnostic) error {
	e := &TerraformError{Command: command, Err: err}
	missing := map[string]bool{}
	text := ""
	for _, d := range all {
		if d.Severity != "error" {
			continue
		}
		said := strings.TrimSpace(d.Summary)
		if d.Address != "" {
			said = d.Address + ": " + said
		}
		if d.Detail != "" && d.Detail != d.Summary {
			said += ": " + strings.TrimSpace(d.Detail)
		}
		text += said + "\n"
		if len(said) > 2000 {
			said = said[:2000] + " …"
		}
		if !slices.Contains(e.Said, said) {
			e.Said = append(e.Said, said)
		}
		named := lacking.FindAllStringSubmatch(said, -1)
		for _, m := range named {
			missing[m[1]] = true
		}
		if m := denied.FindStringSubmatch(said); m != nil && len(named) == 0 && serviceIAM[m[1]] != "" {
			missing[serviceIAM[m[1]]+":"+m[2]] = true
		}
	}
	e.Missing = slices.Sorted(maps.Keys(missing))
	has := func(words ...string) bool {
		return slices.ContainsFunc(words, func(w string) bool { return strings.Contains(text, w) })
	}
	switch {
	case ctx.Err() != nil:
		e.Advice = "It was interrupted. What was made is in its state: the same command goes on from there."
		e.Err = ctx.Err()
	case has("acquiring the state lock"):
		e.Advice = "Somebody else is deploying, or a deploy was killed. If nobody is: terraform -chdir=" + t.Dir + " force-unlock " + first(lockID.FindStringSubmatch(text), "ID")
	case has("Failed to query available provider packages", "could not connect to registry"):
		e.Advice = "The AWS provider could not be had. Terraform needs a way to registry.terraform.io, or a mirror (provider_installation in its CLI configuration)."
	case has("NoSuchBucket") && command == "init":
		e.Advice = "The bucket for Terraform's state must be there already: aws s3 mb s3://NAME"
	case has("ExpiredToken", "InvalidClientTokenId", "UnrecognizedClientException", "No valid credential sources"):
		e.Advice = "The credentials are missing or have expired: log in again (aws sso login, or new keys), and run the same command."
	case command == "apply":
		e.Advice = "What was made so far is in Terraform's state. When the cause is mended, the same command goes on from there."
	}
	return e
}

func first(match []string, otherwise string) string {
	if len(match) > 1 {
		return match[1]
	}
	return otherwise
}
