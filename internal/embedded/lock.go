package embedded

import (
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
)

// ErrLocked says that another process works on the folder.
var ErrLocked = errors.New("another process is using this data folder")

const lockFile = "lock"

// LockDir takes a folder, which is created when missing, for this process alone until release is
// called or the process ends, however it ends. When another has it the error is ErrLocked and names
// the folder and the other's process id. release may be called twice.
func LockDir(dir string) (release func(), err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	// The file stays: to remove it would let two processes lock two files of the same name.
	f, err := os.OpenFile(filepath.Join(dir, lockFile), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, fmt.Errorf("lock data folder: %w", err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil {
		defer f.Close()
		if errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, fmt.Errorf("%w: %s%s", ErrLocked, dir, holder(f))
		}
		return nil, fmt.Errorf("lock data folder %s: %w", dir, err)
	}
	if err := errors.Join(f.Truncate(0), write(f, strconv.Itoa(os.Getpid()))); err != nil {
		return nil, errors.Join(fmt.Errorf("lock data folder %s: %w", dir, err), f.Close())
	}
	return sync.OnceFunc(func() { _ = f.Close() }), nil // nothing is left to be written
}

func write(f *os.File, text string) error {
	_, err := f.WriteAt([]byte(text), 0)
	return err
}

// holder names the process that wrote its id into the lock file, where it had the time to.
func holder(f *os.File) string {
	var b [20]byte
	n, _ := f.ReadAt(b[:], 0) // fewer bytes than asked for is the rule
	if _, err := strconv.Atoi(string(b[:n])); err != nil {
		return ""
	}
	return " (process " + string(b[:n]) + ")"
}

// checkLoopback refuses addresses that other machines could reach: the engines ask for no password.
func checkLoopback(listen string) error {
	host, _, err := net.SplitHostPort(listen)
	if err != nil {
		return err
	}
	if ip := net.ParseIP(host); ip == nil || !ip.IsLoopback() {
		return fmt.Errorf("%q is not a loopback address", host)
	}
	return nil
}
