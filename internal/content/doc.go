// Package content undoes the content codings of captured bodies and classifies their media
// types, so that redaction and the record read a body the same way.
//
// What a newcomer gets wrong: a captured body is a stranger's bytes, cut off anywhere. Decode
// gives what it could read together with an error, and only a nil error means that the
// whole body was read and that nothing stood behind it.
package content
