package preflight

import (
	"errors"
	"fmt"
	"slices"
	"time"
)

// maxPeers bounds what one task makes an agent call.
const maxPeers = 1000

// Peer is an agent as another one reaches it.
type Peer struct {
	// Node is its name, Boot the random id of its process.
	Node string `json:"node"`
	Boot string `json:"boot"`
	// Address is host:port of its HTTP port.
	Address string `json:"address"`
}

// Task is one check for one agent to make.
type Task struct {
	// Run is the random id of the run.
	Run   string `json:"run"`
	Check string `json:"check"`
	Plan  Plan   `json:"plan"`
	// Peers are the other agents.
	Peers []Peer `json:"peers,omitempty"`
	// Ports are what all agents opened for the run, by node.
	Ports map[string][]int `json:"ports,omitempty"`
	// Value is what the ingress name must lead to.
	Value string `json:"value,omitempty"`
}

// Valid gives an error for a task that no runner of this version makes.
func (t Task) Valid() error {
	if t.Run == "" || !slices.Contains(Checks, t.Check) || t.Check == CheckAgents {
		return fmt.Errorf("task: run %q, check %q", t.Run, t.Check)
	}
	if len(t.Peers) > maxPeers {
		return fmt.Errorf("task: %d peers, %d are the most", len(t.Peers), maxPeers)
	}
	for _, p := range t.Peers {
		if err := addresses("Peers", p.Address); err != nil || p.Address == "" || p.Node == "" {
			return errors.Join(fmt.Errorf("task: peer %q at %q", p.Node, p.Address), err)
		}
	}
	return t.Plan.Check()
}

// Offer is what an agent is to hold ready for the others during a check.
type Offer struct {
	Run string `json:"run"`
	// Ports are listened on by raw TCP.
	Ports []int `json:"ports,omitempty"`
	// Host and Value: a GET of ValuePath for the host is answered with the value.
	Host  string `json:"host,omitempty"`
	Value string `json:"value,omitempty"`
	// Lease is when the agent takes it back by itself.
	Lease time.Duration `json:"lease"`
}

// Valid gives an error for an offer beyond an agent's bounds.
func (o Offer) Valid() error {
	if o.Run == "" {
		return errors.New("offer: no run")
	}
	return errors.Join(ports("offer", o.Ports), between("offer: lease", int64(o.Lease), 0, int64(2*MaxLimit)))
}

// Offered is what an agent holds ready, and why something is missing, by port.
type Offered struct {
	Ports  []int          `json:"ports"`
	Failed map[int]string `json:"failed,omitempty"`
}

// Hello is what an agent tells everybody: nothing that is worth guarding.
type Hello struct {
	Node string    `json:"node"`
	Boot string    `json:"boot"`
	Time time.Time `json:"time"`
}

// The paths of an agent's HTTP port.
const (
	HelloPath   = "/v1/hello"
	RunPath     = "/v1/run"
	OfferPath   = "/v1/offer"
	ReleasePath = "/v1/release"
	ValuePath   = "/seckill-preflight"
)

// Banner is what an agent sends on a raw TCP port of an offer, once, before it closes.
func Banner(run, node string) string { return fmt.Sprintf("seckill-preflight %s %s\n", run, node) }
