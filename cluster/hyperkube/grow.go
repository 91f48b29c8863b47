package main

import (
	"context"
	"encoding/json"
	"time"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/errors"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/types"
	corev1 "k8s.io/client-go/informers/core/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/kubernetes/scheme"
	typedv1 "k8s.io/client-go/kubernetes/typed/core/v1"
	listers "k8s.io/client-go/listers/core/v1"
	"k8s.io/client-go/tools/cache"
	"k8s.io/client-go/tools/record"
	"k8s.io/client-go/util/workqueue"
	"k8s.io/klog/v2"

	"millrace.dev/cluster/volumes"
)

// grower makes volumes larger when their claims ask for more: file, loop device and file system first, then the
// PersistentVolume's capacity, then the claim's status, so that an interruption anywhere leaves something to do.
type grower struct {
	provisioner
	client kubernetes.Interface
	claims listers.PersistentVolumeClaimLister
	pvs    listers.PersistentVolumeLister
	queue  workqueue.TypedRateLimitingInterface[types.NamespacedName]
	events record.EventRecorder
}

func newGrower(p provisioner, client kubernetes.Interface, claims corev1.PersistentVolumeClaimInformer, pvs corev1.PersistentVolumeInformer) (*grower, error) {
	b := record.NewBroadcaster()
	b.StartRecordingToSink(&typedv1.EventSinkImpl{Interface: client.CoreV1().Events("")})
	g := &grower{
		provisioner: p, client: client, claims: claims.Lister(), pvs: pvs.Lister(),
		queue:  workqueue.NewTypedRateLimitingQueue(workqueue.NewTypedItemExponentialFailureRateLimiter[types.NamespacedName](200*time.Millisecond, 30*time.Second)),
		events: b.NewRecorder(scheme.Scheme, v1.EventSource{Component: "local-volumes", Host: p.store.Node}),
	}
	add := func(o any) {
		switch o := o.(type) {
		case *v1.PersistentVolumeClaim:
			g.queue.Add(types.NamespacedName{Namespace: o.Namespace, Name: o.Name})
		case *v1.PersistentVolume:
			if ref := o.Spec.ClaimRef; ref != nil {
				g.queue.Add(types.NamespacedName{Namespace: ref.Namespace, Name: ref.Name})
			}
		}
	}
	on := cache.ResourceEventHandlerFuncs{AddFunc: add, UpdateFunc: func(_, o any) { add(o) }}
	for _, i := range []cache.SharedIndexInformer{claims.Informer(), pvs.Informer()} {
		if _, err := i.AddEventHandler(on); err != nil {
			return nil, err
		}
	}
	return g, nil
}

func (g *grower) run(ctx context.Context) {
	for {
		name, stop := g.queue.Get()
		if stop {
			return
		}
		if err := g.reconcile(ctx, name); err != nil {
			klog.ErrorS(err, "volume not grown", "claim", name)
			g.queue.AddRateLimited(name)
		} else {
			g.queue.Forget(name)
		}
		g.queue.Done(name)
	}
}

func (g *grower) reconcile(ctx context.Context, name types.NamespacedName) error {
	pvc, err := g.claims.PersistentVolumeClaims(name.Namespace).Get(name.Name)
	if errors.IsNotFound(err) || err == nil && pvc.Spec.VolumeName == "" {
		return nil
	} else if err != nil {
		return err
	}
	pv, err := g.pvs.Get(pvc.Spec.VolumeName)
	if errors.IsNotFound(err) || err == nil && (!g.store.Owns(pv) || pv.Annotations["pv.kubernetes.io/provisioned-by"] == "") {
		return nil
	} else if err != nil {
		return err
	}
	need, err := volumes.Grow(pvc, pv)
	if err == nil && need.Disk {
		err = g.growDisk(ctx, pv, need.Size)
	}
	if err == nil && need.Claim {
		err = g.tellClaim(ctx, pvc, need.Size)
	}
	if err != nil {
		g.events.Event(pvc, v1.EventTypeWarning, "VolumeResizeFailed", err.Error())
		return err
	}
	if need.Disk {
		g.events.Eventf(pvc, v1.EventTypeNormal, "FileSystemResizeSuccessful", "volume %s now has %d bytes", pv.Name, need.Size)
	}
	return nil
}

func (g *grower) growDisk(ctx context.Context, pv *v1.PersistentVolume, size int64) error {
	v, err := g.store.Of(pv)
	if err != nil {
		return err
	}
	if err := g.disk.Grow(ctx, v, size); err != nil {
		return err
	}
	patch, err := json.Marshal(map[string]any{"spec": map[string]any{"capacity": v1.ResourceList{v1.ResourceStorage: *resource.NewQuantity(size, resource.BinarySI)}}})
	if err != nil {
		return err
	}
	_, err = g.client.CoreV1().PersistentVolumes().Patch(ctx, pv.Name, types.MergePatchType, patch, metav1.PatchOptions{})
	return err
}

func (g *grower) tellClaim(ctx context.Context, pvc *v1.PersistentVolumeClaim, size int64) error {
	next := pvc.DeepCopy()
	next.Status = volumes.Grown(pvc.Status, size)
	_, err := g.client.CoreV1().PersistentVolumeClaims(pvc.Namespace).UpdateStatus(ctx, next, metav1.UpdateOptions{})
	if errors.IsConflict(err) { // the kubelet tells it too: look again
		g.queue.AddRateLimited(types.NamespacedName{Namespace: pvc.Namespace, Name: pvc.Name})
		return nil
	}
	return err
}
