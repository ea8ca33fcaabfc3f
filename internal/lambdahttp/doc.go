// Package lambdahttp is the door from AWS Lambda's HTTP events to an http.Handler and back: REST
// APIs, HTTP APIs (payload 1.0 and 2.0), Function URLs and Application Load Balancers with and
// without multi-value headers, told apart by their shape.
//
// What a newcomer gets wrong: every front decodes something else. REST gives the path as the
// client sent it and a query that is already decoded, an HTTP API the other way round, a load
// balancer neither; so each part of the request is rebuilt by its own front's rule, and what
// cannot be rebuilt is named in tapway.Facts.Fidelity. Request.RequestURI is the exact target,
// as from a server; Request.RemoteAddr is the client as the front vouches for it, never as
// X-Forwarded-For claims. A bare "?" behind a path, the order of headers with different names
// and request trailers are lost at every front, and not named.
//
// A reply either fits or it is a 502 that says so: no front delivers half of a buffered
// response as a success. The handler runs to its end either way, so that what it captures is
// complete.
package lambdahttp
