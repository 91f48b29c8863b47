package volumes

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
)

func TestMakeCommand(t *testing.T) {
	for _, c := range []struct {
		kind FileSystem
		size int64
		want string
	}{
		{Ext4, 64 << 20, "mkfs.ext4 -q -F -m 0 -E lazy_itable_init=1,nodiscard disk"},
		{XFS, 64 << 20, "mkfs.xfs -q -K --unsupported disk"},
		{XFS, 1 << 30, "mkfs.xfs -q -K disk"},
	} {
		got, err := MakeCommand(c.kind, "disk", c.size)
		if err != nil || strings.Join(got, " ") != c.want {
			t.Errorf("%s %d: %q, %v", c.kind, c.size, got, err)
		}
	}
	if _, err := MakeCommand("btrfs", "disk", 1); err == nil || !strings.Contains(err.Error(), "btrfs") {
		t.Error(err)
	}
}

func TestGrowCommands(t *testing.T) {
	for kind, want := range map[string]string{"ext4": "resize2fs /dev/loop3", "xfs": "xfs_growfs /v/mnt"} {
		got, err := GrowCommands(MountPoint{Path: "/v/mnt", Type: kind, Device: "/dev/loop3"})
		if err != nil || len(got) != 2 || strings.Join(got[0], " ") != "losetup -c /dev/loop3" || strings.Join(got[1], " ") != want {
			t.Errorf("%s: %q, %v", kind, got, err)
		}
	}
	if _, err := GrowCommands(MountPoint{Type: "tmpfs"}); err == nil {
		t.Error("tmpfs was accepted")
	}
}

const mountinfo = `22 1 254:0 / / rw,relatime - ext4 /dev/vda rw
30 22 7:0 / /v/a\040b/mnt rw,noatime shared:9 - xfs /dev/loop0 rw,attr2
31 22 7:1 / /v/a/mnt rw master:1 shared:2 - ext4 /dev/loop1 rw
32 22 7:2 / /v/a/mnt rw - xfs /dev/loop2 rw
`

func TestFindMount(t *testing.T) {
	for path, want := range map[string]MountPoint{
		"/v/a b/mnt": {Path: "/v/a b/mnt", Type: "xfs", Device: "/dev/loop0"},
		"/v/a/mnt":   {Path: "/v/a/mnt", Type: "xfs", Device: "/dev/loop2"},
		"/v/a":       {},
	} {
		if got, ok := FindMount(mountinfo, path); got != want || ok != (want.Path != "") {
			t.Errorf("%s: %+v %v", path, got, ok)
		}
	}
}

func TestCreateCanBeInterrupted(t *testing.T) {
	v := Volume{Dir: t.TempDir() + "/ns_claim_pv"}
	fail, ran := true, []string{}
	d := Disk{Kind: XFS, Run: func(_ context.Context, c []string) error {
		ran = append(ran, c[0])
		if fail && c[0] == "mkfs.xfs" {
			return errors.New("no power")
		}
		return nil
	}}
	if err := d.Create(t.Context(), v, MinSize); err == nil {
		t.Fatal("the failure was not told")
	}
	if _, err := os.Stat(v.Image()); err == nil {
		t.Error("a half-made image has the name of a whole one")
	}
	fail = false
	if err := d.Create(t.Context(), v, MinSize); err != nil {
		t.Fatal(err)
	}
	if err := d.Create(t.Context(), v, MinSize); err != nil { // the image is kept
		t.Fatal(err)
	}
	if got := strings.Join(ran, " "); got != "mkfs.xfs mkfs.xfs mount mount" {
		t.Error(got)
	}
	info, err := os.Stat(v.Image())
	if err != nil || info.Size() != MinSize {
		t.Error(info, err)
	}
	if info, err := os.Stat(v.Data()); err != nil || info.Mode().Perm() != 0o777 {
		t.Error(info, err)
	}
	if err := errors.Join(d.Remove(t.Context(), v), d.Remove(t.Context(), v)); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(v.Dir); err == nil {
		t.Error("the volume is still there")
	}
}

func TestOneBadVolumeDoesNotKeepTheOthersBack(t *testing.T) {
	s := Store{Root: t.TempDir(), Node: "n1"}
	for _, name := range []string{"a", "b", "c"} {
		v := s.Volume("ns", name, "pv")
		if err := errors.Join(os.MkdirAll(v.Mount(), 0o755), os.WriteFile(v.Image(), nil, 0o600)); err != nil {
			t.Fatal(err)
		}
	}
	mounts := 0
	d := Disk{Kind: Ext4, Run: func(_ context.Context, c []string) error {
		mounts++
		if strings.Contains(c[3], "ns_b_pv") {
			return errors.New("bad superblock")
		}
		return nil
	}}
	if err := d.AttachAll(t.Context(), s); err == nil || mounts != 3 {
		t.Error(err, mounts)
	}
}
