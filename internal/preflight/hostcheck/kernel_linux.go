package hostcheck

import (
	"syscall"
	"time"
)

func statfs(path string) (Usage, error) {
	var s syscall.Statfs_t
	if err := syscall.Statfs(path, &s); err != nil {
		return Usage{}, err
	}
	size := uint64(s.Frsize)
	if size == 0 {
		size = uint64(s.Bsize)
	}
	return Usage{
		Total: s.Blocks * size, Free: s.Bavail * size, Used: (s.Blocks - min(s.Blocks, s.Bfree)) * size,
		Inodes: s.Files, InodesFree: s.Ffree,
	}, nil
}

func kernel() (string, error) {
	var u syscall.Utsname
	if err := syscall.Uname(&u); err != nil {
		return "", err
	}
	var release []byte
	for _, c := range u.Release {
		if c == 0 {
			break
		}
		release = append(release, byte(c))
	}
	return string(release), nil
}

// staUnsync is STA_UNSYNC of linux/timex.h.
const staUnsync = 0x40

func clock() (Clock, error) {
	var t syscall.Timex
	if _, err := syscall.Adjtimex(&t); err != nil {
		return Clock{}, err
	}
	return Clock{Synchronised: t.Status&staUnsync == 0, MaxError: time.Duration(t.Maxerror) * time.Microsecond}, nil
}

func openFiles() (uint64, error) {
	var r syscall.Rlimit
	err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &r)
	// Go raises the soft limit of its own process to the hard one, as the platform's processes do.
	return r.Max, err
}
