package redact

import (
	"errors"
	"strings"

	"github.com/tapway/tapway"
)

var errCharset = errors.New("a charset in which a name may be other bytes than in ASCII")

// asciiCharsets begin the names of the charsets in which ASCII characters are their own bytes,
// and nothing else is. In others (UTF-16, UTF-7, EBCDIC) no search for bytes finds a name.
var asciiCharsets = []string{
	"utf-8", "utf8", "utf_8", "unicode-1-1-utf-8", "us-ascii", "ascii", "iso-8859-", "iso8859", "iso_8859-", "latin",
	"windows-125", "windows-874", "cp125", "koi8-", "tis-620", "macintosh", "x-mac-",
	"gb2312", "gbk", "gb18030", "big5", "euc-", "shift_jis", "shift-jis", "sjis", "x-sjis", "windows-31j", "ms932",
	"cp437", "cp85", "ibm437", "ibm85", "us_ascii", "ansi", "x-user-defined", "binary", "none", "default", // the last of these are no charsets, but common
}

// foreign reports whether a Content-Type line names a charset in which names cannot be found.
func foreign(h tapway.Header) bool {
	for i := range h {
		if len(h[i].Name) != len("Content-Type") || !strings.EqualFold(h[i].Name, "Content-Type") {
			continue
		}
		_, params, _ := strings.Cut(h[i].Value, ";")
		for params != "" {
			var one string
			one, params, _ = strings.Cut(params, ";")
			name, value, _ := strings.Cut(one, "=")
			name, _ = strings.CutSuffix(strings.Trim(name, " \t"), "*")
			if strings.EqualFold(name, "charset") && !asciiCharset(strings.Trim(value, " \t\"'")) {
				return true
			}
		}
	}
	return false
}

func asciiCharset(name string) bool {
	if name == "" {
		return true
	}
	for _, prefix := range asciiCharsets {
		if len(name) >= len(prefix) && equalFoldASCII(name[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}
