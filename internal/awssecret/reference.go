package awssecret

import (
	"errors"
	"fmt"
	"strings"
)

// The kinds of references, as they begin.
const (
	SecretsManager = "aws-secretsmanager"
	ParameterStore = "aws-ssm"
)

// reference is one value that is kept in AWS.
type reference struct {
	text   string // as written, without ${ and }
	kind   string // SecretsManager or ParameterStore
	id     string // name or ARN; of a parameter with its version or label behind a colon
	stage  string // of a secret: AWSPREVIOUS, …; "" is AWS's default, AWSCURRENT
	field  string // of a secret that is a JSON object: which of its fields
	region string // of an ARN; "" is the configured one
}

// stages are the labels that Secrets Manager itself moves. A secret's name may have an @ in it,
// so what stands behind one is a stage only if it is one of these.
var stages = []string{"AWSCURRENT", "AWSPREVIOUS", "AWSPENDING"}

// parse reads "aws-secretsmanager:NAME_OR_ARN[@STAGE][#FIELD]" or "aws-ssm:NAME_OR_ARN[:VERSION_OR_LABEL]".
func parse(text string) (reference, error) {
	r := reference{text: text}
	var ok bool
	r.kind, r.id, ok = strings.Cut(text, ":")
	if !ok || r.kind != SecretsManager && r.kind != ParameterStore {
		return r, errors.New("write ${aws-secretsmanager:NAME}, ${aws-secretsmanager:NAME#FIELD} or ${aws-ssm:/PATH/NAME}")
	}
	if r.kind == SecretsManager {
		var hasField bool
		if r.id, r.field, hasField = strings.Cut(r.id, "#"); hasField && r.field == "" {
			return r, errors.New("there is no field behind the #; write NAME#FIELD, or NAME for the whole secret")
		}
		for _, stage := range stages {
			if id, ok := strings.CutSuffix(r.id, "@"+stage); ok {
				r.id, r.stage = id, stage
			}
		}
	}
	const characters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-/_+=.@!:"
	switch {
	case r.id == "":
		return r, errors.New("there is no name behind the colon")
	case strings.Trim(r.id, characters) != "" || len(r.id) > 2048:
		return r, fmt.Errorf("%.80q is not the name or the ARN of a %s", r.id, r.what())
	}
	if parts := strings.SplitN(r.id, ":", 6); parts[0] == "arn" {
		services := map[string]string{SecretsManager: "secretsmanager", ParameterStore: "ssm"}
		if len(parts) < 6 || parts[2] != services[r.kind] || parts[3] == "" || parts[5] == "" {
			return r, fmt.Errorf("%.80q is not the ARN of a %s", r.id, r.what())
		}
		r.region = parts[3]
	}
	return r, nil
}

// parameter is a parameter's name or ARN without version or label.
func (r reference) parameter() string {
	from := 0
	if r.region != "" {
		from = strings.LastIndexByte(r.id, '/') + 1 // no version has a slash
	}
	if i := strings.IndexByte(r.id[from:], ':'); i >= 0 {
		return r.id[:from+i]
	}
	return r.id
}

func (r reference) what() string {
	if r.kind == SecretsManager {
		return "secret"
	}
	return "parameter"
}
