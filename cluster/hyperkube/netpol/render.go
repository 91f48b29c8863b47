// Package netpol turns networking.k8s.io/v1 NetworkPolicies into nftables rules for the pods of one node, IPv4.
//
// The table is a pure function of what the API says and replaces its predecessor whole, in one transaction.
// It filters in the forward hook: after kube-proxy's DNAT, so a rule sees the pod behind a service. Packets between
// pods of one node come by there too (bridge-nf-call-iptables). What the node itself sends (probes) does not: allowed.
// A connection already accepted goes on when a policy forbids it later (established is accepted first).
package netpol

import (
	"fmt"
	"hash/fnv"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
)

// Table is the name of the nftables table (family ip) that Render writes.
const Table = "netpol"

// mark is set by a policy's chain when it allows the packet and taken off again by the pod's chain:
// egress of the one pod and ingress of the other must each allow it.
const mark = 0x00100000

// Cluster is what the rules are made from. Objects are only read.
type Cluster struct {
	Pods       []*v1.Pod
	Namespaces []*v1.Namespace
	Policies   []*netv1.NetworkPolicy
}

type direction struct {
	name string // of its chains
	own  string // the side of the packet on which the guarded pod is
	peer string // the other side
	kind netv1.PolicyType
}

var directions = []direction{
	{name: "egress", own: "saddr", peer: "daddr", kind: netv1.PolicyTypeEgress},
	{name: "ingress", own: "daddr", peer: "saddr", kind: netv1.PolicyTypeIngress},
}

type renderer struct {
	pods     []*v1.Pod // with an address of their own
	nsLabels map[string]labels.Set
	policies []*netv1.NetworkPolicy
	chains   strings.Builder
	jumps    strings.Builder
	written  map[string]bool // policy chains
}

// Render gives the table for the pods of node as input for `nft -f`.
func Render(node string, c Cluster) string {
	r := renderer{nsLabels: map[string]labels.Set{}, policies: slices.Clone(c.Policies), written: map[string]bool{}}
	for _, n := range c.Namespaces {
		r.nsLabels[n.Name] = n.Labels
	}
	for _, p := range c.Pods {
		if addressable(p) {
			r.pods = append(r.pods, p)
		}
	}
	slices.SortFunc(r.pods, func(a, b *v1.Pod) int { return strings.Compare(fullName(a), fullName(b)) })
	slices.SortFunc(r.policies, func(a, b *netv1.NetworkPolicy) int { return strings.Compare(fullName(a), fullName(b)) })
	for _, pod := range r.pods {
		if pod.Spec.NodeName != node {
			continue
		}
		for _, d := range directions {
			r.guard(pod, d)
		}
	}
	return "table ip " + Table + " {\n" + r.chains.String() +
		"  chain forwarding {\n    type filter hook forward priority filter + 10; policy accept;\n    ct state established,related accept\n" +
		r.jumps.String() + "  }\n}\n"
}

func fullName(o metav1.Object) string { return o.GetNamespace() + "/" + o.GetName() }

func addressable(p *v1.Pod) bool {
	a, err := netip.ParseAddr(p.Status.PodIP)
	return err == nil && a.Is4() && !p.Spec.HostNetwork && p.Status.Phase != v1.PodSucceeded && p.Status.Phase != v1.PodFailed
}

// guard writes the chain of pod for one direction, unless no policy isolates it there.
func (r *renderer) guard(pod *v1.Pod, d direction) {
	var jumps []string
	for _, p := range r.policies {
		if p.Namespace != pod.Namespace || !slices.Contains(PolicyTypes(p), d.kind) || !selects(&p.Spec.PodSelector, pod.Labels) {
			continue
		}
		jumps = append(jumps, r.policyChain(p, d))
	}
	if jumps == nil {
		return
	}
	chain := fmt.Sprintf("pod_%s_%s", d.name, strings.ReplaceAll(pod.Status.PodIP, ".", "_"))
	fmt.Fprintf(&r.chains, "  chain %s { # %s\n", chain, fullName(pod))
	for _, j := range jumps {
		fmt.Fprintf(&r.chains, "    jump %s\n    meta mark & %#08x == %#08x meta mark set meta mark & %#08x return\n", j, mark, mark, ^uint32(mark))
	}
	r.chains.WriteString("    counter drop\n  }\n")
	fmt.Fprintf(&r.jumps, "    ip %s %s jump %s\n", d.own, pod.Status.PodIP, chain)
}

// policyChain writes the chain of a policy when a pod first needs it, and names it.
func (r *renderer) policyChain(p *netv1.NetworkPolicy, d direction) string {
	h := fnv.New64a() // a chain's name is shorter than a policy's may be
	h.Write([]byte(fullName(p)))
	chain := fmt.Sprintf("%s_%016x", d.name, h.Sum64())
	if r.written[chain] {
		return chain
	}
	r.written[chain] = true
	fmt.Fprintf(&r.chains, "  chain %s { # %s\n", chain, fullName(p))
	for _, match := range r.policyMatches(p, d) {
		fmt.Fprintf(&r.chains, "    %s\n", strings.TrimSpace(match+fmt.Sprintf(" meta mark set meta mark | %#08x return", mark)))
	}
	r.chains.WriteString("  }\n")
	return chain
}

// PolicyTypes are the directions in which p isolates: as the API server fills them in when they are not given.
func PolicyTypes(p *netv1.NetworkPolicy) []netv1.PolicyType {
	if len(p.Spec.PolicyTypes) > 0 {
		return p.Spec.PolicyTypes
	}
	if len(p.Spec.Egress) > 0 {
		return []netv1.PolicyType{netv1.PolicyTypeIngress, netv1.PolicyTypeEgress}
	}
	return []netv1.PolicyType{netv1.PolicyTypeIngress}
}

// selects: an empty selector selects all; one that cannot be read selects nothing.
func selects(s *metav1.LabelSelector, l labels.Set) bool {
	sel, err := metav1.LabelSelectorAsSelector(s)
	return err == nil && sel.Matches(l)
}
