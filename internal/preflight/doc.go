// Package preflight is what a check of a cluster before an installation is made of: the plan, the
// findings with their explanations, the report and its verdict. It touches neither network nor disk but
// for the plan's file; hostcheck, netcheck and servercheck look, agent and runner carry.
package preflight
