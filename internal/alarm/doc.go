// Package alarm decides when somebody is to be told that something is wrong, tells them, and
// tells them when it is over. What is measured comes from outside ([Sample]); what the file in
// the data directory remembers makes a restart neither repeat a message nor forget one.
//
// What a newcomer gets wrong: messages are not queued. After every evaluation a [Target] is
// compared with what it was told last, and what is missing is sent. So a message that could not
// be sent is tried again, one that is no longer true is never sent late, and whoever was told of
// trouble, or may have been, is also told of its end.
package alarm
