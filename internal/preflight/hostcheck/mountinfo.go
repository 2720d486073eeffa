package hostcheck

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Mount is one line of /proc/PID/mountinfo.
type Mount struct {
	// Device is major:minor; bind mounts of one file system share it.
	Device string
	// Point is where it is mounted, FSType the file system's type, Source what is mounted.
	Point, FSType, Source string
	// ReadOnly is of the mount or of the file system below it.
	ReadOnly bool
}

// ParseMountinfo reads proc(5)'s mountinfo. The error names the line that it does not understand.
func ParseMountinfo(text string) ([]Mount, error) {
	var mounts []Mount
	for n, line := range strings.Split(strings.TrimSuffix(text, "\n"), "\n") {
		if line == "" {
			continue
		}
		m, ok := parseMount(line)
		if !ok {
			return nil, fmt.Errorf("mountinfo line %d: %q", n+1, line)
		}
		mounts = append(mounts, m)
	}
	return mounts, nil
}

// parseMount reads "ID PARENT MAJOR:MINOR ROOT POINT OPTIONS [FIELDS...] - TYPE SOURCE SUPEROPTIONS".
func parseMount(line string) (Mount, bool) {
	fields := strings.Split(line, " ")
	dash := slices.Index(fields, "-")
	if dash < 6 || len(fields) < dash+3 {
		return Mount{}, false
	}
	m := Mount{Device: fields[2], Point: unescape(fields[4]), FSType: fields[dash+1], Source: unescape(fields[dash+2])}
	options := fields[5]
	if len(fields) > dash+3 {
		options += "," + fields[dash+3]
	}
	m.ReadOnly = slices.Contains(strings.Split(options, ","), "ro")
	return m, strings.HasPrefix(m.Point, "/")
}

// unescape reads the kernel's \ooo for space, tab, newline and backslash.
func unescape(s string) string {
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+3 < len(s) {
			if c, err := strconv.ParseUint(s[i+1:i+4], 8, 8); err == nil {
				b.WriteByte(byte(c))
				i += 3
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// real types of file systems have a disk or a server behind them. fuse.* has, too.
var realTypes = []string{
	"ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "bcachefs", "jfs", "reiserfs", "vfat", "exfat", "ntfs", "ntfs3",
	"nfs", "nfs4", "cifs", "smb3", "ceph", "glusterfs", "9p", "virtiofs", "lustre", "gfs2", "ocfs2", "fuse", "fuseblk",
}

// Real tells whether there is a disk or a server behind the mount that can be full. Images such as
// squashfs always are, and are none; nor is overlay, whose layers lie on another mount.
func (m Mount) Real() bool {
	return slices.Contains(realTypes, m.FSType) || strings.HasPrefix(m.FSType, "fuse.")
}

// mountOf is the mount that a path lies on: the longest mount point above it, of several on one point
// the last, which covers the others.
func mountOf(mounts []Mount, path string) (Mount, bool) {
	var best Mount
	found := false
	for _, m := range mounts {
		above := m.Point == "/" || path == m.Point || strings.HasPrefix(path, m.Point+"/")
		if above && (!found || len(m.Point) >= len(best.Point)) {
			best, found = m, true
		}
	}
	return best, found
}

// visible are the real mounts, one a device and, of several on one point, the last. A device's shortest
// mount point stands for it.
func visible(mounts []Mount) []Mount {
	byPoint := map[string]Mount{}
	for _, m := range mounts {
		byPoint[m.Point] = m
	}
	byDevice := map[string]Mount{}
	for _, m := range byPoint {
		if !m.Real() {
			continue
		}
		have, ok := byDevice[m.Device]
		if !ok || len(m.Point) < len(have.Point) || len(m.Point) == len(have.Point) && m.Point < have.Point {
			byDevice[m.Device] = m
		}
	}
	out := make([]Mount, 0, len(byDevice))
	for _, m := range byDevice {
		out = append(out, m)
	}
	slices.SortFunc(out, func(a, b Mount) int { return strings.Compare(a.Point, b.Point) })
	return out
}
