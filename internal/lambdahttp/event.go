package lambdahttp

import (
	"errors"
	"fmt"
	"strings"

	"github.com/tapway/tapway"
)

// shape is the form of an event. A front can have two.
type shape uint8

const (
	unknown   shape = iota
	restAPI         // REST API, AWS_PROXY
	httpAPI1        // HTTP API, payload 1.0
	httpAPI2        // HTTP API, payload 2.0
	funcURL         // Function URL
	albSingle       // load balancer
	albMulti        // load balancer whose target group has multi-value headers
)

func (s shape) front() tapway.Front {
	switch s {
	case restAPI:
		return tapway.FrontREST
	case httpAPI1, httpAPI2:
		return tapway.FrontHTTP
	case funcURL:
		return tapway.FrontFunctionURL
	case albSingle, albMulti:
		return tapway.FrontALB
	}
	return ""
}

// String is how messages name a shape.
func (s shape) String() string {
	return [...]string{"unknown", "REST API", "HTTP API 1.0", "HTTP API 2.0", "Function URL", "ALB", "ALB multi-value"}[s]
}

// EventError says why an event is not a request.
type EventError struct {
	// Call is what was understood. Its Front is "" when the event is not of any front: then there
	// is nobody to answer, and the invocation fails. Its Request is never nil.
	Call *Call

	// What is wrong and what was expected, without values of the event.
	What string
}

// ErrorType is the errorType of an invocation that fails with it.
func (e *EventError) ErrorType() string {
	if e.Call.Front == "" {
		return "Event.Unknown"
	}
	return "Event.Malformed"
}

func (e *EventError) Error() string {
	if e.Call.Front == "" {
		return "lambdahttp: " + e.What
	}
	return fmt.Sprintf("lambdahttp: malformed %s event: %s", e.Call.shape, e.What)
}

// pair is a member of one of an event's maps.
type pair struct{ name, value string }

// event is what of an event is of use, as it stands there.
type event struct {
	version, httpMethod, path, resource string
	rawPath, rawQuery                   string

	headers, multiHeaders []pair // in the order of the event
	query, multiQuery     []pair
	cookies, pathParams   []pair // cookies have no names
	hasMultiHeaders       bool   // the map is there, be it empty
	hasMultiQuery         bool

	own    bool   // the event's bytes may be changed: the body is decoded where it stands
	body   []byte // what the string says, in memory of its own, or in the event's
	ascii  bool   // it is certain to be plain ASCII
	base64 bool

	odd        bool // it is JSON to its end, and some value has another type than a front's
	authorizer bool // a gateway asks whether a call may pass
	context    requestContext
	names      []string // of the first members, for messages

	single     int       // where headers begins; 0: it is not there
	headerRoom [24]pair  // what the headers are made in, as long as it is enough
	nameRoom   [8]string // of names
}

// requestContext is the member of that name.
type requestContext struct {
	present                         bool
	elb                             bool
	targetGroup                     string
	apiID, stage, requestID, domain string
	account, resourceID             string
	path, protocol, sourceIP        string
	vpc, vpcEndpoint                string // of a private API
	connectionID                    string // of WebSocket events
	cert                            clientCert

	http                               bool // the member of payload 2.0
	method2, path2, protocol2, source2 string
}

// parse reads an event. With an error e holds what came before it, and with a value of a wrong type what
// comes behind it as well.
func (e *event) parse(data []byte) error {
	s := scanner{data: data}
	if s.peek() != '{' {
		return errors.New("the event is not a JSON object; " + wanted)
	}
	s.object("the event", func(name []byte) {
		if len(e.names) < 8 {
			if e.names == nil {
				e.names = e.nameRoom[:0]
			}
			e.names = append(e.names, s.string(name))
		}
		switch string(name) {
		case "version":
			if s.peek() == '"' { // other kinds of events have numbers here
				e.version = s.text("version")
			} else {
				s.skip()
			}
		case "httpMethod":
			e.httpMethod = s.text("httpMethod")
		case "path":
			e.path = s.text("path")
		case "resource":
			e.resource = s.text("resource")
		case "rawPath":
			e.rawPath = s.text("rawPath")
		case "rawQueryString":
			e.rawQuery = s.text("rawQueryString")
		case "headers":
			// Where there is the other map as well, this one says nothing new.
			e.single = s.pos
			s.texts("headers")
		case "multiValueHeaders":
			e.multiHeaders, e.hasMultiHeaders = s.lists("multiValueHeaders", e.headerRoom[:0])
		case "queryStringParameters":
			e.query, _ = s.pairs("queryStringParameters", e.query[:0])
		case "multiValueQueryStringParameters":
			e.multiQuery, e.hasMultiQuery = s.lists("multiValueQueryStringParameters", e.multiQuery[:0])
		case "pathParameters":
			e.pathParams, _ = s.pairs("pathParameters", e.pathParams[:0])
		case "cookies":
			e.cookies = e.cookies[:0]
			s.array("cookies", func() { e.cookies = append(e.cookies, pair{value: s.text("cookies")}) })
		case "body":
			e.takeBody(&s)
		case "isBase64Encoded":
			e.base64 = s.bool("isBase64Encoded")
		case "methodArn", "routeArn":
			e.authorizer = true
			s.skip()
		case "requestContext":
			e.context = requestContext{}
			e.context.present = s.object("requestContext", func(name []byte) { e.context.take(&s, name) })
		default:
			s.skip()
		}
	})
	s.end()
	e.odd = s.err == nil && s.odd != nil
	if e.single > 0 && len(e.multiHeaders) == 0 {
		again := scanner{data: data, pos: e.single, room: s.room}
		e.headers, _ = again.pairs("headers", e.headerRoom[:0])
	}
	return s.problem()
}

func (e *event) takeBody(s *scanner) {
	e.body, e.ascii = nil, false
	switch {
	case s.null():
	case s.peek() == '"':
		wide := false
		e.body, wide = s.take(e.own)
		e.ascii = !wide
	default:
		s.wrong("body", "a string")
	}
}

func (c *requestContext) take(s *scanner, name []byte) {
	switch string(name) {
	case "elb":
		c.elb = s.object("requestContext.elb", func(name []byte) {
			if string(name) == "targetGroupArn" {
				c.targetGroup = s.text("requestContext.elb.targetGroupArn")
			} else {
				s.skip()
			}
		})
	case "apiId":
		c.apiID = s.text("requestContext.apiId")
	case "stage":
		c.stage = s.text("requestContext.stage")
	case "requestId":
		c.requestID = s.text("requestContext.requestId")
	case "domainName":
		c.domain = s.text("requestContext.domainName")
	case "accountId":
		c.account = s.text("requestContext.accountId")
	case "resourceId":
		c.resourceID = s.text("requestContext.resourceId")
	case "path":
		c.path = s.text("requestContext.path")
	case "protocol":
		c.protocol = s.text("requestContext.protocol")
	case "connectionId":
		c.connectionID = s.text("requestContext.connectionId")
	case "identity":
		s.object("requestContext.identity", func(name []byte) {
			switch string(name) {
			case "sourceIp":
				c.sourceIP = s.text("requestContext.identity.sourceIp")
			case "vpcId":
				c.vpc = s.text("requestContext.identity.vpcId")
			case "vpceId":
				c.vpcEndpoint = s.text("requestContext.identity.vpceId")
			case "clientCert":
				c.cert.take(s, "requestContext.identity.clientCert")
			default:
				s.skip()
			}
		})
	case "authentication": // payload 2.0
		s.object("requestContext.authentication", func(name []byte) {
			if string(name) == "clientCert" {
				c.cert.take(s, "requestContext.authentication.clientCert")
			} else {
				s.skip()
			}
		})
	case "http":
		c.http = s.object("requestContext.http", func(name []byte) {
			switch string(name) {
			case "method":
				c.method2 = s.text("requestContext.http.method")
			case "path":
				c.path2 = s.text("requestContext.http.path")
			case "protocol":
				c.protocol2 = s.text("requestContext.http.protocol")
			case "sourceIp":
				c.source2 = s.text("requestContext.http.sourceIp")
			default:
				s.skip()
			}
		})
	default:
		s.skip()
	}
}

// texts passes an object of strings over. A null value counts as one.
func (s *scanner) texts(field string) {
	s.object(field, func([]byte) {
		switch s.peek() {
		case '"':
			s.raw()
		case 'n':
			s.null()
		default:
			s.wrong(field, "a string")
		}
	})
}

// pairs reads an object of strings. A null value counts as "".
func (s *scanner) pairs(field string, dst []pair) ([]pair, bool) {
	ok := s.object(field, func(name []byte) {
		n := s.string(name)
		dst = append(dst, pair{n, s.text(field)})
	})
	return dst, ok
}

// lists reads an object of arrays of strings.
func (s *scanner) lists(field string, dst []pair) ([]pair, bool) {
	ok := s.object(field, func(name []byte) {
		n := s.string(name)
		s.array(field, func() { dst = append(dst, pair{n, s.text(field)}) })
	})
	return dst, ok
}

// shape tells the front by what only its events have.
func (e *event) shape() shape {
	c := &e.context
	switch {
	case c.elb && e.hasMultiHeaders:
		return albMulti
	case c.elb:
		return albSingle
	case c.connectionID != "":
		return unknown // WebSocket
	case e.authorizer:
		return unknown // it has all that a call has, but the body
	case e.version == "2.0" && c.http:
		if strings.Contains(c.domain, ".lambda-url.") || c.account == "anonymous" {
			return funcURL
		}
		return httpAPI2
	case e.version == "1.0" && c.present && e.httpMethod != "":
		return httpAPI1
	case e.version == "" && c.present && e.httpMethod != "" && (e.resource != "" || c.resourceID != ""):
		return restAPI
	}
	return unknown
}

// wanted ends the message about any other event.
const wanted = "expected an event of a REST API, an HTTP API (payload 1.0 or 2.0), a Function URL or a load balancer"

// strange says what an event of unknown shape looks like.
func (e *event) strange() string {
	switch {
	case e.context.connectionID != "":
		return "this is a WebSocket API's event; " + wanted
	case e.authorizer:
		return "this is a gateway's question to an authorizer, which tapway is not; " + wanted
	case len(e.names) == 0:
		return "the event is empty; " + wanted
	case len(e.names) == 1 && e.names[0] == "Records":
		return `the event holds "Records", as from SQS, SNS or S3; ` + wanted
	}
	return fmt.Sprintf("the event has %s; %s", strings.Join(quoteAll(e.names), ", "), wanted)
}

func quoteAll(names []string) []string {
	out := make([]string, len(names))
	for i, n := range names {
		if len(n) > 40 {
			n = n[:40]
		}
		out[i] = fmt.Sprintf("%q", n)
	}
	return out
}
