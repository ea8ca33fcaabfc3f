// Package lambdaapp builds tapway's two Lambda functions from a configuration: the proxy, which
// passes calls on and sends their records to SQS, and the forwarder, which an SQS trigger calls
// and which delivers. It is to AWS Lambda what package app is to one machine, and puts the same
// stages together.
//
// What a newcomer gets wrong: between two invocations the environment is frozen, so nothing may
// be left to a goroutine. The records of an invocation wait in its outbox; the outbox is emptied
// after the reply was posted and before the next invocation is asked for, because that is
// the last moment at which the function is sure to run.
package lambdaapp
