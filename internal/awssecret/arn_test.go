package awssecret

import "testing"

func TestARN(t *testing.T) {
	for ref, want := range map[string]string{
		"aws-secretsmanager:siem":                         "arn:aws:secretsmanager:eu-west-1:123456789012:secret:siem-??????",
		"aws-secretsmanager:a/b@AWSPREVIOUS#x":            "arn:aws:secretsmanager:eu-west-1:123456789012:secret:a/b-??????",
		"aws-ssm:/tapway/ca:3":                            "arn:aws:ssm:eu-west-1:123456789012:parameter/tapway/ca",
		"aws-ssm:plain":                                   "arn:aws:ssm:eu-west-1:123456789012:parameter/plain",
		"aws-ssm:arn:aws:ssm:us-east-1:1:parameter/x/y:2": "arn:aws:ssm:us-east-1:1:parameter/x/y",
		"aws-secretsmanager:arn:aws:secretsmanager:us-east-1:1:secret:s-AbCdEf#f": "arn:aws:secretsmanager:us-east-1:1:secret:s-AbCdEf",
	} {
		if got, err := ARN(ref, "aws", "eu-west-1", "123456789012"); err != nil || got != want {
			t.Errorf("%s: %s, %v; want %s", ref, got, err, want)
		}
	}
	if _, err := ARN("aws-ssm:", "aws", "eu-west-1", "1"); err == nil {
		t.Error("no name is no error")
	}
}
