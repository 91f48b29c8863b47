package volumes

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// FileSystem is the kind made in new volumes.
type FileSystem string

// ext4 can grow while mounted only with CAP_SYS_RESOURCE, which not every container or sandbox has; XFS without.
const (
	Ext4 FileSystem = "ext4"
	XFS  FileSystem = "xfs"
)

// xfsMin is below what mkfs.xfs makes without being told twice, in bytes.
const xfsMin = 300 * mebi

// MakeCommand makes a file system of size bytes in image.
func MakeCommand(kind FileSystem, image string, size int64) ([]string, error) {
	switch kind {
	case Ext4:
		return []string{"mkfs.ext4", "-q", "-F", "-m", "0", "-E", "lazy_itable_init=1,nodiscard", image}, nil
	case XFS:
		if size < xfsMin {
			return []string{"mkfs.xfs", "-q", "-K", "--unsupported", image}, nil
		}
		return []string{"mkfs.xfs", "-q", "-K", image}, nil
	}
	return nil, fmt.Errorf("file system %q: not ext4 or xfs", kind)
}

// GrowCommands make a mounted file system as large as its image has become.
func GrowCommands(m MountPoint) ([][]string, error) {
	out := [][]string{{"losetup", "-c", m.Device}}
	switch FileSystem(m.Type) {
	case Ext4:
		return append(out, []string{"resize2fs", m.Device}), nil
	case XFS:
		return append(out, []string{"xfs_growfs", m.Path}), nil
	}
	return nil, fmt.Errorf("%s: file system %q: not ext4 or xfs", m.Path, m.Type)
}

// MountPoint is one line of /proc/self/mountinfo.
type MountPoint struct{ Path, Type, Device string }

// FindMount finds what is mounted on path, given the text of mountinfo: the last one, which is on top.
func FindMount(mountinfo, path string) (MountPoint, bool) {
	var found MountPoint
	unescape := strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`)
	for line := range strings.Lines(mountinfo) {
		left, right, ok := strings.Cut(line, " - ")
		l, r := strings.Fields(left), strings.Fields(right)
		if !ok || len(l) < 5 || len(r) < 2 {
			continue
		}
		if unescape.Replace(l[4]) == path {
			found = MountPoint{Path: path, Type: r[0], Device: unescape.Replace(r[1])}
		}
	}
	return found, found.Path != ""
}

// Disk makes and changes volumes on the machine it runs on.
type Disk struct {
	Kind FileSystem
	// Run executes a command; a test puts its own here.
	Run func(ctx context.Context, command []string) error
}

// Exec is the Run of a real Disk.
func Exec(ctx context.Context, command []string) error {
	if out, err := exec.CommandContext(ctx, command[0], command[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%s: %w: %s", strings.Join(command, " "), err, strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "; "))
	}
	return nil
}

func mounted(path string) (MountPoint, bool, error) {
	info, err := os.ReadFile("/proc/self/mountinfo")
	if err != nil {
		return MountPoint{}, false, err
	}
	m, ok := FindMount(string(info), path)
	return m, ok, nil
}

// Create makes and mounts a volume. Interrupted, it can be done again: a half-made image has another name.
func (d Disk) Create(ctx context.Context, v Volume, size int64) error {
	if err := os.MkdirAll(v.Mount(), 0o755); err != nil {
		return err
	}
	if _, err := os.Stat(v.Image()); errors.Is(err, fs.ErrNotExist) {
		if err := d.format(ctx, v, size); err != nil {
			return err
		}
	} else if err != nil {
		return err
	}
	return d.Attach(ctx, v)
}

func (d Disk) format(ctx context.Context, v Volume, size int64) error {
	half := v.Image() + ".new"
	if err := os.RemoveAll(half); err != nil {
		return err
	}
	f, err := os.OpenFile(half, os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(f.Truncate(size), f.Close()); err != nil {
		return err
	}
	command, err := MakeCommand(d.Kind, half, size)
	if err != nil {
		return err
	}
	if err := d.Run(ctx, command); err != nil {
		return err
	}
	return os.Rename(half, v.Image())
}

// Attach mounts a volume that exists. The loop device is the kernel's to release (autoclear) when the last mount
// goes, also when that is because every process of the node was killed.
func (d Disk) Attach(ctx context.Context, v Volume) error {
	if _, ok, err := mounted(v.Mount()); err != nil {
		return err
	} else if !ok {
		if err := d.Run(ctx, []string{"mount", "-o", "loop,noatime", v.Image(), v.Mount()}); err != nil {
			return err
		}
	}
	if err := os.MkdirAll(v.Data(), 0o777); err != nil {
		return err
	}
	return os.Chmod(v.Data(), 0o777) // whatever the umask; fsGroup and the pod narrow it
}

// AttachAll mounts every volume of a node that has booted. One that cannot be mounted does not keep the others back.
func (d Disk) AttachAll(ctx context.Context, s Store) error {
	images, err := filepath.Glob(filepath.Join(s.Dir(), "*", "disk.img"))
	if err != nil {
		return err
	}
	var failed []error
	for _, image := range images {
		failed = append(failed, d.Attach(ctx, Volume{Dir: filepath.Dir(image)}))
	}
	return errors.Join(failed...)
}

// Grow makes a mounted volume size bytes large. Doing it again does no harm, so it can be interrupted.
func (d Disk) Grow(ctx context.Context, v Volume, size int64) error {
	if err := d.Attach(ctx, v); err != nil {
		return err
	}
	info, err := os.Stat(v.Image())
	if err != nil {
		return err
	}
	if info.Size() < size {
		if err := os.Truncate(v.Image(), size); err != nil {
			return err
		}
	}
	m, ok, err := mounted(v.Mount())
	if err != nil {
		return err
	}
	if !ok {
		return fmt.Errorf("%s is not mounted", v.Mount())
	}
	commands, err := GrowCommands(m)
	if err != nil {
		return err
	}
	for _, c := range commands {
		if err := d.Run(ctx, c); err != nil {
			return err
		}
	}
	return nil
}

// Remove unmounts and deletes a volume. What is already gone is no error.
func (d Disk) Remove(ctx context.Context, v Volume) error {
	for {
		_, ok, err := mounted(v.Mount())
		if err != nil {
			return err
		}
		if !ok {
			return os.RemoveAll(v.Dir)
		}
		if err := d.Run(ctx, []string{"umount", v.Mount()}); err != nil {
			return err // still in use: tried again later
		}
	}
}
