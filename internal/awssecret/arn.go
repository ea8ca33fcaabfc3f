package awssecret

import (
	"fmt"
	"strings"
)

// ARN is what a role must be allowed to read so that a reference ("aws-ssm:/tapway/token") can
// be looked up. Of a secret by its name the ARN ends in six characters that only AWS knows:
// they are written "??????", as a policy takes them.
func ARN(text, partition, region, account string) (string, error) {
	r, err := parse(text)
	if err != nil {
		return "", fmt.Errorf("${%s}: %w", text, err)
	}
	if r.kind == ParameterStore {
		if r.region != "" {
			return r.parameter(), nil
		}
		return fmt.Sprintf("arn:%s:ssm:%s:%s:parameter/%s", partition, region, account, strings.TrimPrefix(r.parameter(), "/")), nil
	}
	if r.region != "" {
		return r.id, nil
	}
	return fmt.Sprintf("arn:%s:secretsmanager:%s:%s:secret:%s-??????", partition, region, account, r.id), nil
}
