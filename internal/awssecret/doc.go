// Package awssecret looks up values that a configuration names instead of holding them: in AWS
// Secrets Manager ("aws-secretsmanager:NAME") and in the Parameter Store of AWS Systems Manager
// ("aws-ssm:NAME").
//
// What a newcomer gets wrong: it speaks the two services' JSON by hand, because their SDK clients
// would cost every Lambda cold start a megabyte for two calls. And no error here holds a value, nor
// what AWS says of a wrong signature, which quotes the request with its session token.
package awssecret
