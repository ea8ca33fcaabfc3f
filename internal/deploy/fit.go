package deploy

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
)

// maxInline is how many characters the inline policies of a role may have together, white space not counted.
// https://docs.aws.amazon.com/IAM/latest/UserGuide/reference_iam-quotas.html
const maxInline = 10240

// CheckTapped refuses more tapped functions than the policies of the proxy function's role have room for, which
// AWS would do in the middle of making it all.
func (s *Stack) CheckTapped() error {
	size, err := s.roleSize()
	if err != nil || size <= maxInline {
		return err
	}
	fit := len(s.Tapped)
	for fit > 0 && size > maxInline {
		fit--
		if size, err = s.withTapped(s.Tapped[:fit]).roleSize(); err != nil {
			return err
		}
	}
	if fit == 0 {
		return errors.New("the role of the proxy function has no room for permission to all its queues, secrets and functions: AWS bounds its inline policies at 10,240 characters. Nothing was made or changed; have fewer destinations or secrets in an installation")
	}
	return fmt.Errorf("the attached APIs call %d Lambda functions, and the role of the proxy function has room to be allowed %d of them: AWS bounds its inline policies at 10,240 characters. "+
		"Nothing was made or changed. Give some of the APIs an installation of their own (--project NAME --state FILE); "+
		"for one API with so many use the Terraform module, with a managed policy of your own on role %s-proxy-%s", len(s.Tapped), fit, s.Project, s.Region)
}

// withTapped is the stack with other tapped functions.
func (s *Stack) withTapped(arns []string) *Stack {
	other := *s
	other.Tapped = arns
	return &other
}

// roleSize is how many characters the inline policies of the proxy function's role have.
func (s *Stack) roleSize() (int, error) {
	all, err := s.roleStatements()
	if err != nil {
		return 0, err
	}
	const frame = `{"Statement":[],"Version":"2012-10-17"}`
	size := len(frame)
	for _, one := range all {
		var b bytes.Buffer
		e := json.NewEncoder(&b)
		e.SetEscapeHTML(false)
		if err := e.Encode(one); err != nil {
			return 0, fmt.Errorf("the size of the role's policies: %w", err)
		}
		size += b.Len() // the line's end stands for a comma
		switch one.Sid {
		case "Missing":
			size += len(`"Condition":{"StringLikeIfExists":{"s3:prefix":["routes/*"]}},`)
		case "Count":
			size += len(frame) // a policy of its own
		}
	}
	return size, nil
}

// roleStatements are the statements of those policies, as roles.tf and counters.tf of the module write them, but for
// a condition.
func (s *Stack) roleStatements() (all []statement, err error) {
	part, here := Partition(s.Region), s.Region+":"+s.Account
	bucket := fmt.Sprintf("arn:%s:s3:::%s-records-%s-%s", part, s.Project, s.Account, s.Region)
	secrets, err := s.secretARNs()
	if err != nil {
		return nil, err
	}
	var queues, manager, parameters []string
	for _, name := range slices.Sorted(maps.Keys(s.Settings.Destinations)) {
		queues = append(queues, fmt.Sprintf("arn:%s:sqs:%s:%s-%s", part, here, s.Project, name))
	}
	for _, arn := range secrets {
		if strings.Contains(arn, ":ssm:") {
			parameters = append(parameters, arn)
		} else {
			manager = append(manager, arn)
		}
	}
	allow := func(sid string, actions []string, resources ...string) {
		if len(resources) > 0 {
			all = append(all, statement{sid, "Allow", actions, resources})
		}
	}
	allow("Log", []string{"logs:CreateLogStream", "logs:PutLogEvents"}, fmt.Sprintf("arn:%s:logs:%s:log-group:/aws/lambda/%s-proxy:*", part, here, s.Project))
	allow("Send", []string{"sqs:SendMessage", "sqs:GetQueueUrl", "sqs:GetQueueAttributes"}, queues...)
	allow("Store", []string{"s3:PutObject"}, bucket+"/records/*", bucket+"/spill/*")
	allow("Routes", []string{"s3:GetObject"}, bucket+"/routes/*")
	if s.Settings.Backend != "" || s.Settings.More["routes"] != nil {
		allow("Missing", []string{"s3:ListBucket"}, bucket)
	}
	allow("Tapped", []string{"lambda:InvokeFunction"}, s.Tapped...)
	allow("Configuration", []string{"s3:GetObject"}, bucket+"/config/*")
	allow("Secrets", []string{"secretsmanager:GetSecretValue"}, manager...)
	allow("Parameters", []string{"ssm:GetParameter", "ssm:GetParameters"}, parameters...)
	if s.VPC != nil {
		allow("Network", []string{
			"ec2:CreateNetworkInterface", "ec2:DescribeNetworkInterfaces", "ec2:DescribeSubnets", "ec2:DeleteNetworkInterface", "ec2:AssignPrivateIpAddresses", "ec2:UnassignPrivateIpAddresses",
		}, "*")
	}
	table := s.Settings.Table
	if table == "" && s.Settings.Shared {
		table = s.Project + "-counters"
	}
	if table != "" {
		allow("Count", []string{"dynamodb:UpdateItem", "dynamodb:GetItem"}, fmt.Sprintf("arn:%s:dynamodb:%s:table/%s", part, here, table))
	}
	return all, nil
}
