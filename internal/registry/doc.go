// Package registry is the platform's link to Nacos: instances register themselves, clients of gRPC
// find them as nacos:///service, and services read configuration documents.
//
// It speaks to Nacos 2 and 3 over one gRPC connection a process, with the messages and the stubs of
// nacos-sdk-go, but not with that module's client, for what reading its source (v2.3.5) and running
// it showed: its reconnecting goroutine and its notifying one can wait for each other for ever, also
// in CloseClient; it writes a map of the whole process without the lock that it reads it under, which
// ends the process; a TLS file that it cannot read ends the process too; a host's certificate is not
// checked when no authority is named; it opens a UDP port on all interfaces; and it hides on which
// connection an answer came, without which an emptied server looks like one whose instances were all
// switched off.
//
// Everything that has to hold while Nacos is away is held here: the last known instances stay in use,
// and every instance registers again on each new connection.
package registry
