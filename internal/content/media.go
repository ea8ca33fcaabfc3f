package content

import (
	"mime"
	"strings"
)

// essence cuts the parameters off a Content-Type value.
func essence(contentType string) string {
	if i := strings.IndexByte(contentType, ';'); i >= 0 {
		contentType = contentType[:i]
	}
	return strings.Trim(contentType, " \t")
}

func hasPrefixFold(s, prefix string) bool {
	return len(s) >= len(prefix) && strings.EqualFold(s[:len(prefix)], prefix)
}

func hasSuffixFold(s, suffix string) bool {
	return len(s) >= len(suffix) && strings.EqualFold(s[len(s)-len(suffix):], suffix)
}

// IsJSON reports whether a Content-Type value means one JSON document: application/json, text/json
// and every type that ends in +json. Streams of documents (application/x-ndjson,
// text/event-stream) are not one.
func IsJSON(contentType string) bool {
	t := essence(contentType)
	return strings.EqualFold(t, "application/json") || strings.EqualFold(t, "text/json") || hasSuffixFold(t, "+json")
}

// IsJSONLines reports whether a Content-Type value means a sequence of JSON documents: NDJSON,
// JSON Lines, and JSON text sequences (RFC 7464).
func IsJSONLines(contentType string) bool {
	t := essence(contentType)
	for _, name := range [...]string{"application/x-ndjson", "application/ndjson", "application/jsonl", "application/x-jsonlines", "application/jsonlines", "application/json-seq"} {
		if strings.EqualFold(t, name) {
			return true
		}
	}
	return hasSuffixFold(t, "+json-seq")
}

// IsEventStream reports whether a Content-Type value means server-sent events.
func IsEventStream(contentType string) bool {
	return strings.EqualFold(essence(contentType), "text/event-stream")
}

// IsForm reports whether a Content-Type value means an urlencoded form.
func IsForm(contentType string) bool {
	return strings.EqualFold(essence(contentType), "application/x-www-form-urlencoded")
}

// IsMultipart reports whether a Content-Type value means any kind of multipart body, even when its
// boundary cannot be read.
func IsMultipart(contentType string) bool {
	return hasPrefixFold(essence(contentType), "multipart/")
}

// MultipartBoundary gives the boundary of a multipart body of any kind, and false when
// the type is another or its boundary is missing or not readable (RFC 2046 §5.1.1).
func MultipartBoundary(contentType string) (string, bool) {
	if !IsMultipart(contentType) {
		return "", false
	}
	_, params, err := mime.ParseMediaType(contentType)
	if err != nil {
		return "", false
	}
	b := params["boundary"]
	return b, b != "" && len(b) <= 70
}

// IsText reports whether a Content-Type value means a body that people read as text. It says
// nothing about the charset: who shows the body as a string checks that it is UTF-8.
func IsText(contentType string) bool {
	t := essence(contentType)
	if hasPrefixFold(t, "text/") || IsJSON(t) || IsForm(t) || IsJSONLines(t) {
		return true
	}
	for _, suffix := range [...]string{"+xml", "+yaml", "/xml", "/yaml", "/x-yaml", "/javascript", "/x-javascript", "/ecmascript", "/graphql", "/sql", "/toml"} {
		if hasSuffixFold(t, suffix) {
			return true
		}
	}
	return false
}

// IsXML reports whether a Content-Type value means XML. XHTML is, HTML is not.
func IsXML(contentType string) bool {
	t := essence(contentType)
	return hasSuffixFold(t, "+xml") || hasSuffixFold(t, "/xml")
}

// IsHTML reports whether a Content-Type value means HTML.
func IsHTML(contentType string) bool { return strings.EqualFold(essence(contentType), "text/html") }

// IsScript reports whether a Content-Type value means JavaScript, in which JSONP travels.
func IsScript(contentType string) bool {
	t := essence(contentType)
	return hasSuffixFold(t, "/javascript") || hasSuffixFold(t, "/x-javascript") || hasSuffixFold(t, "/ecmascript")
}

// IsPlainText reports whether a Content-Type value means text of lines with no markup: plain
// text, YAML, TOML and the like.
func IsPlainText(contentType string) bool {
	t := essence(contentType)
	for _, suffix := range [...]string{"text/plain", "/yaml", "/x-yaml", "+yaml", "/toml", "/x-ini", "/x-java-properties", "text/x-log"} {
		if hasSuffixFold(t, suffix) {
			return true
		}
	}
	return false
}

// IsMedia reports whether a Content-Type value names images, sound, film or fonts: bodies that
// hold no fields whatever their bytes look like. SVG is text.
func IsMedia(contentType string) bool {
	t := essence(contentType)
	if hasSuffixFold(t, "+xml") || hasSuffixFold(t, "+json") {
		return false
	}
	return hasPrefixFold(t, "image/") || hasPrefixFold(t, "audio/") || hasPrefixFold(t, "video/") || hasPrefixFold(t, "font/")
}

// IsGraphQL reports whether a Content-Type value means a GraphQL document by itself.
func IsGraphQL(contentType string) bool {
	return strings.EqualFold(essence(contentType), "application/graphql")
}

// IsPacked reports whether a Content-Type value means a binary form of JSON in which the names of members stand as
// they are: MessagePack, CBOR, BSON, Smile and UBJSON.
func IsPacked(contentType string) bool {
	t := essence(contentType)
	for _, name := range [...]string{"msgpack", "x-msgpack", "vnd.msgpack", "messagepack", "cbor", "x-amz-cbor-1.1", "bson", "x-bson", "smile", "x-jackson-smile", "ubjson"} {
		if hasSuffixFold(t, "/"+name) || hasSuffixFold(t, "+"+name) {
			return true
		}
	}
	return hasSuffixFold(t, "/cbor-seq")
}

// IsAnything reports whether a Content-Type value says nothing about the body.
func IsAnything(contentType string) bool {
	t := essence(contentType)
	return strings.EqualFold(t, "application/octet-stream") || strings.EqualFold(t, "binary/octet-stream") || t == "*/*"
}
