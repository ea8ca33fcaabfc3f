package deploy

import (
	"encoding/json"
	"fmt"
)

// PolicyFor is what a policy is printed for.
type PolicyFor struct {
	Project     string
	Region      string // "" for any
	StateBucket string
	VPC         bool
	Example     bool
	Alarms      bool // somebody is mailed
	Counters    bool // there is a table for counters
}

type statement struct {
	Sid      string   `json:"Sid"`
	Effect   string   `json:"Effect"`
	Action   []string `json:"Action"`
	Resource []string `json:"Resource"`
}

// Policy is the smallest IAM policy for deploying and destroying, which `tapway attach
// --print-policy` completes. The actions are what the modules' resources need of the AWS
// provider to be made, read, changed and removed.
func Policy(p PolicyFor) (string, error) {
	region, part := p.Region, Partition(p.Region)
	if region == "" {
		region = "*"
	}
	arn := func(service, where, name string) string {
		return fmt.Sprintf("arn:%s:%s:%s:%s", part, service, where, name)
	}
	here := region + ":*"
	bucket := arn("s3", ":", p.Project+"-records-*")
	var all []statement
	allow := func(sid string, actions []string, resources ...string) {
		all = append(all, statement{sid, "Allow", actions, resources})
	}
	allow("WhoAmI", []string{"sts:GetCallerIdentity"}, "*")
	allow("Functions", []string{
		"lambda:CreateFunction", "lambda:DeleteFunction", "lambda:GetFunction", "lambda:GetFunctionConfiguration", "lambda:GetFunctionCodeSigningConfig",
		"lambda:ListVersionsByFunction", "lambda:UpdateFunctionCode", "lambda:UpdateFunctionConfiguration", "lambda:GetPolicy", "lambda:AddPermission", "lambda:RemovePermission",
		"lambda:PutFunctionConcurrency", "lambda:DeleteFunctionConcurrency", "lambda:GetFunctionConcurrency", "lambda:TagResource", "lambda:UntagResource", "lambda:ListTags",
	}, arn("lambda", here, "function:"+p.Project+"-*"))
	allow("Triggers", []string{
		"lambda:CreateEventSourceMapping", "lambda:UpdateEventSourceMapping", "lambda:DeleteEventSourceMapping", "lambda:GetEventSourceMapping", "lambda:ListEventSourceMappings", "lambda:TagResource", "lambda:ListTags",
	}, "*")
	allow("Roles", []string{
		"iam:CreateRole", "iam:DeleteRole", "iam:GetRole", "iam:UpdateRole", "iam:UpdateAssumeRolePolicy", "iam:UpdateRoleDescription", "iam:PutRolePolicy", "iam:GetRolePolicy", "iam:DeleteRolePolicy",
		"iam:ListRolePolicies", "iam:ListAttachedRolePolicies", "iam:ListInstanceProfilesForRole", "iam:TagRole", "iam:UntagRole", "iam:PassRole",
	}, arn("iam", ":*", "role/"+p.Project+"-proxy-*"), arn("iam", ":*", "role/"+p.Project+"-forwarder-*"))
	allow("Queues", []string{
		"sqs:CreateQueue", "sqs:DeleteQueue", "sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SetQueueAttributes", "sqs:TagQueue", "sqs:UntagQueue", "sqs:ListQueueTags",
	}, arn("sqs", here, p.Project+"-*"))
	allow("Bucket", []string{
		"s3:CreateBucket", "s3:DeleteBucket", "s3:ListBucket", "s3:Get*", "s3:PutBucketPublicAccessBlock", "s3:PutEncryptionConfiguration", "s3:PutLifecycleConfiguration",
		"s3:PutBucketPolicy", "s3:DeleteBucketPolicy", "s3:PutBucketTagging",
	}, bucket)
	allow("Objects", []string{"s3:GetObject", "s3:GetObjectTagging", "s3:PutObject", "s3:PutObjectTagging", "s3:DeleteObject"}, bucket+"/*")
	allow("Logs", []string{
		"logs:CreateLogGroup", "logs:DeleteLogGroup", "logs:PutRetentionPolicy", "logs:DeleteRetentionPolicy", "logs:TagResource", "logs:UntagResource", "logs:ListTagsForResource",
	}, arn("logs", here, "log-group:/aws/lambda/"+p.Project+"-*"))
	allow("FindLogs", []string{"logs:DescribeLogGroups", "cloudwatch:GetMetricStatistics"}, "*")
	allow("Alarms", []string{
		"cloudwatch:PutMetricAlarm", "cloudwatch:DeleteAlarms", "cloudwatch:DescribeAlarms", "cloudwatch:TagResource", "cloudwatch:UntagResource", "cloudwatch:ListTagsForResource",
	}, arn("cloudwatch", here, "alarm:"+p.Project+"-*"))
	topic := []string{
		"sns:CreateTopic", "sns:DeleteTopic", "sns:GetTopicAttributes", "sns:SetTopicAttributes", "sns:TagResource", "sns:UntagResource", "sns:ListTagsForResource",
	}
	if p.Alarms {
		topic = append(topic, "sns:Subscribe", "sns:Unsubscribe", "sns:GetSubscriptionAttributes")
	}
	allow("Topic", topic, arn("sns", here, p.Project+"-alarms"), arn("sns", here, p.Project+"-alarms:*"))
	if p.Counters {
		allow("Counters", []string{
			"dynamodb:CreateTable", "dynamodb:DeleteTable", "dynamodb:DescribeTable", "dynamodb:UpdateTable", "dynamodb:DescribeTimeToLive", "dynamodb:UpdateTimeToLive",
			"dynamodb:DescribeContinuousBackups", "dynamodb:TagResource", "dynamodb:UntagResource", "dynamodb:ListTagsOfResource",
		}, arn("dynamodb", here, "table/"+p.Project+"-counters"))
	}
	if p.VPC {
		allow("Network", []string{
			"ec2:CreateSecurityGroup", "ec2:DeleteSecurityGroup", "ec2:DescribeSecurityGroups", "ec2:DescribeSecurityGroupRules", "ec2:AuthorizeSecurityGroupEgress", "ec2:RevokeSecurityGroupEgress",
			"ec2:DescribeSubnets", "ec2:DescribeVpcs", "ec2:DescribeNetworkInterfaces", "ec2:DescribeVpcAttribute", "ec2:CreateTags", "ec2:DeleteTags",
		}, "*")
	}
	if p.Example {
		allow("ExampleAPI", []string{"apigateway:GET", "apigateway:POST", "apigateway:PUT", "apigateway:PATCH", "apigateway:DELETE"},
			arn("apigateway", region+":", "/restapis"), arn("apigateway", region+":", "/restapis/*"), arn("apigateway", region+":", "/tags/*"))
	}
	if p.StateBucket != "" {
		state := arn("s3", ":", p.StateBucket)
		allow("FindState", []string{"s3:ListBucket"}, state)
		allow("State", []string{"s3:GetObject", "s3:PutObject", "s3:DeleteObject"}, state+"/tapway/"+p.Project+"/*")
	}
	text, err := json.MarshalIndent(map[string]any{"Version": "2012-10-17", "Statement": all}, "", "  ")
	return string(text), err
}
