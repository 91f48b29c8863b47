package main

import (
	"context"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	v1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/labels"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/clientcmd"

	"millrace.dev/cluster/netpol"
)

// gather lets a burst of events end in one table instead of many.
const gather = 20 * time.Millisecond

func init() {
	// netpol --kubeconfig FILE --node NODE [--dns IP]: keeps the NetworkPolicy table of one node.
	parts["netpol"] = func() int {
		fs := flag.NewFlagSet("netpol", flag.ExitOnError)
		kubeconfig := fs.String("kubeconfig", "", "kubeconfig file")
		node := fs.String("node", "", "the node whose pods are guarded")
		dns := fs.String("dns", "", "address of the cluster's DNS server, which is not a pod here")
		_ = fs.Parse(os.Args[1:])
		if err := enforce(*kubeconfig, *node, *dns); err != nil {
			fmt.Fprintln(os.Stderr, "netpol:", err)
			return 1
		}
		return 0
	}
}

func enforce(kubeconfig, node, dns string) error {
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	f := informers.NewSharedInformerFactory(client, 0)
	dirty := make(chan struct{}, 1)
	touch := func() {
		select {
		case dirty <- struct{}{}:
		default:
		}
	}
	on := cache.ResourceEventHandlerFuncs{AddFunc: func(any) { touch() }, UpdateFunc: func(any, any) { touch() }, DeleteFunc: func(any) { touch() }}
	pods, namespaces, policies := f.Core().V1().Pods(), f.Core().V1().Namespaces(), f.Networking().V1().NetworkPolicies()
	for _, i := range []cache.SharedIndexInformer{pods.Informer(), namespaces.Informer(), policies.Informer()} {
		if _, err := i.AddEventHandler(on); err != nil {
			return err
		}
	}
	ctx := context.Background()
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done()) // until then the last table, if any, stands
	var last [sha256.Size]byte
	for range dirty {
		var c netpol.Cluster
		if c.Pods, err = pods.Lister().List(labels.Everything()); err != nil {
			return err
		}
		if c.Namespaces, err = namespaces.Lister().List(labels.Everything()); err != nil {
			return err
		}
		if c.Policies, err = policies.Lister().List(labels.Everything()); err != nil {
			return err
		}
		if dns != "" {
			c.Pods = append(c.Pods, dnsPod(dns))
		}
		rules := netpol.Render(node, c)
		if sum := sha256.Sum256([]byte(rules)); sum != last {
			if err := replaceTable(ctx, rules); err != nil {
				fmt.Fprintf(os.Stderr, "netpol: %v\n%s\n", err, rules)
				time.Sleep(time.Second)
				touch()
				continue
			}
			last = sum
		}
		time.Sleep(gather)
	}
	return nil
}

// dnsPod stands for the DNS server, so that the usual policy "egress to kube-system's k8s-app=kube-dns" finds it.
func dnsPod(ip string) *v1.Pod {
	return &v1.Pod{
		ObjectMeta: metav1.ObjectMeta{Namespace: metav1.NamespaceSystem, Name: "dns-server", Labels: map[string]string{"k8s-app": "kube-dns"}},
		Spec: v1.PodSpec{Containers: []v1.Container{{Ports: []v1.ContainerPort{
			{Name: "dns", ContainerPort: 53, Protocol: v1.ProtocolUDP}, {Name: "dns-tcp", ContainerPort: 53, Protocol: v1.ProtocolTCP},
		}}}},
		Status: v1.PodStatus{PodIP: ip, Phase: v1.PodRunning},
	}
}

func replaceTable(ctx context.Context, rules string) error {
	cmd := exec.CommandContext(ctx, "nft", "-f", "-")
	// the first line makes the deletion possible when there is no table yet
	cmd.Stdin = strings.NewReader("table ip " + netpol.Table + "\ndelete table ip " + netpol.Table + "\n" + rules)
	if out, err := cmd.CombinedOutput(); err != nil {
		return fmt.Errorf("nft: %w: %s", err, out)
	}
	return nil
}
