package awsconsole

import (
	"errors"
	"strings"
	"testing"

	"github.com/tapway/tapway/internal/attach"
)

type refusal struct{ code, message string }

func (r refusal) Error() string     { return r.code + ": " + r.message }
func (r refusal) ErrorCode() string { return r.code }

// TestExplainKey: a queue encrypted with a key of the account's own names the key's permission, however
// SQS writes its refusal; other failures of KMS stay what they are.
func TestExplainKey(t *testing.T) {
	for _, tt := range []struct {
		err  refusal
		want string // "": no refusal
	}{
		{refusal{"KMS.AccessDeniedException", "User: arn:aws:iam::1:user/a is not authorized to perform: kms:GenerateDataKey on resource: arn:aws:kms:eu-west-1:1:key/k"}, "kms:GenerateDataKey"},
		{refusal{"KmsAccessDenied", "The caller doesn't have the required KMS access."}, "kms:Decrypt"},
		{refusal{"KMS.ThrottlingException", "Rate exceeded"}, ""},
		{refusal{"OverLimit", "kms:Decrypt"}, ""},
	} {
		got := explain(tt.err)
		var denied *attach.DeniedError
		if errors.As(got, &denied) != (tt.want != "") || tt.want != "" && (denied.Action != tt.want || !strings.Contains(got.Error(), tt.want)) {
			t.Errorf("%s: %v", tt.err.code, got)
		}
	}
}
