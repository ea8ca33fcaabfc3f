// Package cache answers GET and HEAD from memory, between the access rules and the proxy. A
// [Cache] is a middleware: only calls that every rule let in reach it.
//
// What a newcomer gets wrong: a wrong answer to the wrong caller is worse than any number of
// misses. Everything that could tell two callers or two answers apart is in the key or keeps the
// call out of the cache; a body is kept only when all of it came; and what is asked of the
// backend for several callers runs in a goroutine of its own, with a copy of the request and of
// the [tapway.Call], because the caller who came first may leave first.
package cache
