package attach

import (
	"fmt"
	"slices"
	"strings"
)

// PolicyFor is what a policy is printed for.
type PolicyFor struct {
	Command  string // discover, attach, detach, status, console, backup, restore
	API      string // "" for any
	Region   string // "" for any
	Function string // ARN or name of the function of --via lambda:; "" for none
	State    string // s3://BUCKET/KEY, if the state is kept there
	New      bool   // of restore: into a new API
	Project  string // the installation that status looks at, and attach gives routes to; "" if it is not known
	Tap      bool   // status looks at the tap too
	Bucket   string // of large and spilled records, which console reads; "": PROJECT-records-*

	// Keys are the ARNs of keys of the account's own in KMS that queues and bucket are encrypted with; those
	// of AWS need no permission.
	Keys []string
}

// Policy is the smallest IAM policy for a command, as JSON. API Gateway's actions are the
// methods of HTTP, and its resources the paths of its management API.
// https://docs.aws.amazon.com/service-authorization/latest/reference/list_amazonapigatewaymanagement.html
func Policy(p PolicyFor) (string, error) {
	api, region := p.API, p.Region
	if api == "" {
		api = "*"
	}
	if region == "" {
		region = "*"
	}
	part := partition(p.Region)
	gateway := func(path string) string { return fmt.Sprintf("arn:%s:apigateway:%s::%s", part, region, path) }
	var statements []any
	allow := func(sid string, actions []string, resources ...string) {
		slices.Sort(actions)
		statements = append(statements, map[string]any{"Sid": sid, "Effect": "Allow", "Action": actions, "Resource": resources})
	}
	rest, http := "/restapis/"+api, "/apis/"+api
	read := []string{gateway(rest), gateway(rest + "/*"), gateway(http), gateway(http + "/*")}
	bucket, key, inS3 := strings.Cut(strings.TrimPrefix(p.State, "s3://"), "/")
	inS3 = inS3 && strings.HasPrefix(p.State, "s3://")
	writes := p.Command == "attach" || p.Command == "detach"
	switch p.Command {
	case "discover", "status":
		allow("Read", []string{"apigateway:GET"}, read...)
	case "console":
		if p.API != "" {
			allow("Read", []string{"apigateway:GET"}, read...)
		}
	case "backup":
		allow("Read", []string{"apigateway:GET"}, append(read, gateway("/usageplans"), gateway("/domainnames"), gateway("/domainnames/*"), gateway("/vpclinks/*"))...)
		allow("Networks", []string{"lambda:GetFunctionConfiguration", "ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:DescribeVpcEndpoints"}, "*")
	case "attach", "detach":
		allow("Read", []string{"apigateway:GET"}, read...)
		allow("Integrations", []string{"apigateway:PUT", "apigateway:PATCH"},
			gateway(rest+"/resources/*/methods/*/integration"), gateway(rest+"/resources/*/methods/*/integration/responses/*"))
		allow("Routes", []string{"apigateway:PATCH"}, gateway(http+"/routes/*"))
		allow("NewIntegrations", []string{"apigateway:POST", "apigateway:DELETE"}, gateway(http+"/integrations"), gateway(http+"/integrations/*"))
		allow("Deploy", []string{"apigateway:POST", "apigateway:DELETE"},
			gateway(rest+"/deployments"), gateway(rest+"/deployments/*"), gateway(http+"/deployments"), gateway(http+"/deployments/*"))
		allow("Stages", []string{"apigateway:PATCH"}, gateway(rest+"/stages/*"), gateway(http+"/stages/*"))
		allow("Tag", []string{"apigateway:PUT", "apigateway:POST", "apigateway:PATCH", "apigateway:DELETE"}, gateway("/tags/*"), gateway(rest), gateway(http))
	case "restore":
		if p.New { // its id is not known before
			read = []string{gateway("/restapis"), gateway("/restapis/*"), gateway("/apis"), gateway("/apis/*")}
		}
		allow("Read", []string{"apigateway:GET"}, append(read, gateway("/vpclinks/*"))...)
		// DELETE: a method that differs is made anew, and --prune.
		allow("Restore", []string{"apigateway:POST", "apigateway:PUT", "apigateway:PATCH", "apigateway:DELETE", "apigateway:UpdateRestApiPolicy"}, append(read, gateway("/tags/*"))...)
		allow("Networks", []string{"lambda:GetFunctionConfiguration", "ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:DescribeVpcEndpoints"}, "*")
		allow("SecurityGroups", []string{"ec2:AuthorizeSecurityGroupIngress", "ec2:AuthorizeSecurityGroupEgress", "ec2:RevokeSecurityGroupIngress", "ec2:RevokeSecurityGroupEgress"},
			fmt.Sprintf("arn:%s:ec2:%s:*:security-group/*", part, region))
	default:
		return "", fmt.Errorf("there is no policy for %q", p.Command)
	}
	if p.Function != "" || p.Command == "status" || p.Command == "console" {
		arn := p.Function
		switch {
		case arn == "":
			arn = "*"
		case !strings.HasPrefix(arn, "arn:"):
			name, _, _ := strings.Cut(arn, ":")
			arn = fmt.Sprintf("arn:%s:lambda:%s:*:function:%s", part, region, name)
		}
		actions := []string{"lambda:GetPolicy"}
		if p.Command == "console" {
			actions = []string{"lambda:GetFunctionConfiguration"}
		}
		if writes {
			actions = append(actions, "lambda:AddPermission", "lambda:RemovePermission", "lambda:GetFunctionConfiguration")
		}
		allow("Function", actions, arn)
	}
	if p.Command == "attach" && p.Project != "" {
		allow("RouteTable", []string{"s3:PutObject"}, fmt.Sprintf("arn:%s:s3:::%s-records-*/routes/%s.json", part, p.Project, api))
	}
	if (p.Command == "status" || p.Command == "console") && p.Tap {
		p.allowTap(allow, part, region)
	}
	if inS3 {
		actions := []string{"s3:GetObject"}
		if writes || p.Command == "backup" {
			actions = append(actions, "s3:PutObject")
		}
		allow("State", actions, fmt.Sprintf("arn:%s:s3:::%s/%s", part, bucket, key))
		// Without it S3 answers 403 for what is not there yet.
		allow("IsThereAState", []string{"s3:ListBucket"}, fmt.Sprintf("arn:%s:s3:::%s", part, bucket))
	}
	return indented(map[string]any{"Version": "2012-10-17", "Statement": statements}), nil
}

// allowTap is what it takes to look at the tap behind an API: its queues, alarms and metrics, and for the
// console its dead letters and the records in its bucket.
func (p PolicyFor) allowTap(allow func(sid string, actions []string, resources ...string), part, region string) {
	queues, letters, records := "*", "*", fmt.Sprintf("arn:%s:s3:::*", part)
	if p.Project != "" {
		queues = fmt.Sprintf("arn:%s:sqs:%s:*:%s-*", part, region, p.Project)
		letters, records = queues+"-dead", fmt.Sprintf("arn:%s:s3:::%s-records-*", part, p.Project)
	}
	if p.Bucket != "" {
		records = fmt.Sprintf("arn:%s:s3:::%s", part, p.Bucket)
	}
	allow("Queues", []string{"sqs:GetQueueUrl", "sqs:GetQueueAttributes"}, queues)
	// AWS grants these for everything or not at all.
	seen := []string{"cloudwatch:DescribeAlarms", "cloudwatch:GetMetricData", "lambda:ListEventSourceMappings"}
	if p.Command != "console" {
		allow("Alarms", seen, "*")
		return
	}
	allow("Alarms", append(seen, "cloudwatch:DescribeAlarmHistory"), "*")
	// To look at a message is to receive it and to give it back.
	allow("DeadLetters", []string{"sqs:ReceiveMessage", "sqs:ChangeMessageVisibility", "sqs:ListMessageMoveTasks"}, letters)
	allow("Records", []string{"s3:GetObject"}, records+"/spill/*", records+"/records/*")
	allow("ListRecords", []string{"s3:ListBucket"}, records)
	if len(p.Keys) > 0 {
		allow("OwnKeys", []string{"kms:Decrypt"}, p.Keys...)
	}
}
