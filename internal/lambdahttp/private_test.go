package lambdahttp

import (
	"testing"

	"github.com/tapway/tapway"
)

// TestPrivateAPI: where a call of a private API came through is a fact, of REST APIs alone.
func TestPrivateAPI(t *testing.T) {
	for event, want := range map[string]tapway.Facts{
		`{"resource":"/{proxy+}","path":"/x","httpMethod":"GET","requestContext":{"resourceId":"r","identity":{"sourceIp":"10.1.2.3","vpcId":"vpc-1","vpceId":"vpce-2"}}}`: {VPC: "vpc-1", VPCEndpoint: "vpce-2"},
		`{"resource":"/{proxy+}","path":"/x","httpMethod":"GET","requestContext":{"resourceId":"r","identity":{"sourceIp":"203.0.113.7","vpcId":null}}}`:                   {},
		`{"version":"2.0","rawPath":"/x","requestContext":{"apiId":"a","http":{"method":"GET","sourceIp":"203.0.113.7"},"identity":{"vpcId":"vpc-1","vpceId":"vpce-2"}}}`:  {},
	} {
		call, err := Decode(t.Context(), []byte(event))
		if err != nil {
			t.Fatal(err)
		}
		if f := tapway.FactsFrom(call.Request.Context()); f.VPC != want.VPC || f.VPCEndpoint != want.VPCEndpoint {
			t.Errorf("%s: %q %q", event, f.VPC, f.VPCEndpoint)
		}
	}
}
