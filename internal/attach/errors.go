package attach

import (
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/aws/smithy-go"
)

// DeniedError is a call that the credentials have no permission for.
type DeniedError struct {
	Doing    string // "read API a1b2c3"
	Action   string // "apigateway:GET", as far as AWS said it
	Resource string // its ARN; "" if AWS did not say
	Err      error
}

func (e *DeniedError) Error() string {
	on := ""
	if e.Resource != "" {
		on = " on " + e.Resource
	}
	return fmt.Sprintf("%s: these credentials lack the permission %s%s; --print-policy prints the smallest IAM policy for the command", e.Doing, e.Action, on)
}

func (e *DeniedError) Unwrap() error { return e.Err }

var (
	denied = regexp.MustCompile(`not authorized to perform: (\S+)(?: on resource: (\S+))?`)

	// restVerbs are API Gateway's IAM actions: the methods of HTTP, not the calls' names.
	restVerbs = regexp.MustCompile(`^(Get|Export|Put|Update|Create|Delete|Tag|Untag)`)
	verbOf    = map[string]string{"Get": "GET", "Export": "GET", "Put": "PUT", "Update": "PATCH", "Create": "POST", "Delete": "DELETE", "Tag": "PUT", "Untag": "DELETE"}
)

// Failed says what was being done, and of a call that AWS refused which permission is missing: then
// it is a *DeniedError.
func Failed(doing string, err error) error { return failed(doing, err) }

// failed says what was being done, and of a refused call which permission is missing.
func failed(doing string, err error) error {
	var api smithy.APIError
	if errors.As(err, &api) && (statusOf(err) == http.StatusForbidden || api.ErrorCode() == "AccessDeniedException" || api.ErrorCode() == "AccessDenied" || api.ErrorCode() == "UnauthorizedOperation") {
		d := &DeniedError{Doing: doing, Err: err, Action: "for it"}
		var op *smithy.OperationError
		if errors.As(err, &op) {
			d.Action = iamAction(op.ServiceID, op.OperationName)
		}
		m := denied.FindStringSubmatch(api.ErrorMessage())
		if m == nil {
			return d
		}
		if d.Resource = strings.TrimRight(m[2], ".,"); !strings.EqualFold(d.Action, m[1]) { // SQS writes its actions small
			d.Action = m[1]
		}
		return d
	}
	return fmt.Errorf("%s: %w", doing, err)
}

func iamAction(service, operation string) string {
	switch service {
	case "API Gateway", "ApiGatewayV2":
		return "apigateway:" + verbOf[restVerbs.FindString(operation)]
	case "Lambda", "SQS", "CloudWatch", "EC2":
		return strings.ToLower(service) + ":" + operation
	}
	return "sts:" + operation
}

// codeOf is AWS's code of an error; "" for none.
func codeOf(err error) string {
	var api smithy.APIError
	if errors.As(err, &api) {
		return api.ErrorCode()
	}
	return ""
}

// goneError is something that is not there, where AWS does not say so by 404.
type goneError struct{ error }

func (e goneError) Unwrap() error     { return e.error }
func (goneError) HTTPStatusCode() int { return http.StatusNotFound }

// gone makes EC2's ways to say that something is not there one that notFound knows.
func gone(err error) error {
	if strings.HasSuffix(codeOf(err), ".NotFound") {
		return goneError{err}
	}
	return err
}
