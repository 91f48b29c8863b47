// Package volumes gives each PersistentVolume a file system of its own: a sparse image file on the node's disk,
// mounted through a loop device. So a full volume is full, and one that grows, grows.
//
// A volume lives in ROOT/NODE/NAMESPACE_CLAIM_PV/: the file disk.img, mounted on mnt. The pod sees mnt/data, which
// exists only while the volume is mounted: a pod that starts too early is refused by the kubelet and tried again.
package volumes

import (
	"fmt"
	"path/filepath"
	"strings"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

const (
	mebi = 1 << 20
	// MinSize is the smallest volume, in bytes: XFS makes nothing smaller.
	MinSize = 16 * mebi
	// MaxSize is the largest volume, in bytes: the limit of a file on an ext4 disk.
	MaxSize = 16 << 40
	// AnnSelectedNode is how the scheduler tells for which node a claim is to be provisioned.
	AnnSelectedNode = "volume.kubernetes.io/selected-node"
)

// Volume is where a volume's parts are.
type Volume struct{ Dir string }

// Image is the file that holds the file system.
func (v Volume) Image() string { return filepath.Join(v.Dir, "disk.img") }

// Mount is where it is mounted.
func (v Volume) Mount() string { return filepath.Join(v.Dir, "mnt") }

// Data is what pods see.
func (v Volume) Data() string { return filepath.Join(v.Mount(), "data") }

// Store is the volumes of one node.
type Store struct{ Root, Node string }

// Dir holds the node's volumes.
func (s Store) Dir() string { return filepath.Join(s.Root, s.Node) }

// Volume names the place of a volume, telling names to whoever looks at the disk.
func (s Store) Volume(namespace, claim, pv string) Volume {
	return Volume{Dir: filepath.Join(s.Dir(), namespace+"_"+claim+"_"+pv)}
}

// Of finds the place of a PersistentVolume of this node, and refuses any other path: it is going to be deleted.
func (s Store) Of(pv *v1.PersistentVolume) (Volume, error) {
	if pv.Spec.Local == nil {
		return Volume{}, fmt.Errorf("volume %s: not a local volume", pv.Name)
	}
	v := Volume{Dir: filepath.Dir(filepath.Dir(pv.Spec.Local.Path))}
	if filepath.Dir(v.Dir) != filepath.Clean(s.Dir()) || v.Data() != pv.Spec.Local.Path || !strings.HasSuffix(v.Dir, "_"+pv.Name) {
		return Volume{}, fmt.Errorf("volume %s: path %q is not of a volume of node %s", pv.Name, pv.Spec.Local.Path, s.Node)
	}
	return v, nil
}

// Size is a request in bytes, rounded up to whole MiB and to MinSize.
func Size(request resource.Quantity) (int64, error) {
	n := request.Value()
	if n <= 0 || n > MaxSize {
		return 0, fmt.Errorf("storage request %s: not between 1 and %d bytes", request.String(), int64(MaxSize))
	}
	return max((n+mebi-1)/mebi*mebi, MinSize), nil
}

// Provisionable tells why a claim cannot be served, nil when it can.
func Provisionable(pvc *v1.PersistentVolumeClaim) error {
	if pvc.Spec.VolumeMode != nil && *pvc.Spec.VolumeMode == v1.PersistentVolumeBlock {
		return fmt.Errorf("claim %s/%s: volumeMode Block is not served; use Filesystem", pvc.Namespace, pvc.Name)
	}
	for _, m := range pvc.Spec.AccessModes {
		if m == v1.ReadWriteMany || m == v1.ReadOnlyMany {
			return fmt.Errorf("claim %s/%s: accessMode %s is not served by a disk of one node; use ReadWriteOnce", pvc.Namespace, pvc.Name, m)
		}
	}
	return nil
}

// Claimed tells whether the scheduler chose this node for the claim.
func (s Store) Claimed(pvc *v1.PersistentVolumeClaim) bool {
	return pvc.Annotations[AnnSelectedNode] == s.Node
}

// Owns tells whether the volume is tied to this node.
func (s Store) Owns(pv *v1.PersistentVolume) bool {
	if pv.Spec.NodeAffinity == nil || pv.Spec.NodeAffinity.Required == nil {
		return false
	}
	for _, t := range pv.Spec.NodeAffinity.Required.NodeSelectorTerms {
		for _, e := range t.MatchExpressions {
			if e.Key == v1.LabelHostname && e.Operator == v1.NodeSelectorOpIn && len(e.Values) == 1 && e.Values[0] == s.Node {
				return true
			}
		}
	}
	return false
}

// PersistentVolume describes a volume of size bytes that now exists.
func (s Store) PersistentVolume(name string, v Volume, pvc *v1.PersistentVolumeClaim, size int64, reclaim v1.PersistentVolumeReclaimPolicy) *v1.PersistentVolume {
	return &v1.PersistentVolume{
		ObjectMeta: metav1.ObjectMeta{Name: name},
		Spec: v1.PersistentVolumeSpec{
			PersistentVolumeReclaimPolicy: reclaim,
			AccessModes:                   pvc.Spec.AccessModes,
			Capacity:                      v1.ResourceList{v1.ResourceStorage: *resource.NewQuantity(size, resource.BinarySI)},
			PersistentVolumeSource:        v1.PersistentVolumeSource{Local: &v1.LocalVolumeSource{Path: v.Data()}},
			NodeAffinity: &v1.VolumeNodeAffinity{Required: &v1.NodeSelector{NodeSelectorTerms: []v1.NodeSelectorTerm{{
				MatchExpressions: []v1.NodeSelectorRequirement{{Key: v1.LabelHostname, Operator: v1.NodeSelectorOpIn, Values: []string{s.Node}}},
			}}}},
		},
	}
}

// Growth is what is left to do so that a claim has what it asks for.
type Growth struct {
	Disk  bool  // the file system and the PersistentVolume are too small
	Claim bool  // the claim's status tells less than there is
	Size  int64 // bytes, of the volume when done
}

// Grow compares a bound claim and its volume. The zero Growth: nothing to do, or not bound to each other.
func Grow(pvc *v1.PersistentVolumeClaim, pv *v1.PersistentVolume) (Growth, error) {
	ref := pv.Spec.ClaimRef
	if pvc.Status.Phase != v1.ClaimBound || pvc.Spec.VolumeName != pv.Name || ref == nil || ref.UID != pvc.UID {
		return Growth{}, nil
	}
	want, err := Size(pvc.Spec.Resources.Requests[v1.ResourceStorage])
	if err != nil {
		return Growth{}, err
	}
	has, told := pv.Spec.Capacity[v1.ResourceStorage], pvc.Status.Capacity[v1.ResourceStorage]
	g := Growth{Disk: has.Value() < want, Size: max(want, has.Value())}
	g.Claim = told.Value() < g.Size || len(ongoing(pvc.Status.Conditions)) != len(pvc.Status.Conditions)
	return g, nil
}

// Grown is the status of a claim whose volume has size bytes.
func Grown(old v1.PersistentVolumeClaimStatus, size int64) v1.PersistentVolumeClaimStatus {
	s := *old.DeepCopy()
	if s.Capacity == nil {
		s.Capacity = v1.ResourceList{}
	}
	s.Capacity[v1.ResourceStorage] = *resource.NewQuantity(size, resource.BinarySI)
	s.Conditions = ongoing(s.Conditions)
	return s
}

// ongoing leaves out the conditions that speak of growing.
func ongoing(in []v1.PersistentVolumeClaimCondition) []v1.PersistentVolumeClaimCondition {
	var out []v1.PersistentVolumeClaimCondition
	for _, c := range in {
		switch c.Type {
		case v1.PersistentVolumeClaimResizing, v1.PersistentVolumeClaimFileSystemResizePending,
			v1.PersistentVolumeClaimControllerResizeError, v1.PersistentVolumeClaimNodeResizeError:
		default:
			out = append(out, c)
		}
	}
	return out
}
