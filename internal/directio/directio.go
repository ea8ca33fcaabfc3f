// Package directio reads and writes TCP connections without telling Go's scheduler about each system call.
//
// What a newcomer gets wrong: a socket of the net package never blocks, but its calls are announced
// as if they might. After every wait of a process that has nothing else to do, as a Lambda function
// waits for events and answers, the announcement wakes the runtime's monitor thread, which costs as much as
// the call itself. With several processors the announcement is what lets others take over meanwhile, so
// connections are only wrapped where there is one.
package directio
