package main

import (
	"context"
	"flag"
	"fmt"
	"os"

	v1 "k8s.io/api/core/v1"
	"k8s.io/client-go/informers"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/tools/clientcmd"
	"k8s.io/klog/v2"
	"sigs.k8s.io/sig-storage-lib-external-provisioner/v13/controller"

	"millrace.dev/cluster/volumes"
)

func init() {
	// local-volumes --root DIR --node NODE --kubeconfig FILE: makes, mounts, grows and deletes the volumes of one node.
	// It runs in the node's mount namespace, since the mounts belong there, and so each node has its own.
	parts["local-volumes"] = func() int {
		fs := flag.NewFlagSet("local-volumes", flag.ExitOnError)
		root := fs.String("root", "", "where volumes live")
		node := fs.String("node", "", "the node whose disk this is")
		kind := fs.String("fs", string(volumes.Ext4), "file system of new volumes: ext4 or xfs")
		kubeconfig := fs.String("kubeconfig", "", "kubeconfig file")
		name := fs.String("name", "disk.local.millrace.dev", "provisioner name in the StorageClass")
		_ = fs.Parse(os.Args[1:])
		p := provisioner{store: volumes.Store{Root: *root, Node: *node}, disk: volumes.Disk{Kind: volumes.FileSystem(*kind), Run: volumes.Exec}}
		if err := p.serve(context.Background(), *kubeconfig, *name); err != nil {
			fmt.Fprintln(os.Stderr, "local-volumes:", err)
			return 1
		}
		return 0
	}
}

type provisioner struct {
	store volumes.Store
	disk  volumes.Disk
}

func (p provisioner) serve(ctx context.Context, kubeconfig, name string) error {
	if err := os.MkdirAll(p.store.Dir(), 0o755); err != nil {
		return err
	}
	if err := p.disk.AttachAll(ctx, p.store); err != nil { // before the first pod asks for its volume
		klog.ErrorS(err, "volumes not mounted", "node", p.store.Node)
	}
	cfg, err := clientcmd.BuildConfigFromFlags("", kubeconfig)
	if err != nil {
		return err
	}
	client, err := kubernetes.NewForConfig(cfg)
	if err != nil {
		return err
	}
	f := informers.NewSharedInformerFactory(client, 0)
	claims, pvs := f.Core().V1().PersistentVolumeClaims(), f.Core().V1().PersistentVolumes()
	grow, err := newGrower(p, client, claims, pvs)
	if err != nil {
		return err
	}
	pc := controller.NewProvisionController(ctx, client, name, p, controller.LeaderElection(false),
		controller.ClaimsInformer(claims.Informer()), controller.VolumesInformer(pvs.Informer()))
	f.Start(ctx.Done())
	f.WaitForCacheSync(ctx.Done())
	go grow.run(ctx)
	pc.Run(ctx)
	return nil
}

// ShouldProvision: the claim is for the node the scheduler chose.
func (p provisioner) ShouldProvision(_ context.Context, pvc *v1.PersistentVolumeClaim) bool {
	return p.store.Claimed(pvc)
}

// ShouldDelete: another node's volume is another node's to delete.
func (p provisioner) ShouldDelete(_ context.Context, pv *v1.PersistentVolume) bool {
	return p.store.Owns(pv)
}

func (p provisioner) Provision(ctx context.Context, o controller.ProvisionOptions) (*v1.PersistentVolume, controller.ProvisioningState, error) {
	fail := func(err error) (*v1.PersistentVolume, controller.ProvisioningState, error) {
		return nil, controller.ProvisioningFinished, err
	}
	if err := volumes.Provisionable(o.PVC); err != nil {
		return fail(err)
	}
	size, err := volumes.Size(o.PVC.Spec.Resources.Requests[v1.ResourceStorage])
	if err != nil {
		return fail(err)
	}
	v := p.store.Volume(o.PVC.Namespace, o.PVC.Name, o.PVName)
	if err := p.disk.Create(ctx, v, size); err != nil {
		return fail(err)
	}
	pv := p.store.PersistentVolume(o.PVName, v, o.PVC, size, *o.StorageClass.ReclaimPolicy)
	return pv, controller.ProvisioningFinished, nil
}

func (p provisioner) Delete(ctx context.Context, pv *v1.PersistentVolume) error {
	v, err := p.store.Of(pv)
	if err != nil {
		return err
	}
	return p.disk.Remove(ctx, v)
}
