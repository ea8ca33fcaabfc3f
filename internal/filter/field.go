package filter

import "strings"

// kind is the type of a field: which literals and operators it takes.
type kind uint8

const (
	kindText kind = iota
	kindEnum      // text with known values
	kindMethod
	kindID
	kindIP
	kindBody
	kindHeader
	kindStatus
	kindCount
	kindSize
	kindDuration
	kindTime
)

// numeric reports whether values of the kind are ordered numbers (times apart).
func (k kind) numeric() bool { return k >= kindStatus && k <= kindDuration }

// textual reports whether the kind takes the operators of text.
func (k kind) textual() bool { return k <= kindHeader }

type fieldID uint8

const (
	fieldMethod fieldID = iota
	fieldPath
	fieldQuery
	fieldFrom
	fieldRoute
	fieldStatus
	fieldDuration
	fieldOverhead
	fieldSize
	fieldRequestSize
	fieldResponseSize
	fieldTime
	fieldClientIP
	fieldFront
	fieldOrigin
	fieldError
	fieldExchangeID
	fieldTraceID
	fieldDestination
	fieldAttempts
	fieldHeaders
	fieldResponseHeaders
	fieldBody
	fieldRequestBody
	fieldResponseBody
)

type fieldDef struct {
	id     fieldID
	kind   kind
	name   string
	help   string
	values []string // kindEnum
}

// fieldDefs is ordered by what people ask for most: completion shows it in this order.
var fieldDefs = [...]fieldDef{
	{id: fieldMethod, kind: kindMethod, name: "method", help: "the request's method: method in [GET, HEAD]"},
	{id: fieldPath, kind: kindText, name: "path", help: "the path as the client sent it, still percent-encoded"},
	{id: fieldQuery, kind: kindText, name: "query", help: "the raw query string, without the question mark"},
	{id: fieldStatus, kind: kindStatus, name: "status", help: "the status the client saw, 0 if it left before one: 404, 5xx"},
	{id: fieldDuration, kind: kindDuration, name: "duration", help: "from the request's head to the response's last byte: 250ms, 1m30s"},
	{id: fieldSize, kind: kindSize, name: "size", help: "bytes of both bodies as they passed: 512, 10KiB, 1MB"},
	{id: fieldClientIP, kind: kindIP, name: "client_ip", help: `the client's address: client_ip in "10.0.0.0/8"`},
	{id: fieldFront, kind: kindEnum, name: "front", help: "how the call arrived: server, rest, http, url, alb",
		values: []string{"server", "rest", "http", "url", "alb"}},
	{id: fieldOrigin, kind: kindEnum, name: "origin", help: "who made the response: backend, gateway, cache",
		values: []string{"backend", "gateway", "cache"}},
	{id: fieldDestination, kind: kindText, name: "destination", help: "the destination in question; empty where there is none"},
	{id: fieldError, kind: kindText, name: "error", help: "what went wrong, in a few words; empty if nothing did"},
	{id: fieldHeaders, kind: kindHeader, name: "headers", help: `a request header, any letter case: headers["user-agent"] contains "curl"`},
	{id: fieldBody, kind: kindBody, name: "body", help: `text of either body, without content codings: body contains "order-4711"`},
	{id: fieldTime, kind: kindTime, name: "time", help: `when the request came: time >= now-5m, time < "2026-11-20T10:00:00Z"`},
	{id: fieldRoute, kind: kindText, name: "route", help: `the route that matched, "GET /users/{id}"; empty if none did`},
	{id: fieldFrom, kind: kindText, name: "from", help: "the host the client asked for"},
	{id: fieldExchangeID, kind: kindID, name: "id", help: "the exchange's id (a UUIDv7)"},
	{id: fieldTraceID, kind: kindText, name: "trace_id", help: "the id of the trace the call belongs to; empty if none"},
	{id: fieldRequestSize, kind: kindSize, name: "request_size", help: "bytes of the request body as they passed"},
	{id: fieldResponseSize, kind: kindSize, name: "response_size", help: "bytes of the response body as they passed"},
	{id: fieldOverhead, kind: kindDuration, name: "overhead", help: "the part of the duration that was neither the backend's nor the client's"},
	{id: fieldAttempts, kind: kindCount, name: "attempts", help: "attempts to deliver made so far"},
	{id: fieldResponseHeaders, kind: kindHeader, name: "response_headers", help: `a response header: response_headers["content-type"] startsWith "text/"`},
	{id: fieldRequestBody, kind: kindBody, name: "request_body", help: `the request's body: request_body matches "(?i)drop +table"`},
	{id: fieldResponseBody, kind: kindBody, name: "response_body", help: `the response's body: response_body contains "Traceback"`},
}

// otherNames leads from what people type to the field they mean. Only request_headers, the
// record's own word, is taken; the others are suggested.
var otherNames = map[string]string{
	"endpoint": "path", "url": "path", "uri": "path", "ip": "client_ip", "remote_addr": "client_ip", "source_ip": "client_ip",
	"host": "from", "code": "status", "status_code": "status", "latency": "duration", "duration_ms": "duration",
	"overhead_ms": "overhead", "timestamp": "time", "header": "headers", "response_header": "response_headers",
	"verb": "method", "trace": "trace_id", "bytes": "size", "dest": "destination", "querystring": "query",
	"bodies": "body", "payload": "body", "content": "body", "text": "body", "request": "request_body", "response": "response_body",
}

func lookup(name string) *fieldDef {
	if name == "request_headers" {
		name = "headers"
	}
	for i := range fieldDefs {
		if fieldDefs[i].name == name {
			return &fieldDefs[i]
		}
	}
	return nil
}

// Field describes a field for completion and documentation.
type Field struct {
	Name      string
	Type      string   // "text", "number", "size", "duration", "time", "address", "header"
	Operators []string // in the order to offer them
	Values    []string // the values it can have; nil: any
	Help      string   // one line
}

// Fields lists every field, the most asked for first.
func Fields() []Field {
	out := make([]Field, len(fieldDefs))
	for i, d := range fieldDefs {
		out[i] = Field{Name: d.name, Type: d.kind.String(), Operators: strings.Fields(d.kind.operators()), Values: d.values, Help: d.help}
	}
	return out
}

func (k kind) String() string {
	switch k {
	case kindIP:
		return "address"
	case kindHeader:
		return "header"
	case kindStatus, kindCount:
		return "number"
	case kindSize:
		return "size"
	case kindDuration:
		return "duration"
	case kindTime:
		return "time"
	}
	return "text"
}

func (k kind) operators() string {
	switch {
	case k.textual():
		return "== != in contains startsWith endsWith matches"
	case k == kindTime:
		return "== != < <= > >="
	}
	return "== != < <= > >= in"
}

// example is a literal of the kind, for messages.
func (k kind) example() string {
	switch k {
	case kindIP:
		return `an address such as "192.0.2.1"`
	case kindStatus:
		return "a number such as 404 or a class such as 5xx"
	case kindCount:
		return "a number such as 3"
	case kindSize:
		return "a size such as 512, 10KiB or 1MB"
	case kindDuration:
		return "a duration such as 250ms or 1m30s"
	case kindTime:
		return `a time such as now-5m or "2026-11-20T10:00:00Z"`
	}
	return `text in quotes such as "abc"`
}
