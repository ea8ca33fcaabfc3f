package apitest

import (
	"path"
	"strings"
)

// invocable says why API Gateway could not invoke the function behind a call; "" if it can,
// or if there is none. source is what the permission must allow, see
// https://docs.aws.amazon.com/apigateway/latest/developerguide/arn-format-reference.html.
func (s *Server) invocable(uri, credentials, source string) string {
	arn := uri
	if _, rest, ok := strings.Cut(uri, ":lambda:path/2015-03-31/functions/"); ok {
		arn = strings.TrimSuffix(rest, "/invocations")
		if arn == rest {
			return "the integration's URI does not end with /invocations"
		}
	}
	name, ok := strings.CutPrefix(arn, "arn:aws:lambda:"+s.Region+":"+s.Account+":function:")
	if !ok {
		return ""
	}
	name, qualifier, _ := strings.Cut(name, ":")
	f := s.functions[name]
	if f == nil {
		return "there is no function " + name
	}
	if credentials != "" {
		return ""
	}
	for _, st := range f.Policies[qualifier] {
		if st.allows(source) {
			return ""
		}
	}
	return "function " + name + " has no permission for " + source
}

// allows says that a statement lets API Gateway invoke its function for a call.
func (st Statement) allows(source string) bool {
	principal, _ := st.Principal.(map[string]string)
	if principal["Service"] != "apigateway.amazonaws.com" || st.Action != "lambda:InvokeFunction" && st.Action != "lambda:*" {
		return false
	}
	pattern := st.Condition["ArnLike"]["AWS:SourceArn"]
	return pattern == "" || like(pattern, source)
}

// like matches as ArnLike does within one part of an ARN: * stands for any characters,
// slashes too.
func like(pattern, s string) bool {
	const slash = "\x00" // a character that no ARN has, and that * of package path matches
	ok, err := path.Match(strings.ReplaceAll(pattern, "/", slash), strings.ReplaceAll(s, "/", slash))
	return err == nil && ok
}

// source is the ARN of a call as permissions name it: path parameters are stars.
func (s *Server) source(api, stage, method, template string) string {
	parts := strings.Split(template, "/")
	for i, p := range parts {
		if strings.HasPrefix(p, "{") {
			parts[i] = "*"
		}
	}
	if method == "ANY" {
		method = "*"
	}
	return "arn:aws:execute-api:" + s.Region + ":" + s.Account + ":" + api + "/" + stage + "/" + method + strings.Join(parts, "/")
}
