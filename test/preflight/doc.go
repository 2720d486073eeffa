// Package preflight holds the preflight commands to account on five nodes: agents as processes in network
// namespaces of their own on one machine, with faults made one by one. Each must be found and named, and
// nothing else may be blamed. It needs root and Linux.
package preflight
