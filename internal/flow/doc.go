// Package flow holds calls within limits: by route, by user, by sale, by client address, by how many
// are under way, by how well a link to another service answers, and by how busy the process is.
//
// It stands on Sentinel, whose rules and statistics are global to a process; this package alone
// imports it, gives each Guard resources of its own, so that several services in one process do not
// touch each other's rules, and runs it without its start-up, which would write files to the home
// directory and start collectors that cannot be stopped.
//
// The rules of a service are one document (Rules). The defaults are built in, a newer document takes
// their place while the process runs, and a Floor in the code bounds how loose any document can make
// them. A document acts wholly or not at all.
package flow
