package access

import "strings"

// glob matches as IAM's wildcards do: "*" stands for any characters, slashes included, "?" for
// exactly one. It takes time in proportion to len(pattern) × len(s) at most.
func glob(pattern, s string) bool {
	star, mark := -1, 0
	i, j := 0, 0
	for j < len(s) {
		switch {
		case i < len(pattern) && pattern[i] == '*':
			star, mark = i, j
			i++
		case i < len(pattern) && pattern[i] == '?':
			i++
			j += runeLen(s[j:])
		case i < len(pattern) && pattern[i] == s[j]:
			i++
			j++
		case star >= 0:
			mark++
			i, j = star+1, mark
		default:
			return false
		}
	}
	return strings.Trim(pattern[i:], "*") == ""
}

// runeLen is the length of the first character; what is no UTF-8 counts byte by byte.
func runeLen(s string) int {
	if s[0] < 0x80 {
		return 1
	}
	for i := range s {
		if i > 0 {
			return i
		}
	}
	return len(s)
}

// wild reports whether a pattern has wildcards.
func wild(pattern string) bool { return strings.ContainsAny(pattern, "*?") }

// arnGlob matches two ARNs part by part (IAM's ArnLike): a wildcard does not cross a colon,
// except in the last part.
func arnGlob(pattern, arn string) bool {
	for range 5 {
		p, rest, ok1 := strings.Cut(pattern, ":")
		a, tail, ok2 := strings.Cut(arn, ":")
		if !ok1 || !ok2 || !glob(p, a) {
			return false
		}
		pattern, arn = rest, tail
	}
	return glob(pattern, arn)
}
