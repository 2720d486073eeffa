package hostcheck

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"sync"

	"github.com/seckill-go/seckill/internal/preflight"
)

const mib = 1 << 20

// Storage asks every real mount of the node, all at once, for its room, and holds the paths of the plan
// against what the platform asks for.
func (s *System) Storage(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	file := s.mountinfo()
	text, err := s.ReadFile(file)
	if err != nil {
		a.Add("storage-unknown", file, "%v", err)
		return a
	}
	mounts, err := ParseMountinfo(string(text))
	if err != nil {
		a.Add("storage-unknown", file, "%v", err)
		return a
	}
	p := t.Plan.Storage
	wanted, paths := assign(&a, mounts, p.Paths)
	answers := make([]preflight.Answer, len(wanted))
	var work sync.WaitGroup
	for i, m := range wanted {
		work.Go(func() { answers[i] = s.mount(ctx, p, m, paths[m.Point]) })
	}
	work.Wait()
	for _, one := range answers {
		a.Findings = append(a.Findings, one.Findings...)
	}
	return a
}

// mountinfo is the file with the mounts of the node: where its root is seen elsewhere those of its first
// process, otherwise the agent's own.
func (s *System) mountinfo() string {
	if s.Root == "" {
		return "/proc/self/mountinfo"
	}
	return "/proc/1/mountinfo"
}

// assign gives the mounts to ask, the real ones and those that paths lie on, and the paths on each by its
// mount point. A path that cannot be used is a finding.
func assign(a *preflight.Answer, mounts []Mount, all []string) (wanted []Mount, paths map[string][]string) {
	wanted, paths = visible(mounts), map[string][]string{}
	for _, path := range all {
		m, ok := mountOf(mounts, path)
		if !ok {
			a.Add("storage-path", path, "no mount holds it")
			continue
		}
		if m.ReadOnly {
			a.Add("storage-path", path, "it lies on %s (%s of %s), which is mounted read-only", m.Point, m.FSType, m.Source)
		}
		// Another mount point may stand for its device.
		i := slices.IndexFunc(wanted, func(w Mount) bool { return w.Device == m.Device })
		if i < 0 {
			i = len(wanted)
			wanted = append(wanted, m)
		}
		paths[wanted[i].Point] = append(paths[wanted[i].Point], path)
	}
	return wanted, paths
}

func (s *System) mount(ctx context.Context, p preflight.StoragePlan, m Mount, paths []string) (a preflight.Answer) {
	var u Usage
	err := s.hung.do(ctx, "statfs "+m.Point, p.MountLimit, func() (err error) {
		u, err = s.Statfs(filepath.Join(s.Root, m.Point))
		return err
	})
	switch {
	case errors.Is(err, errHung), errors.Is(err, errStillHung):
		a.Add("storage-hung", m.Point, "%s of %s: %v (%v)", m.FSType, m.Source, err, p.MountLimit)
		return a
	case errors.Is(err, fs.ErrPermission) && len(paths) == 0:
		a.Add("storage-hidden", m.Point, "%s of %s: the agent runs as uid %d", m.FSType, m.Source, os.Getuid())
		return a
	case err != nil:
		a.Add("storage-unknown", m.Point, "%s of %s: %v", m.FSType, m.Source, err)
		return a
	}
	before := len(a.Findings)
	// Of a read-only file system nobody expects room.
	if used := percent(u.Used, u.Used+u.Free); used > p.MaxUsedPercent && !m.ReadOnly {
		a.Add("storage-space", m.Point, "%s of %s is %d%% full, %d%% are the most: %d of %d MiB are free",
			m.FSType, m.Source, used, p.MaxUsedPercent, u.Free/mib, u.Total/mib)
	}
	if used := percent(u.Inodes-min(u.Inodes, u.InodesFree), u.Inodes); u.Inodes > 0 && used > p.MaxInodesPercent && !m.ReadOnly {
		a.Add("storage-inodes", m.Point, "%s of %s uses %d%% of its inodes, %d%% are the most: %d of %d are free",
			m.FSType, m.Source, used, p.MaxInodesPercent, u.InodesFree, u.Inodes)
	}
	for _, path := range paths {
		if free := int64(u.Free / mib); free < p.MinFreeMiB {
			a.Add("storage-space", path, "%d MiB are free on %s (%s of %s), %d are needed", free, m.Point, m.FSType, m.Source, p.MinFreeMiB)
		}
		if total := int64(u.Total / mib); total < p.MinTotalMiB {
			a.Add("storage-space", path, "%s (%s of %s) has %d MiB, %d are needed", m.Point, m.FSType, m.Source, total, p.MinTotalMiB)
		}
	}
	if len(a.Findings) == before {
		a.Pass(preflight.CheckStorage, m.Point, "%s of %s: %d of %d MiB free, %d%% used; %d of %d inodes free",
			m.FSType, m.Source, u.Free/mib, u.Total/mib, percent(u.Used, u.Used+u.Free), u.InodesFree, u.Inodes)
	}
	return a
}

// percent is rounded up, as df's is; 0 of nothing.
func percent(part, whole uint64) int {
	if whole == 0 {
		return 0
	}
	return int((float64(part)*100 + float64(whole) - 1) / float64(whole))
}
