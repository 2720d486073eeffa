package kube

import (
	"fmt"
	"net/netip"
	"slices"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// peer is an end of a connection: a pod, here or in another namespace, or an address outside.
type peer struct {
	name      string
	namespace string // "": an address
	labels    labels.Set
	address   string
}

// link is a connection to a port.
type link struct {
	from, to string
	protocol corev1.Protocol
	port     int32
}

func (l link) String() string {
	return fmt.Sprintf("%s → %s:%d/%s", l.from, l.to, l.port, l.protocol)
}

// policies are the network policies of one namespace.
type policies struct {
	namespace string
	all       []*networkingv1.NetworkPolicy
}

// allows tells whether a connection passes at both of its ends. What is in another namespace or outside has
// no policies here, so only the end in the namespace decides.
func (p policies) allows(from, to peer, protocol corev1.Protocol, port int32) bool {
	return (from.namespace != p.namespace || p.passes(networkingv1.PolicyTypeEgress, from, to, protocol, port)) &&
		(to.namespace != p.namespace || p.passes(networkingv1.PolicyTypeIngress, to, from, protocol, port))
}

// passes tells whether the policies at one end let the other one be talked to. A pod that no policy of that
// direction selects is open.
func (p policies) passes(direction networkingv1.PolicyType, own, other peer, protocol corev1.Protocol, port int32) bool {
	selected := false
	for _, policy := range p.all {
		if !slices.Contains(policy.Spec.PolicyTypes, direction) || !matches(&policy.Spec.PodSelector, own.labels) {
			continue
		}
		selected = true
		if direction == networkingv1.PolicyTypeIngress {
			for _, rule := range policy.Spec.Ingress {
				if p.rule(rule.From, rule.Ports, other, protocol, port) {
					return true
				}
			}
			continue
		}
		for _, rule := range policy.Spec.Egress {
			if p.rule(rule.To, rule.Ports, other, protocol, port) {
				return true
			}
		}
	}
	return !selected
}

// rule tells whether a rule has the other end and the port. Without peers it has everybody, without ports
// every port.
func (p policies) rule(peers []networkingv1.NetworkPolicyPeer, ports []networkingv1.NetworkPolicyPort, other peer, protocol corev1.Protocol, port int32) bool {
	hasPort := len(ports) == 0 || slices.ContainsFunc(ports, func(have networkingv1.NetworkPolicyPort) bool {
		return have.Protocol != nil && *have.Protocol == protocol && (have.Port == nil || have.Port.IntVal == port)
	})
	return hasPort && (len(peers) == 0 || slices.ContainsFunc(peers, func(have networkingv1.NetworkPolicyPeer) bool { return p.is(have, other) }))
}

func (p policies) is(have networkingv1.NetworkPolicyPeer, other peer) bool {
	if have.IPBlock != nil {
		prefix, err := netip.ParsePrefix(have.IPBlock.CIDR)
		if err != nil || other.address == "" {
			return false
		}
		return prefix.Contains(netip.MustParseAddr(other.address))
	}
	if other.namespace == "" {
		return false
	}
	if have.NamespaceSelector == nil {
		if other.namespace != p.namespace {
			return false
		}
	} else if !matches(have.NamespaceSelector, labels.Set{"kubernetes.io/metadata.name": other.namespace}) {
		return false
	}
	return have.PodSelector == nil || matches(have.PodSelector, other.labels)
}

func matches(selector *metav1.LabelSelector, of labels.Set) bool {
	s, err := metav1.LabelSelectorAsSelector(selector)
	return err == nil && s.Matches(of)
}
