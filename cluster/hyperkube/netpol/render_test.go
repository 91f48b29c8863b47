package netpol

import (
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	netv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

func pod(ns, name, ip, node string, l map[string]string, ports ...v1.ContainerPort) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name, Labels: l},
		Spec:       v1.PodSpec{NodeName: node, Containers: []v1.Container{{Ports: ports}}},
		Status:     v1.PodStatus{PodIP: ip, Phase: v1.PodRunning},
	}
}

func namespace(name string, l map[string]string) *v1.Namespace {
	return &v1.Namespace{ObjectMeta: metav1.ObjectMeta{Name: name, Labels: l}}
}

func policy(ns, name string, spec netv1.NetworkPolicySpec) *netv1.NetworkPolicy {
	return &netv1.NetworkPolicy{ObjectMeta: metav1.ObjectMeta{Namespace: ns, Name: name}, Spec: spec}
}

func ptr[T any](v T) *T { return &v }

func labelled(kv ...string) *metav1.LabelSelector {
	s := &metav1.LabelSelector{MatchLabels: map[string]string{}}
	for i := 0; i < len(kv); i += 2 {
		s.MatchLabels[kv[i]] = kv[i+1]
	}
	return s
}

// world: web and db in "shop" on n1, a second web on n2, a client in "other".
func world(policies ...*netv1.NetworkPolicy) Cluster {
	return Cluster{
		Pods: []*v1.Pod{
			pod("shop", "web", "10.244.1.2", "n1", map[string]string{"app": "web"},
				v1.ContainerPort{Name: "http", ContainerPort: 8080}, v1.ContainerPort{Name: "probe", ContainerPort: 9000, Protocol: v1.ProtocolUDP}),
			pod("shop", "web2", "10.244.2.2", "n2", map[string]string{"app": "web"}, v1.ContainerPort{Name: "http", ContainerPort: 8081, Protocol: v1.ProtocolTCP}),
			pod("shop", "db", "10.244.1.3", "n1", map[string]string{"app": "db"}),
			pod("other", "client", "10.244.1.4", "n1", map[string]string{"app": "client"}),
		},
		Namespaces: []*v1.Namespace{namespace("shop", map[string]string{"team": "a"}), namespace("other", map[string]string{"team": "b"})},
		Policies:   policies,
	}
}

var ofPolicy = regexp.MustCompile(`(?m)^  chain (?:in|e)gress_[0-9a-f]{16} \{ # (\S+)\n((?:    .*\n)*)  \}`)

// allows: what the only policy's chain of the table matches, sorted.
func allows(t *testing.T, table string) []string {
	t.Helper()
	all := ofPolicy.FindAllStringSubmatch(table, -1)
	if len(all) != 1 {
		t.Fatalf("%d policy chains in\n%s", len(all), table)
	}
	out := []string{}
	for line := range strings.Lines(all[0][2]) {
		match, ok := strings.CutSuffix(strings.TrimSpace(line), "meta mark set meta mark | 0x00100000 return")
		if !ok {
			t.Fatalf("line %q does not accept", line)
		}
		out = append(out, strings.TrimSpace(match))
	}
	slices.Sort(out)
	return out
}

func jumps(table string) []string {
	var out []string
	_, hook, _ := strings.Cut(table, "chain forwarding")
	for line := range strings.Lines(hook) {
		if l := strings.TrimSpace(line); strings.HasPrefix(l, "ip ") {
			out = append(out, l)
		}
	}
	return out
}

func same(t *testing.T, what string, got, want []string) {
	t.Helper()
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got %q\nwant %q", what, got, want)
	}
}

var web = *labelled("app", "web")

func TestWithoutPoliciesNothingIsFiltered(t *testing.T) {
	table := Render("n1", world())
	if strings.Contains(table, "drop") || len(jumps(table)) != 0 {
		t.Error(table)
	}
}

func TestDefaultDenyOfAllPodsOfANamespace(t *testing.T) {
	table := Render("n1", world(policy("shop", "deny", netv1.NetworkPolicySpec{PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeIngress}})))
	same(t, "allows", allows(t, table), []string{})
	same(t, "guarded", jumps(table), []string{ // not web2, which is n2's, nor the other namespace
		"ip daddr 10.244.1.3 jump pod_ingress_10_244_1_3",
		"ip daddr 10.244.1.2 jump pod_ingress_10_244_1_2",
	})
	if strings.Count(table, "counter drop") != 2 {
		t.Error(table)
	}
}

func TestPolicyTypesDefaulting(t *testing.T) {
	in, out := netv1.PolicyTypeIngress, netv1.PolicyTypeEgress
	for _, c := range []struct {
		name string
		spec netv1.NetworkPolicySpec
		want []netv1.PolicyType
	}{
		{"nothing given", netv1.NetworkPolicySpec{}, []netv1.PolicyType{in}},
		{"ingress rules", netv1.NetworkPolicySpec{Ingress: []netv1.NetworkPolicyIngressRule{{}}}, []netv1.PolicyType{in}},
		{"egress rules", netv1.NetworkPolicySpec{Egress: []netv1.NetworkPolicyEgressRule{{}}}, []netv1.PolicyType{in, out}},
		{"given", netv1.NetworkPolicySpec{Ingress: []netv1.NetworkPolicyIngressRule{{}}, PolicyTypes: []netv1.PolicyType{out}}, []netv1.PolicyType{out}},
	} {
		if got := PolicyTypes(policy("a", "b", c.spec)); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %v, want %v", c.name, got, c.want)
		}
	}
}

func TestIngressMatches(t *testing.T) {
	tcp, udp, sctp := ptr(v1.ProtocolTCP), ptr(v1.ProtocolUDP), ptr(v1.ProtocolSCTP)
	for _, c := range []struct {
		name string
		rule netv1.NetworkPolicyIngressRule
		want []string
	}{
		{"empty rule allows all", netv1.NetworkPolicyIngressRule{}, []string{""}},
		{"pods of the own namespace", netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{PodSelector: labelled("app", "db")}}},
			[]string{"ip saddr { 10.244.1.3 }"}},
		{"empty pod selector: the whole own namespace", netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{PodSelector: labelled()}}},
			[]string{"ip saddr { 10.244.1.2, 10.244.1.3, 10.244.2.2 }"}},
		{"empty namespace selector: every pod", netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{NamespaceSelector: labelled()}}},
			[]string{"ip saddr { 10.244.1.2, 10.244.1.3, 10.244.1.4, 10.244.2.2 }"}},
		{"namespace and pod selector: both", netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{NamespaceSelector: labelled("team", "a"), PodSelector: labelled("app", "web")}}},
			[]string{"ip saddr { 10.244.1.2, 10.244.2.2 }"}},
		{"two peers: either", netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{NamespaceSelector: labelled("team", "b")}, {PodSelector: labelled("app", "db")}}},
			[]string{"ip saddr { 10.244.1.3, 10.244.1.4 }"}},
		{"peers that do not exist allow nothing", netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{PodSelector: labelled("app", "ghost")}}}, []string{}},
		{"port", netv1.NetworkPolicyIngressRule{Ports: []netv1.NetworkPolicyPort{{Port: ptr(intstr.FromInt32(80))}}}, []string{"tcp dport 80"}},
		{"protocol alone", netv1.NetworkPolicyIngressRule{Ports: []netv1.NetworkPolicyPort{{Protocol: udp}}}, []string{"meta l4proto udp"}},
		{"sctp", netv1.NetworkPolicyIngressRule{Ports: []netv1.NetworkPolicyPort{{Protocol: sctp, Port: ptr(intstr.FromInt32(5000))}}}, []string{"sctp dport 5000"}},
		{"endPort", netv1.NetworkPolicyIngressRule{Ports: []netv1.NetworkPolicyPort{{Protocol: tcp, Port: ptr(intstr.FromInt32(9092)), EndPort: ptr(int32(9095))}}}, []string{"tcp dport 9092-9095"}},
		{"named port: each pod's own number", netv1.NetworkPolicyIngressRule{Ports: []netv1.NetworkPolicyPort{{Port: ptr(intstr.FromString("http"))}}},
			[]string{"ip daddr 10.244.1.2 tcp dport 8080", "ip daddr 10.244.2.2 tcp dport 8081"}},
		{"named port of another protocol", netv1.NetworkPolicyIngressRule{Ports: []netv1.NetworkPolicyPort{{Protocol: udp, Port: ptr(intstr.FromString("probe"))}}},
			[]string{"ip daddr 10.244.1.2 udp dport 9000"}},
		{"named port nobody has allows nothing", netv1.NetworkPolicyIngressRule{Ports: []netv1.NetworkPolicyPort{{Port: ptr(intstr.FromString("none"))}}}, []string{}},
		{"block with exceptions", netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{IPBlock: &netv1.IPBlock{CIDR: "10.90.0.7/24", Except: []string{"10.90.0.13/32", "10.90.0.12/30", "10.90.0.12/30"}}}}},
			[]string{"ip saddr 10.90.0.0/24 ip saddr != { 10.90.0.12/30 }"}},
		{"block of IPv6 holds nobody", netv1.NetworkPolicyIngressRule{From: []netv1.NetworkPolicyPeer{{IPBlock: &netv1.IPBlock{CIDR: "fd00::/8"}}}}, []string{}},
		{"peers times ports", netv1.NetworkPolicyIngressRule{
			From:  []netv1.NetworkPolicyPeer{{PodSelector: labelled("app", "db")}, {IPBlock: &netv1.IPBlock{CIDR: "10.90.0.0/24"}}},
			Ports: []netv1.NetworkPolicyPort{{Port: ptr(intstr.FromInt32(1))}, {Port: ptr(intstr.FromInt32(2))}}},
			[]string{"ip saddr 10.90.0.0/24 tcp dport 1", "ip saddr 10.90.0.0/24 tcp dport 2", "ip saddr { 10.244.1.3 } tcp dport 1", "ip saddr { 10.244.1.3 } tcp dport 2"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			table := Render("n1", world(policy("shop", "p", netv1.NetworkPolicySpec{PodSelector: web, Ingress: []netv1.NetworkPolicyIngressRule{c.rule}})))
			same(t, "allows", allows(t, table), c.want)
			kernelAccepts(t, table)
		})
	}
}

func TestEgress(t *testing.T) {
	p := policy("other", "out", netv1.NetworkPolicySpec{
		PolicyTypes: []netv1.PolicyType{netv1.PolicyTypeEgress},
		Egress: []netv1.NetworkPolicyEgressRule{{
			To:    []netv1.NetworkPolicyPeer{{NamespaceSelector: labelled("team", "a"), PodSelector: &web}},
			Ports: []netv1.NetworkPolicyPort{{Port: ptr(intstr.FromString("http"))}},
		}},
	})
	table := Render("n1", world(p))
	same(t, "guarded", jumps(table), []string{"ip saddr 10.244.1.4 jump pod_egress_10_244_1_4"})
	same(t, "allows", allows(t, table), []string{
		"ip daddr { 10.244.1.2, 10.244.2.2 } ip daddr 10.244.1.2 tcp dport 8080",
		"ip daddr { 10.244.1.2, 10.244.2.2 } ip daddr 10.244.2.2 tcp dport 8081",
	})
	kernelAccepts(t, table)
}

func TestBothDirectionsOfOnePolicy(t *testing.T) {
	table := Render("n1", world(policy("shop", "both", netv1.NetworkPolicySpec{PodSelector: web, Egress: []netv1.NetworkPolicyEgressRule{{}}})))
	same(t, "guarded", jumps(table), []string{"ip saddr 10.244.1.2 jump pod_egress_10_244_1_2", "ip daddr 10.244.1.2 jump pod_ingress_10_244_1_2"})
	kernelAccepts(t, table)
}

func TestPoliciesAddUp(t *testing.T) {
	deny := policy("shop", "deny", netv1.NetworkPolicySpec{})
	allow := policy("shop", "allow", netv1.NetworkPolicySpec{PodSelector: web, Ingress: []netv1.NetworkPolicyIngressRule{{}}})
	table := Render("n1", world(deny, allow))
	chain := regexp.MustCompile(`(?s)chain pod_ingress_10_244_1_2 \{.*?\n  \}`).FindString(table)
	if strings.Count(chain, "jump ingress_") != 2 || !strings.HasSuffix(chain, "counter drop\n  }") {
		t.Error(chain)
	}
	kernelAccepts(t, table)
	if again := Render("n1", world(allow, deny)); again != table {
		t.Error("the order of policies changes the table")
	}
}

func TestPodsWithoutAnAddressOfTheirOwnAreLeftOut(t *testing.T) {
	c := world(policy("shop", "deny", netv1.NetworkPolicySpec{Ingress: []netv1.NetworkPolicyIngressRule{{From: []netv1.NetworkPolicyPeer{{PodSelector: labelled()}}}}}))
	c.Pods[0].Spec.HostNetwork = true
	c.Pods[1].Status.Phase = v1.PodSucceeded
	c.Pods[2].Status.PodIP = ""
	if table := Render("n1", c); strings.Contains(table, "10.244.1.2") || strings.Contains(table, "10.244.2.2") {
		t.Error(table)
	}
}

func TestSidecarsPortIsFoundByName(t *testing.T) {
	c := world(policy("shop", "p", netv1.NetworkPolicySpec{PodSelector: *labelled("app", "db"),
		Ingress: []netv1.NetworkPolicyIngressRule{{Ports: []netv1.NetworkPolicyPort{{Port: ptr(intstr.FromString("side"))}}}}}))
	ports := []v1.ContainerPort{{Name: "side", ContainerPort: 7000}}
	c.Pods[2].Spec.InitContainers = []v1.Container{{Ports: ports, RestartPolicy: ptr(v1.ContainerRestartPolicyAlways)}, {Ports: []v1.ContainerPort{{Name: "side", ContainerPort: 1}}}}
	same(t, "allows", allows(t, Render("n1", c)), []string{"ip daddr 10.244.1.3 tcp dport 7000"})
}

// kernelAccepts tries the table in a network namespace of its own, where the machine lets it.
func kernelAccepts(t *testing.T, table string) {
	t.Helper()
	if _, err := exec.LookPath("nft"); err != nil || os.Geteuid() != 0 {
		t.Log("not tried on the kernel: needs nft and root")
		return
	}
	cmd := exec.Command("unshare", "--net", "nft", "-f", "-")
	cmd.Stdin = strings.NewReader(table)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("nft: %v: %s\n%s", err, out, table)
	}
}
