package netpol

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"

	v1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// policyMatches: the matches, one a line, of which any allows a packet. The empty match allows all.
func (r *renderer) policyMatches(p *netv1.NetworkPolicy, d direction) []string {
	var out []string
	rule := func(peers []netv1.NetworkPolicyPeer, ports []netv1.NetworkPolicyPort) {
		for _, peer := range r.peerMatches(p.Namespace, peers, d.peer) {
			for _, port := range r.portMatches(p, d, ports) {
				out = append(out, strings.TrimSpace(peer+" "+port))
			}
		}
	}
	if d.kind == netv1.PolicyTypeIngress {
		for _, in := range p.Spec.Ingress {
			rule(in.From, in.Ports)
		}
	} else {
		for _, e := range p.Spec.Egress {
			rule(e.To, e.Ports)
		}
	}
	return out
}

func (r *renderer) peerMatches(ns string, peers []netv1.NetworkPolicyPeer, side string) []string {
	if len(peers) == 0 {
		return []string{""}
	}
	var out, ips []string
	for _, peer := range peers {
		if peer.IPBlock != nil {
			if m := blockMatch(peer.IPBlock, side); m != "" {
				out = append(out, m)
			}
			continue
		}
		for _, pod := range r.pods {
			if r.isPeer(ns, &peer, pod) {
				ips = append(ips, pod.Status.PodIP)
			}
		}
	}
	if len(ips) > 0 {
		slices.Sort(ips)
		out = append(out, fmt.Sprintf("ip %s { %s }", side, strings.Join(slices.Compact(ips), ", ")))
	}
	return out
}

func (r *renderer) isPeer(ns string, peer *netv1.NetworkPolicyPeer, pod *v1.Pod) bool {
	if peer.NamespaceSelector == nil && pod.Namespace != ns {
		return false
	}
	if peer.NamespaceSelector != nil && !selects(peer.NamespaceSelector, r.nsLabels[pod.Namespace]) {
		return false
	}
	return peer.PodSelector == nil || selects(peer.PodSelector, pod.Labels)
}

// blockMatch is empty for a block that holds no IPv4 address.
func blockMatch(b *netv1.IPBlock, side string) string {
	block, err := netip.ParsePrefix(b.CIDR)
	if err != nil || !block.Addr().Is4() {
		return ""
	}
	m := fmt.Sprintf("ip %s %s", side, block.Masked())
	if except := prefixes(b.Except); len(except) > 0 {
		m += fmt.Sprintf(" ip %s != { %s }", side, strings.Join(except, ", "))
	}
	return m
}

// prefixes leaves out what another prefix contains: nft refuses a set with overlaps.
func prefixes(cidrs []string) []string {
	var kept []netip.Prefix
	for _, c := range cidrs {
		if p, err := netip.ParsePrefix(c); err == nil && p.Addr().Is4() {
			kept = append(kept, p.Masked())
		}
	}
	slices.SortFunc(kept, func(a, b netip.Prefix) int {
		if d := a.Bits() - b.Bits(); d != 0 {
			return d
		}
		return a.Addr().Compare(b.Addr())
	})
	var out []string
	for i, p := range kept {
		if !slices.ContainsFunc(kept[:i], func(wide netip.Prefix) bool { return wide.Contains(p.Addr()) }) {
			out = append(out, p.String())
		}
	}
	return out
}

func (r *renderer) portMatches(p *netv1.NetworkPolicy, d direction, ports []netv1.NetworkPolicyPort) []string {
	if len(ports) == 0 {
		return []string{""}
	}
	var out []string
	for _, port := range ports {
		proto := "tcp"
		if port.Protocol != nil {
			proto = strings.ToLower(string(*port.Protocol))
		}
		switch {
		case port.Port == nil:
			out = append(out, "meta l4proto "+proto)
		case port.Port.Type == intstr.Int && port.EndPort != nil:
			out = append(out, fmt.Sprintf("%s dport %d-%d", proto, port.Port.IntVal, *port.EndPort))
		case port.Port.Type == intstr.Int:
			out = append(out, fmt.Sprintf("%s dport %d", proto, port.Port.IntVal))
		default:
			out = append(out, r.namedPort(p, d, proto, port.Port.StrVal)...)
		}
	}
	return out
}

// namedPort: whatever each receiving pod calls so, hence one match a pod.
func (r *renderer) namedPort(p *netv1.NetworkPolicy, d direction, proto, name string) []string {
	var out []string
	for _, pod := range r.pods {
		// for egress the peers' addresses are in the same match, so other pods do no harm
		if d.kind == netv1.PolicyTypeIngress && (pod.Namespace != p.Namespace || !selects(&p.Spec.PodSelector, pod.Labels)) {
			continue
		}
		for _, port := range podPorts(pod) {
			if port.Name == name && (strings.EqualFold(string(port.Protocol), proto) || port.Protocol == "" && proto == "tcp") {
				out = append(out, fmt.Sprintf("ip daddr %s %s dport %d", pod.Status.PodIP, proto, port.ContainerPort))
			}
		}
	}
	return out
}

// podPorts includes those of sidecars: init containers that go on running.
func podPorts(pod *v1.Pod) []v1.ContainerPort {
	var out []v1.ContainerPort
	for _, c := range pod.Spec.InitContainers {
		if c.RestartPolicy != nil && *c.RestartPolicy == v1.ContainerRestartPolicyAlways {
			out = append(out, c.Ports...)
		}
	}
	for _, c := range pod.Spec.Containers {
		out = append(out, c.Ports...)
	}
	return out
}
