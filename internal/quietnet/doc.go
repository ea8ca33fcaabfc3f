// Package quietnet reads and writes TCP connections without telling Go's scheduler of it.
//
// What a newcomer gets wrong: that a system call is cheap for Go as soon as it is cheap for the kernel. Package
// net announces each one, because it might block. The first that is announced after a wait wakes the runtime's
// monitor thread, which then looks around every 20 µs until everything is idle again. A process that waits
// several times in a call, and does little between, pays for that more than for its reads and writes. The
// sockets of package net never block, so nothing needs to be announced: here the calls are made raw, and only
// when there is nothing to read, or no room to write, the goroutine waits in the runtime's poller as ever.
// Deadlines, Close and everything else are package net's.
//
// It is for processes that wait most of their time. The monitor is also who interrupts a goroutine that computes
// for more than 10 ms, and where no system call is announced it sleeps on.
package quietnet
