// Package config is tapway.yaml: one struct with its defaults, its documentation and its
// rules, from which the loader, the JSON Schema and the commented sample file are made.
//
// What a newcomer gets wrong: loading never stops at the first mistake. It walks the YAML
// tree beside the struct, collects every problem with file, line and column, and only a
// file without any becomes a Config.
package config

import (
	"time"

	"github.com/tapway/tapway"
	"github.com/tapway/tapway/internal/egress"
)

// Config is the whole of tapway.yaml. The tag yaml is the key, doc its explanation, def the
// default as one would write it, enum the values allowed, example what the sample file shows.
type Config struct {
	Listen string     `yaml:"listen" def:":8080" kind:"addr" doc:"Address the gateway listens on."`
	TLS    *ServerTLS `yaml:"tls" doc:"HTTPS at the front; HTTP/2 is offered then. Without it the gateway speaks plain HTTP."`
	H2C    bool       `yaml:"h2c" doc:"Also accept HTTP/2 without TLS (prior knowledge)."`
	Data   string     `yaml:"data" def:"./tapway-data" doc:"Directory of the queue, dead letters, history and ledger. One process at a time."`
	Queue  string     `yaml:"queue" def:"disk" kind:"queue" env:"TAPWAY_QUEUE" doc:"The queue: disk is the one embedded in this process; sqs://NAME, or a queue's URL or ARN, is one of Amazon SQS, shared with other processes and with tapway on Lambda. {destination} in it stands for the destination's name: each has a queue of its own."`
	Bucket string     `yaml:"bucket" kind:"bucket" env:"TAPWAY_BUCKET" example:"my-records" doc:"S3 bucket for what an SQS queue cannot take: records too large for a message, and records that SQS refused."`
	Admin  Admin      `yaml:"admin" doc:"Health, metrics and the API the command line talks to."`

	Backend        string            `yaml:"backend" kind:"backend" env:"TAPWAY_BACKEND REMOTE_URL" example:"https://api.internal:8443" doc:"One backend for every call. Use this, routes or openapi."`
	Routes         []Route           `yaml:"routes" doc:"Routes as API Gateway has them: static before parameter before greedy. A call that matches none is answered 404."`
	OpenAPI        string            `yaml:"openapi" kind:"export" example:"export.json" doc:"An API Gateway export (OpenAPI 3 or Swagger 2 with integrations) to take the routes from; on Lambda also s3://BUCKET/KEY. A call that matches none is answered 403 as API Gateway does."`
	StageVariables map[string]string `yaml:"stage_variables" doc:"Values of stageVariables.* in the export."`

	Proxy        Proxy         `yaml:"proxy" doc:"How calls are passed on."`
	Capture      Capture       `yaml:"capture" doc:"What is recorded, and how carefully."`
	Storage      Storage       `yaml:"storage" doc:"How much disk the queue and its history may use."`
	Destinations []Destination `yaml:"destinations" env:"TAPWAY_DESTINATION" doc:"Where records are delivered. Each has its own position, retries and dead letters."`
	Lambda       Lambda        `yaml:"lambda" doc:"What is different in AWS Lambda."`
	Access       Access        `yaml:"access" doc:"Who may come in. docs/access.md has the rules and their order."`
	Egress       Egress        `yaml:"egress" doc:"Where tapway itself may go: every dial, to backends, destinations and whatever else, is asked about. docs/egress.md has the rules. Without this key the backends and destinations of this file may be dialled wherever they are, but a name not when it leads to link-local or metadata addresses; hosts that others name only when they are public."`
	Cache        Cache         `yaml:"cache" doc:"Answers that are kept in memory, so that the backend is not asked twice. docs/cache.md has the rules."`
	Limits       Limits        `yaml:"limits" doc:"Bounds on what one client may ask of the gateway."`
	Alarms       Alarms        `yaml:"alarms" doc:"When somebody is told that something is wrong, and who. The rules hold without this key as well; they are then only shown. docs/alarms.md has the rules. In AWS Lambda it has no effect: the alarms are CloudWatch's there."`
	Log          Log           `yaml:"log" doc:"tapway's own log, on standard error."`
	AccessLog    AccessLog     `yaml:"access_log" doc:"One line per call for people and log shippers, redacted like the records. docs/telemetry.md has the formats. Not on Lambda."`
	Telemetry    Telemetry     `yaml:"telemetry" doc:"Metrics and traces for an OpenTelemetry collector. docs/telemetry.md has the names and an example. Not on Lambda."`
	AWS          AWS           `yaml:"aws" doc:"What tapway deploy makes on AWS. Its flags win over these, and both over what it remembers in tapway.deploy.json."`
}

// ServerTLS is TLS at the front.
type ServerTLS struct {
	Cert     string        `yaml:"cert" kind:"pem" required:"true" doc:"Certificate chain: a PEM file, or the PEM itself."`
	Key      tapway.Secret `yaml:"key" kind:"pem" required:"true" doc:"Private key: a PEM file, or the PEM itself, as ${aws-secretsmanager:NAME} gives it."`
	ClientCA string        `yaml:"client_ca" kind:"pem" doc:"CA of client certificates: a PEM file, or the PEM itself. Set: only clients with such a certificate are served (mutual TLS)."`
}

// Admin is the second listener.
type Admin struct {
	Listen      string        `yaml:"listen" def:"127.0.0.1:9090" kind:"addr or off" doc:"Address of the admin API. \"off\" switches it off."`
	Token       tapway.Secret `yaml:"token" env:"TAPWAY_TOKEN" doc:"Bearer token of the admin API. Required when it listens beyond loopback."`
	Connections int           `yaml:"connections" def:"256" doc:"Connections to the admin address at once. When there are as many, the one that has waited longest for a request makes room for a new one; if all are being answered, the new one is closed. 0: no limit."`
	MCP         string        `yaml:"mcp" def:"off" enum:"off read write" doc:"Whether agents are served at /mcp of the admin address (Model Context Protocol), with its token: not at all, to look only, or with tools that redrive dead letters and replay exchanges, which want a confirmation."`
}

// Route sends matching calls to a backend.
type Route struct {
	Match        string     `yaml:"match" required:"true" kind:"match" example:"GET /api/v1/users/{id}" doc:"Method (or ANY) and API Gateway path template."`
	Backend      string     `yaml:"backend" required:"true" kind:"template" example:"https://users.internal/v1/users/{id}" doc:"Backend URL; {name} and {proxy} stand for the matched path parameters. A call whose parameter would lead elsewhere (.., %2e%2e%2f) is answered 400."`
	Timeout      *Duration  `yaml:"timeout" doc:"How long the backend may take to begin its response; default proxy.timeout."`
	PreserveHost *bool      `yaml:"preserve_host" doc:"Send the client's Host; default proxy.preserve_host."`
	TLS          *ClientTLS `yaml:"tls" doc:"TLS to this backend; default proxy.tls."`
}

// ClientTLS is TLS towards a backend or a destination.
type ClientTLS struct {
	InsecureSkipVerify bool          `yaml:"insecure_skip_verify" doc:"Accept any certificate. The connection is then open to interception."`
	CA                 string        `yaml:"ca" kind:"pem" doc:"CA that signed the server's certificate: a PEM file, or the PEM itself, as ${aws-ssm:/PATH/NAME} gives it; default the system's."`
	ServerName         string        `yaml:"server_name" doc:"Name to verify and to send (SNI); default the URL's host."`
	Cert               string        `yaml:"cert" kind:"pem" doc:"Client certificate for mutual TLS: a PEM file, or the PEM itself."`
	Key                tapway.Secret `yaml:"key" kind:"pem" doc:"Its private key: a PEM file, or the PEM itself."`
}

// Proxy is how calls are passed on.
type Proxy struct {
	Timeout          Duration  `yaml:"timeout" def:"11s" env:"REQUEST_TIMEOUT" doc:"How long the backend may take to begin its response, once it has the request; 0 for no limit. What follows is idle_timeout's."`
	TotalTimeout     Duration  `yaml:"total_timeout" def:"0s" doc:"Total time of a call, its upload and download included; 0 for none. Streams (SSE, WebSocket) are exempt once they have begun."`
	ConnectTimeout   Duration  `yaml:"connect_timeout" def:"5s" doc:"Dialling the backend, TLS included."`
	FirstByteTimeout Duration  `yaml:"first_byte_timeout" def:"0s" doc:"From the request sent to the first response byte; 0: only timeout counts."`
	IdleTimeout      Duration  `yaml:"idle_timeout" def:"60s" doc:"Between two pieces of a response; 0 for none."`
	MaxResponse      Size      `yaml:"max_response" def:"0" env:"PAYLOAD_QUOTA" doc:"Largest response body passed on; more is answered 502. 0: no limit."`
	MaxRequest       Size      `yaml:"max_request" def:"0" doc:"Largest request body passed on; more is answered 413. 0: no limit."`
	NoHeaders        bool      `yaml:"no_headers" env:"NO_HEADERS" doc:"Do not pass the client's headers to the backend, except those that describe the body."`
	PreserveHost     bool      `yaml:"preserve_host" doc:"Send the client's Host to the backend instead of the backend's own."`
	Forwarded        string    `yaml:"forwarded" def:"on" enum:"on off" doc:"Whether the backend gets X-Forwarded-For, -Proto, -Host and Forwarded. With on, what clients other than access.trusted_proxies send in headers of proxies does not reach it: X-Real-IP and X-Forwarded-Port are corrected, other X-Forwarded-…, True-Client-IP, CF-Connecting-IP, X-Client-IP, X-Original-URL, X-Rewrite-URL and the like are dropped. off passes all of them as sent."`
	FilteredPaths    []string  `yaml:"filtered_paths" env:"FILTERED_PATH" example:"/internal" doc:"Paths (and all below them) answered 403 instead of being passed on, in whatever spelling."`
	FilteredMessage  string    `yaml:"filtered_message" def:"Filtered URL." env:"FILTERED_URL_MSG" doc:"What such a call is told."`
	AppName          string    `yaml:"app_name" def:"tapway" env:"APP_NAME" doc:"Name on the page shown when the backend is down."`
	ErrorTitle       string    `yaml:"error_title" def:"Gateway Error" env:"GENERAL_ERROR" doc:"Title of that page."`
	HTTP2            bool      `yaml:"http2" def:"true" doc:"Use HTTP/2 with backends that offer it over TLS."`
	H2C              bool      `yaml:"h2c" doc:"Speak HTTP/2 without TLS to http:// backends (prior knowledge)."`
	MaxConnections   int       `yaml:"max_connections" def:"0" doc:"Connections to one backend at most; further calls wait. 0: no limit."`
	TLS              ClientTLS `yaml:"tls" doc:"TLS to backends."`
	Debug            bool      `yaml:"debug" doc:"Let ?dump_request=y and ?trace_connection=y work. Not for production."`
}

// Capture is what is recorded.
type Capture struct {
	MaxBody    Size   `yaml:"max_body" def:"10MiB" doc:"Bytes kept of each body; what passes beyond is counted, hashed and marked truncated."`
	Memory     Size   `yaml:"memory" def:"64MiB" doc:"Memory for all bodies being captured together; beyond it they go to temporary files. A call that would wait for either longer than 50 ms is recorded without its bodies (encoding withheld; size and sha256 stay)."`
	Redact     Redact `yaml:"redact" doc:"What is replaced by [REDACTED] before anything is stored, in both directions."`
	Rules      []Rule `yaml:"rules" doc:"The first rule whose condition holds decides; a call that none takes is kept whole."`
	Durability string `yaml:"durability" def:"commit" enum:"commit write" doc:"commit: the record is on disk before the response ends. write: handed to the operating system, on disk within 10 ms."`
	OnFailure  string `yaml:"on_failure" def:"serve" enum:"serve refuse" doc:"When a record cannot be stored: serve the call and count the loss, or refuse it with 503."`
}

// Redact is added to the built-in rules.
type Redact struct {
	Defaults bool          `yaml:"defaults" def:"true" doc:"Keep the built-in rules (Authorization, cookies, API keys, common password and token names) and add these."`
	Headers  []string      `yaml:"headers" example:"X-Internal-Token" doc:"Header names; X-Auth-* is every name that begins so."`
	Cookies  []string      `yaml:"cookies" doc:"Cookie names, for when whole Cookie headers are not redacted."`
	Query    []string      `yaml:"query" example:"session" doc:"Query parameter names; of URLs in headers and in bodies of text, too."`
	Path     []string      `yaml:"path" doc:"Path parameter names of routes."`
	JSON     []string      `yaml:"json" example:"$..card.number" doc:"Fields of JSON bodies, as RFC 9535 JSONPath. Their last names also count in XML, in plain text before = or :, and, of paths like $..name, in JSON, GraphQL and forms within strings and in members called name and value."`
	Form     []string      `yaml:"form" doc:"Form and multipart field names; also for XML and plain text."`
	Key      tapway.Secret `yaml:"key" doc:"Makes [REDACTED:3f9a1c02] of equal values, so that records can be joined without knowing the value."`
}

// Rule decides how much of a call is recorded.
type Rule struct {
	If     string   `yaml:"if" kind:"filter" required:"true" example:"status < 400 && duration < 1s" doc:"Condition in the filter language."`
	Sample *float64 `yaml:"sample" doc:"Share of such calls to keep, 0 to 1. Those left out are counted in the ledger as sampled."`
	Bodies *bool    `yaml:"bodies" doc:"false: keep everything but the bodies."`
}

// Storage bounds the data directory.
type Storage struct {
	Limit      Size     `yaml:"limit" def:"10GiB" doc:"Disk space of the data directory. Delivered history goes first; then new records are refused and counted, queued ones are never dropped. 0: no limit."`
	HistoryAge Duration `yaml:"history_age" def:"24h" doc:"How long delivered records stay searchable."`
	History    Size     `yaml:"history" def:"1GiB" doc:"How much of the log the delivered history may use."`
}

// Destination is where records go.
type Destination struct {
	Name        string                   `yaml:"name" required:"true" example:"siem" doc:"Its name in commands, metrics and the ledger: letters, digits, '-', '_'."`
	URL         string                   `yaml:"url" required:"true" kind:"url" example:"https://siem.example.com/in" doc:"Where records are POSTed."`
	Headers     map[string]tapway.Secret `yaml:"headers" doc:"Headers of every delivery; values are secrets."`
	Signing     []tapway.Secret          `yaml:"signing_secret" doc:"Standard Webhooks secret (whsec_…); a list of several while rotating."`
	Format      string                   `yaml:"format" def:"json" enum:"json ndjson cloudevents har" doc:"Form of the body."`
	If          string                   `yaml:"if" kind:"filter" example:"path startsWith '/api/'" doc:"Only records for which this holds, in the filter language."`
	Timeout     Duration                 `yaml:"timeout" def:"10s" doc:"One attempt, from dialling to the end of the answer."`
	Concurrency int                      `yaml:"concurrency" def:"16" doc:"Attempts under way at once."`
	Batch       Batch                    `yaml:"batch" doc:"Several records in one request."`
	Retry       Retry                    `yaml:"retry" doc:"Failed attempts are repeated with exponential backoff and full jitter."`
	TLS         ClientTLS                `yaml:"tls" doc:"TLS to this destination."`
}

// Batch is how records are joined.
type Batch struct {
	MaxRecords int      `yaml:"max_records" def:"1" doc:"Records in one request."`
	MaxBytes   Size     `yaml:"max_bytes" def:"1MiB" doc:"Size of one request's body, but at least one record."`
	MaxWait    Duration `yaml:"max_wait" def:"0s" doc:"How long to wait for a batch to fill."`
}

// Retry is how failed attempts are repeated.
type Retry struct {
	MaxAttempts int      `yaml:"max_attempts" def:"8" doc:"Attempts before a record becomes a dead letter."`
	Min         Duration `yaml:"min" def:"1s" doc:"Upper bound of the first pause; it doubles each time."`
	Max         Duration `yaml:"max" def:"15m" doc:"Upper bound of any pause, unless Retry-After asks for more: a record then waits up to a day; its destination stops for an hour at most, or max if that is longer."`
}

// Lambda is what is different in AWS Lambda.
type Lambda struct {
	Capture         string `yaml:"capture" def:"after" enum:"after before" env:"TAPWAY_CAPTURE" doc:"When a record is sent to the queue. after: when the client has its response, before the environment may freeze. before: before the response, which waits for it."`
	Stream          bool   `yaml:"stream" env:"TAPWAY_STREAM" doc:"Stream responses: for a Function URL with RESPONSE_STREAM, or an integration with responseTransferMode STREAM. The event does not tell, so it must be said here."`
	DeadLetterQueue string `yaml:"dead_letter_queue" kind:"queue" env:"TAPWAY_DEAD_LETTER_QUEUE" example:"sqs://records-dead" doc:"Where the forwarder sends records it gives up on; default the queue that the queue's redrive policy names. {destination} stands for the destination's name."`
	Routes          string `yaml:"routes" kind:"s3 prefix" env:"TAPWAY_ROUTES" example:"s3://my-records/routes/" doc:"Where the proxy finds the route table of each API that it is attached to: s3://BUCKET/PREFIX/, to which API-ID/STAGE.json or else API-ID.json is added. It is read at the first call of an API, and looked at again once a minute. Calls of other APIs go by backend, routes or openapi, if there are any."`
	DeleteObjects   bool   `yaml:"delete_objects" env:"TAPWAY_DELETE_OBJECTS" doc:"Delete a large record's object from the bucket once it is delivered. Otherwise the bucket's lifecycle rule does, which must outlast the queue and its dead letters."`
}

// AWS is what `tapway deploy` does not ask for when it stands here.
type AWS struct {
	Region       string  `yaml:"region" example:"eu-west-1" doc:"AWS region; default what AWS_REGION or the profile says."`
	Project      string  `yaml:"project" example:"tapway" doc:"Name of the installation, and beginning of the name of everything in it."`
	API          string  `yaml:"api" example:"a1b2c3d4e5" doc:"Id of the REST or HTTP API to attach to."`
	Stage        string  `yaml:"stage" example:"prod" doc:"Its API stage; default the only one there is."`
	Memory       int     `yaml:"memory" def:"512" doc:"Memory of each function, MiB."`
	Architecture string  `yaml:"architecture" def:"arm64" enum:"arm64 x86_64" doc:"Processor of the functions."`
	Concurrency  int     `yaml:"concurrency" def:"0" doc:"Reserved concurrency of the proxy function: the most calls at once, and so a bound on what a month can cost. 0: none reserved."`
	AlarmEmail   string  `yaml:"alarm_email" example:"ops@example.com" doc:"Who is told of alarms."`
	StateBucket  string  `yaml:"state_bucket" kind:"bucket" example:"my-terraform-state" doc:"S3 bucket for Terraform's state; default a file in the working directory."`
	VPC          *AWSVPC `yaml:"vpc" doc:"Where the functions run. Without it they run outside of any VPC."`
}

// AWSVPC is a network for the functions.
type AWSVPC struct {
	Subnets        []string    `yaml:"subnets" required:"true" example:"subnet-0a1b2c3d" doc:"Ids of private subnets, with a NAT gateway or endpoints for SQS, S3 and CloudWatch Logs."`
	SecurityGroups []string    `yaml:"security_groups" example:"sg-0a1b2c3d" doc:"Ids of security groups besides the one that deploy makes."`
	Egress         []AWSEgress `yaml:"egress" doc:"Where the functions may go; all else is closed to them. They need SQS, S3 and what they pass calls and records on to."`
}

// AWSEgress is one way out.
type AWSEgress struct {
	To          string `yaml:"to" required:"true" example:"10.0.0.0/8" doc:"A network (CIDR), a prefix list (pl-...) or a security group (sg-...)."`
	Port        int    `yaml:"port" def:"443" example:"443" doc:"TCP port."`
	Description string `yaml:"description" example:"backends" doc:"For people."`
}

// Egress is where tapway may go.
type Egress struct {
	Allow      []string `yaml:"allow" kind:"egress" env:"TAPWAY_EGRESS_ALLOW" doc:"Addresses, networks and names, each with a port or a range of ports or for all ports: 172.16.0.10:443, 10.0.0.0/8, [2001:db8::/32]:8000-8999, api.example.com:443, *.example.com. With one or more, everything else is denied, the backends and destinations of this file included. In the environment parted by |."`
	Deny       []string `yaml:"deny" kind:"egress" env:"TAPWAY_EGRESS_DENY" example:"203.0.113.0/24" doc:"What is denied, in the same form. The most specific rule wins, and deny wins on a tie."`
	ReportOnly bool     `yaml:"report_only" env:"TAPWAY_EGRESS_REPORT_ONLY" doc:"Log and count what would be denied, and dial it all the same."`
}

// Policy are these rules, ready to be asked.
func (e Egress) Policy() (*egress.Policy, error) {
	return egress.New(egress.Rules{Allow: e.Allow, Deny: e.Deny, ReportOnly: e.ReportOnly})
}

// Limits bound one client.
type Limits struct {
	HeaderBytes    Size     `yaml:"header_bytes" def:"64KiB" doc:"Request line and headers."`
	Headers        int      `yaml:"headers" def:"200" doc:"Header lines of a request."`
	Connections    int      `yaml:"connections" def:"0" doc:"Client connections at once; further ones wait. 0: no limit."`
	PerAddress     int      `yaml:"connections_per_address" def:"0" doc:"Connections of one address at once; further ones are closed. Trusted proxies are exempt, and IPv6 addresses count together by /64. 0: no limit."`
	ConnectionRate float64  `yaml:"connection_rate" def:"0" doc:"New connections of one address per second, as many at once; further ones are closed. 0: no limit."`
	Calls          int      `yaml:"calls" def:"0" doc:"Calls under way at once; further ones are answered 503. 0: no limit."`
	CallsPer       int      `yaml:"calls_per_address" def:"0" doc:"Calls of one address under way at once; further ones are answered 429. 0: no limit."`
	DailyCalls     int      `yaml:"daily_calls" def:"0" doc:"Calls that are served in a day, which begins at midnight UTC; further ones are answered 429. Processes count together with access.counters: dynamodb://TABLE. 0: no limit."`
	DailyCost      float64  `yaml:"daily_cost" def:"0" doc:"On Lambda, what calls may cost in a day, in US dollars: the requests of the front and of the proxy function and its time, by the price table of tapway cost; further calls are answered 429. 0: no limit."`
	HeaderTimeout  Duration `yaml:"header_timeout" def:"10s" doc:"For a client to send its headers."`
	IdleTimeout    Duration `yaml:"idle_timeout" def:"120s" doc:"How long an unused connection is kept."`
	BodyTimeout    Duration `yaml:"body_timeout" def:"60s" doc:"Between two pieces of a request body."`
	WriteTimeout   Duration `yaml:"write_timeout" def:"60s" doc:"For a client to take some more of a response."`
	ShutdownWindow Duration `yaml:"shutdown" def:"20s" doc:"For calls under way to end when tapway is told to stop."`
}

// Log is tapway's own log.
type Log struct {
	Format string `yaml:"format" def:"text" enum:"text json" doc:"One line per decision, for people or for machines."`
	Level  string `yaml:"level" def:"info" enum:"debug info warn error" doc:"The least important level shown."`
	Calls  bool   `yaml:"calls" doc:"Also log one line per call."`
}

// Duration is a time.Duration written as "1s", "250ms", "15m".
type Duration time.Duration

// D is the time.Duration.
func (d Duration) D() time.Duration { return time.Duration(d) }

func (d Duration) String() string { return time.Duration(d).String() }

// Size is a number of bytes written as 512, "10KiB", "10MiB" or "1GB".
type Size int64
