package attach

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/lambda"
)

// FindFunction looks up the proxy function by its name or ARN, with or without an alias.
func (c *Clients) FindFunction(ctx context.Context, name string) (*Function, error) {
	in := &lambda.GetFunctionConfigurationInput{FunctionName: &name}
	out, err := c.Lambda.GetFunctionConfiguration(ctx, in)
	if notFound(err) {
		return nil, fmt.Errorf("there is no function %q in %s; `tapway deploy` makes one", name, c.Region)
	}
	if err != nil {
		return nil, failed("look up function "+name, err)
	}
	f := &Function{ARN: aws.ToString(out.FunctionArn), TimeoutMS: 1000 * int(aws.ToInt32(out.Timeout)), Qualifier: qualifierOf(name)}
	parts := strings.Split(f.ARN, ":") // arn:aws:lambda:REGION:ACCOUNT:function:NAME[:QUALIFIER]
	if len(parts) < 7 || parts[2] != "lambda" {
		return nil, fmt.Errorf("look up function %s: %q is no function's ARN", name, f.ARN)
	}
	f.ARN = strings.Join(parts[:7], ":")
	return f, nil
}

// Routes is where a proxy function looks for the routes of its APIs, its TAPWAY_ROUTES, such as
// s3://BUCKET/routes/; "" where it does not look.
func (c *Clients) Routes(ctx context.Context, function string) (string, error) {
	out, err := c.Lambda.GetFunctionConfiguration(ctx, &lambda.GetFunctionConfigurationInput{FunctionName: &function})
	if err != nil {
		return "", failed("look up function "+function, err)
	}
	if out.Environment == nil {
		return "", nil
	}
	return out.Environment.Variables["TAPWAY_ROUTES"], nil
}

// qualifierOf is the alias or version in a function's name (NAME:ALIAS), its ARN, or the part
// of an ARN from the account on; "" for none.
func qualifierOf(name string) string {
	parts := strings.Split(name, ":")
	if n := len(parts); n == 2 || n == 4 || n == 8 {
		return parts[n-1]
	}
	return ""
}

// allow lets the API call the function. A statement of this name that says the same is as good.
func (c *Clients) allow(ctx context.Context, p *Permission) error {
	in := &lambda.AddPermissionInput{
		FunctionName: &p.Function.ARN, StatementId: &p.Statement, Action: aws.String("lambda:InvokeFunction"),
		Principal: aws.String("apigateway.amazonaws.com"), SourceArn: &p.SourceARN,
	}
	if p.Function.Qualifier != "" {
		in.Qualifier = &p.Function.Qualifier
	}
	_, err := c.Lambda.AddPermission(ctx, in)
	if err == nil {
		return nil
	}
	there, source, lookErr := c.permission(ctx, p)
	switch {
	case lookErr == nil && there && source == p.SourceARN:
		return nil
	case lookErr == nil && there && statusOf(err) == http.StatusConflict:
		return fmt.Errorf("let the API call the function: its policy has a statement %s for something else (%s); remove that first", p.Statement, source)
	}
	return failed("let the API call the function", err)
}

// permission looks for the statement and says which calls it is for.
func (c *Clients) permission(ctx context.Context, p *Permission) (there bool, source string, err error) {
	in := &lambda.GetPolicyInput{FunctionName: &p.Function.ARN}
	if p.Function.Qualifier != "" {
		in.Qualifier = &p.Function.Qualifier
	}
	out, err := c.Lambda.GetPolicy(ctx, in)
	if notFound(err) {
		return false, "", nil
	}
	if err != nil {
		return false, "", failed("read the function's policy", err)
	}
	var doc struct {
		Statement []struct {
			Sid       string
			Condition map[string]map[string]any
		}
	}
	if err := json.Unmarshal([]byte(aws.ToString(out.Policy)), &doc); err != nil {
		return false, "", fmt.Errorf("read the function's policy: %w", err)
	}
	for _, s := range doc.Statement {
		if s.Sid != p.Statement {
			continue
		}
		for _, condition := range s.Condition {
			for key, value := range condition {
				if strings.EqualFold(key, "AWS:SourceArn") {
					source = fmt.Sprint(value)
				}
			}
		}
		return true, source, nil
	}
	return false, "", nil
}

// disallow takes the statement away.
func (c *Clients) disallow(ctx context.Context, p *Permission) error {
	in := &lambda.RemovePermissionInput{FunctionName: &p.Function.ARN, StatementId: &p.Statement}
	if p.Function.Qualifier != "" {
		in.Qualifier = &p.Function.Qualifier
	}
	if _, err := c.Lambda.RemovePermission(ctx, in); err != nil && !notFound(err) {
		return failed("take the permission to call the function away", err)
	}
	return nil
}
