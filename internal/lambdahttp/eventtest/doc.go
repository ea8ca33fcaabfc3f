// Package eventtest stands in for AWS's fronts: it makes the event that each of them would
// deliver for a request, and reads a reply as each of them would hand it to the client.
//
// What a newcomer gets wrong: it is written from the documented and recorded behaviour of the
// fronts, not from package lambdahttp, which it tests. It therefore destroys what they destroy,
// and shares no code with the decoders.
package eventtest
