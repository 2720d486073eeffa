package hostcheck

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"

	"github.com/seckill-go/seckill/internal/preflight"
)

// Write does on each volume of the plan what an engine does with its files, as the user that the agent
// runs as, and leaves nothing behind.
func (s *System) Write(ctx context.Context, t preflight.Task) (a preflight.Answer) {
	uid := os.Getuid()
	if want := t.Plan.Write.UID; want >= 0 && want != uid {
		a.Add("write-uid", fmt.Sprintf("uid %d", want), "the agent runs as uid %d: what it may write says nothing of uid %d", uid, want)
		return a
	}
	for _, volume := range t.Plan.Write.Volumes {
		var step string
		// A step under way keeps the others waiting, and the limit is of the check as a whole: half of it
		// for one volume leaves the others theirs.
		steps := make(chan string, len(writeSteps))
		err := s.hung.do(ctx, "write "+volume, t.Plan.Limit/2, func() error { return writeAll(volume, steps) })
		for more := true; more; {
			select {
			case step = <-steps:
			default:
				more = false
			}
		}
		switch {
		case errors.Is(err, errHung), errors.Is(err, errStillHung):
			a.Add("write-hung", volume, "step %q: %v", step, err)
		case err != nil:
			f := a.Add("write-failed", volume, "uid %d cannot %s: %v", uid, step, cause(err))
			f.Remedy = writeRemedy(err, volume, uid)
		default:
			a.Pass(preflight.CheckWrite, volume, "uid %d can create, fsync, read back, rename and delete", uid)
		}
	}
	return a
}

// writeSteps are their names, in order.
var writeSteps = []string{"create a file", "write", "fsync the file", "read back", "rename", "fsync the folder", "delete"}

// writeAll announces each step before it takes it.
func writeAll(volume string, steps chan<- string) (err error) {
	name := filepath.Join(volume, ".seckill-preflight-"+rand.Text())
	renamed := name + ".renamed"
	content := bytes.Repeat([]byte(name+"\n"), 64)
	steps <- writeSteps[0]
	f, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	left := name
	defer func() {
		if left != "" {
			err = errors.Join(err, os.Remove(left))
		}
	}()
	defer func() { err = errors.Join(err, closeOnce(f)) }()
	steps <- writeSteps[1]
	if _, err := f.Write(content); err != nil {
		return err
	}
	steps <- writeSteps[2]
	if err := f.Sync(); err != nil {
		return err
	}
	if err := f.Close(); err != nil { // NFS reports what it could not store here
		return err
	}
	steps <- writeSteps[3]
	got, err := os.ReadFile(name)
	if err != nil {
		return err
	}
	if !bytes.Equal(got, content) {
		return errors.New("what was read is not what was written")
	}
	steps <- writeSteps[4]
	if err := os.Rename(name, renamed); err != nil {
		return err
	}
	left = renamed
	steps <- writeSteps[5]
	if err := syncFolder(volume); err != nil {
		return err
	}
	steps <- writeSteps[6]
	left = ""
	return os.Remove(renamed)
}

func closeOnce(f *os.File) error {
	if err := f.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return err
	}
	return nil
}

func syncFolder(path string) error {
	d, err := os.Open(path)
	if err != nil {
		return err
	}
	err = d.Sync()
	if errors.Is(err, syscall.EINVAL) { // some network file systems have no fsync of folders
		err = nil
	}
	return errors.Join(err, d.Close())
}

// cause is an error without the random name of the file, so that the same failure reads the same.
func cause(err error) error {
	var p *fs.PathError
	if errors.As(err, &p) {
		return p.Err
	}
	return err
}

func writeRemedy(err error, volume string, uid int) string {
	switch {
	case errors.Is(err, syscall.EROFS):
		return "mount it for writing: mount -o remount,rw " + volume + ", or drop readOnly from the volumeMount; after disk errors the kernel does this by itself: dmesg"
	case errors.Is(err, syscall.ENOSPC):
		return "it is full: free room or inodes on " + volume
	case errors.Is(err, syscall.EDQUOT):
		return "the user's quota is used up on " + volume
	case errors.Is(err, fs.ErrPermission):
		return fmt.Sprintf("chown %d %s, or set fsGroup in the pod's securityContext; on NFS look at root_squash and all_squash", uid, volume)
	case errors.Is(err, fs.ErrNotExist):
		return "make the folder, or mount the volume there"
	}
	return ""
}
