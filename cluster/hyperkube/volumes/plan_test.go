package volumes

import (
	"strings"
	"testing"

	v1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
)

func TestSize(t *testing.T) {
	for in, want := range map[string]int64{"1": MinSize, "16Mi": MinSize, "64Mi": 64 << 20, "64M": 62 << 20, "1Gi": 1 << 30, "1500Mi": 1500 << 20} {
		if got, err := Size(resource.MustParse(in)); err != nil || got != want {
			t.Errorf("%s: got %d, %v, want %d", in, got, err, want)
		}
	}
	for _, in := range []string{"0", "-1", "17Ti"} {
		if _, err := Size(resource.MustParse(in)); err == nil || !strings.Contains(err.Error(), in) {
			t.Errorf("%s: error %v", in, err)
		}
	}
}

var store = Store{Root: "/v", Node: "n1"}

func claim(request, told string) *v1.PersistentVolumeClaim {
	c := &v1.PersistentVolumeClaim{ObjectMeta: metav1.ObjectMeta{Namespace: "shop", Name: "data", UID: "u1"}}
	c.Spec.VolumeName = "pv1"
	c.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadWriteOnce}
	c.Spec.Resources.Requests = v1.ResourceList{v1.ResourceStorage: resource.MustParse(request)}
	c.Status.Phase = v1.ClaimBound
	c.Status.Capacity = v1.ResourceList{v1.ResourceStorage: resource.MustParse(told)}
	return c
}

func volume(size int64) *v1.PersistentVolume {
	pv := store.PersistentVolume("pv1", store.Volume("shop", "data", "pv1"), claim("1Gi", "1Gi"), size, v1.PersistentVolumeReclaimDelete)
	pv.Spec.ClaimRef = &v1.ObjectReference{Namespace: "shop", Name: "data", UID: "u1"}
	return pv
}

func TestVolumeIsFoundAgainByItsPath(t *testing.T) {
	pv := volume(64 << 20)
	if pv.Spec.Local.Path != "/v/n1/shop_data_pv1/mnt/data" {
		t.Error(pv.Spec.Local.Path)
	}
	v, err := store.Of(pv)
	if err != nil || v != store.Volume("shop", "data", "pv1") {
		t.Error(v, err)
	}
	if !store.Owns(pv) || (Store{Root: "/v", Node: "n2"}).Owns(pv) {
		t.Error("owner")
	}
	if got := pv.Spec.Capacity[v1.ResourceStorage]; got.String() != "64Mi" {
		t.Error(got.String())
	}
}

func TestOtherPathsAreRefused(t *testing.T) {
	for _, path := range []string{"/", "/v/n1/mnt/data", "/v/n2/shop_data_pv1/mnt/data", "/v/n1/shop_data_pv2/mnt/data", "/v/n1/x/../../../etc_pv1/mnt/data", "/v/n1/shop_data_pv1/mnt", "/v/n1/shop_data_pv1/mnt/data/"} {
		pv := volume(1)
		pv.Spec.Local.Path = path
		if v, err := store.Of(pv); err == nil {
			t.Errorf("%s: accepted as %v", path, v)
		}
	}
	pv := volume(1)
	pv.Spec.Local = nil
	if _, err := store.Of(pv); err == nil || store.Owns(&v1.PersistentVolume{}) {
		t.Error("a volume that is not local was accepted")
	}
}

func TestClaimed(t *testing.T) {
	c := claim("1Gi", "1Gi")
	if store.Claimed(c) {
		t.Error("no node was selected")
	}
	c.Annotations = map[string]string{AnnSelectedNode: "n1"}
	if !store.Claimed(c) || (Store{Node: "n2"}).Claimed(c) {
		t.Error("selected node")
	}
}

func TestProvisionable(t *testing.T) {
	c := claim("1Gi", "1Gi")
	if err := Provisionable(c); err != nil {
		t.Error(err)
	}
	block := v1.PersistentVolumeBlock
	c.Spec.VolumeMode = &block
	if err := Provisionable(c); err == nil || !strings.Contains(err.Error(), "use Filesystem") {
		t.Error(err)
	}
	c = claim("1Gi", "1Gi")
	c.Spec.AccessModes = []v1.PersistentVolumeAccessMode{v1.ReadWriteMany}
	if err := Provisionable(c); err == nil || !strings.Contains(err.Error(), "shop/data: accessMode ReadWriteMany") {
		t.Error(err)
	}
}

func TestGrow(t *testing.T) {
	resizing := claim("64Mi", "64Mi")
	resizing.Status.Conditions = []v1.PersistentVolumeClaimCondition{{Type: v1.PersistentVolumeClaimFileSystemResizePending}}
	unbound, another := claim("128Mi", "64Mi"), claim("128Mi", "64Mi")
	unbound.Status.Phase = v1.ClaimPending
	another.UID = "u2"
	for _, c := range []struct {
		name string
		pvc  *v1.PersistentVolumeClaim
		has  int64
		want Growth
	}{
		{"as asked", claim("64Mi", "64Mi"), 64, Growth{Size: 64 << 20}},
		{"asks for more", claim("128Mi", "64Mi"), 64, Growth{Disk: true, Claim: true, Size: 128 << 20}},
		{"interrupted before the claim was told", claim("128Mi", "64Mi"), 128, Growth{Claim: true, Size: 128 << 20}},
		{"smaller request, larger volume", claim("32Mi", "64Mi"), 64, Growth{Size: 64 << 20}},
		{"rounded up", claim("65Mi", "65Mi"), 66, Growth{Claim: true, Size: 66 << 20}},
		{"condition left over", resizing, 64, Growth{Claim: true, Size: 64 << 20}},
		{"not bound", unbound, 64, Growth{}},
		{"another claim of that name", another, 64, Growth{}},
	} {
		if got, err := Grow(c.pvc, volume(c.has<<20)); err != nil || got != c.want {
			t.Errorf("%s: got %+v, %v, want %+v", c.name, got, err, c.want)
		}
	}
	if _, err := Grow(claim("17Ti", "64Mi"), volume(64<<20)); err == nil {
		t.Error("too large a request was accepted")
	}
}

func TestGrown(t *testing.T) {
	old := v1.PersistentVolumeClaimStatus{Conditions: []v1.PersistentVolumeClaimCondition{
		{Type: v1.PersistentVolumeClaimResizing}, {Type: v1.PersistentVolumeClaimVolumeModifyVolumeError}, {Type: v1.PersistentVolumeClaimFileSystemResizePending}}}
	got := Grown(old, 128<<20)
	size := got.Capacity[v1.ResourceStorage]
	if size.String() != "128Mi" || len(got.Conditions) != 1 || got.Conditions[0].Type != v1.PersistentVolumeClaimVolumeModifyVolumeError {
		t.Errorf("%+v", got)
	}
	if len(old.Conditions) != 3 || old.Capacity != nil {
		t.Error("the old status was changed")
	}
}
