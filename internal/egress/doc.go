// Package egress says which addresses may be dialled, and has the dialer that asks: to backends,
// to destinations, and to whatever else tapway calls on behalf of its configuration.
//
// A [Policy] is rules of addresses and of names. The most specific rule decides: the longest
// prefix, the longest name, and among equals the narrower range of ports; on a tie deny wins.
// What no rule takes is denied if anything is allowed by rule, and otherwise goes by the default:
// what the configuration names may be dialled, what a stranger names only if it is public.
//
// What a newcomer gets wrong: a name is not what is dialled. The [Dialer] resolves a name once,
// asks the policy about every address it got, and connects to one of those very addresses, so that
// a name that answers differently the second time gains nothing. And an address may stand inside
// another one (IPv4-mapped, NAT64, 6to4, Teredo): each of them has to pass.
package egress
