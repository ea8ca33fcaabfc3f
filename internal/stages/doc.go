// Package stages makes the stages from a configuration: the routes and the proxy's settings, the
// capture's rules, the destinations' senders. It is what tapway on one machine and tapway on
// Lambda have in common; package app and package lambdaapp put its parts together.
//
// What a newcomer gets wrong: nothing in here runs, listens or stores. It links neither a queue
// nor a server, so that the Lambda bootstrap stays small.
package stages
