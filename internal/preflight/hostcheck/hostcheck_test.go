package hostcheck

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"go.uber.org/goleak"
)

// go-zero starts a goroutine as soon as it is linked in.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m, goleak.IgnoreCurrent()) }

const gib = 1 << 30

// roomy is a file system with nothing to say about.
var roomy = Usage{Total: 100 * gib, Free: 60 * gib, Used: 40 * gib, Inodes: 1000, InodesFree: 900}

// worker is a node with the mounts of a real one; usage is by mount point, roomy without.
func worker(t *testing.T, usage map[string]Usage) *System {
	t.Helper()
	text, err := os.ReadFile("testdata/worker.mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	return &System{
		Root: "/host",
		ReadFile: func(path string) ([]byte, error) {
			switch path {
			case "/proc/1/mountinfo":
				return text, nil
			case "/sys/fs/cgroup/cgroup.controllers":
				return []byte("cpu memory\n"), nil
			}
			return nil, os.ErrNotExist
		},
		Statfs: func(path string) (Usage, error) {
			point := strings.TrimPrefix(path, "/host")
			if point == "" {
				point = "/"
			}
			if u, ok := usage[point]; ok {
				return u, nil
			}
			return roomy, nil
		},
		Kernel:    func() (string, error) { return "6.1.0-28-cloud-amd64", nil },
		Clock:     func() (Clock, error) { return Clock{Synchronised: true, MaxError: time.Millisecond}, nil },
		OpenFiles: func() (uint64, error) { return 1 << 20, nil },
	}
}

func task() preflight.Task {
	return preflight.Task{Run: "r", Plan: preflight.Plan{
		Limit: 20 * time.Second,
		Storage: preflight.StoragePlan{
			MaxUsedPercent: 90, MaxInodesPercent: 90, MinFreeMiB: 10240, MountLimit: 3 * time.Second,
			Paths: []string{"/var/lib/seckill", "/mnt/nfs share/mysql"},
		},
		Write: preflight.WritePlan{UID: -1},
		Node:  preflight.NodePlan{MinKernel: "4.18", Cgroup: 2, MinOpenFiles: 65536, MaxClockError: time.Second},
	}}
}

// seen lists what an answer blames: "id target".
func seen(a preflight.Answer) []string {
	blamed := []string{}
	for _, f := range a.Findings {
		if f.Severity != preflight.Passed {
			blamed = append(blamed, f.ID+" "+f.Target)
		}
	}
	return blamed
}

func wantSeen(t *testing.T, a preflight.Answer, want ...string) {
	t.Helper()
	if got := strings.Join(seen(a), "; "); got != strings.Join(want, "; ") {
		t.Errorf("blamed: %s\nwant: %s\n%+v", got, strings.Join(want, "; "), a.Findings)
	}
}

func TestStorageOfAWorker(t *testing.T) {
	full := Usage{Total: 50 * gib, Free: 1 * gib, Used: 49 * gib, Inodes: 1000, InodesFree: 900}
	for name, c := range map[string]struct {
		usage map[string]Usage
		want  []string
	}{
		"healthy": {},
		"a full disk beside": {
			map[string]Usage{"/var/lib/containerd": full},
			[]string{"storage-space /var/lib/containerd"},
		},
		"little room on NFS": {
			map[string]Usage{"/mnt/nfs share": {Total: 20 * gib, Free: 9 * gib, Used: 11 * gib}},
			[]string{"storage-space /mnt/nfs share/mysql"},
		},
		"no inodes": {
			map[string]Usage{"/": {Total: 100 * gib, Free: 60 * gib, Used: 40 * gib, Inodes: 1000, InodesFree: 3}},
			[]string{"storage-inodes /"},
		},
		"a full read-only archive": {map[string]Usage{"/mnt/archive": {Total: gib, Used: gib}}, nil},
	} {
		t.Run(name, func(t *testing.T) {
			a := worker(t, c.usage).Storage(t.Context(), task())
			wantSeen(t, a, c.want...)
			// /, /boot/efi, containerd and both NFS mounts; no squashfs, no overlay, no bind mount twice.
			if len(a.Findings) != 5 {
				t.Errorf("%d findings: %+v", len(a.Findings), a.Findings)
			}
		})
	}
}

func TestAPathThatIsReadOnly(t *testing.T) {
	it := task()
	it.Plan.Storage.Paths = []string{"/mnt/archive/x"}
	wantSeen(t, worker(t, nil).Storage(t.Context(), it), "storage-path /mnt/archive/x")
}

// A dead NFS server is named in time, the other mounts are checked, and asking again costs no more.
func TestAHungMountIsReportedAndHangsNothing(t *testing.T) {
	release := make(chan struct{})
	var mu sync.Mutex
	calls := 0
	s := worker(t, nil)
	statfs := s.Statfs
	ended := make(chan struct{})
	s.Statfs = func(path string) (Usage, error) {
		if path == "/host/mnt/nfs share" {
			mu.Lock()
			calls++
			mu.Unlock()
			<-release
			close(ended)
		}
		return statfs(path)
	}
	it := task()
	it.Plan.Storage.MountLimit = 20 * time.Millisecond
	for range 50 {
		start := time.Now()
		a := s.Storage(t.Context(), it)
		wantSeen(t, a, "storage-hung /mnt/nfs share")
		if took := time.Since(start); took > 5*time.Second {
			t.Fatalf("it took %v", took)
		}
	}
	mu.Lock()
	if calls != 1 {
		t.Errorf("%d calls hang", calls)
	}
	mu.Unlock()
	close(release)
	<-ended
	s.Statfs = statfs
	for deadline := time.Now().Add(5 * time.Second); len(seen(s.Storage(t.Context(), it))) > 0; {
		if time.Now().After(deadline) {
			t.Fatal("it is still blamed after it came back")
		}
	}
}

// A mount that the agent may not look at is told of; it matters where the plan needs it.
func TestStorageThatIsHidden(t *testing.T) {
	s := worker(t, nil)
	open := s.Statfs
	s.Statfs = func(path string) (Usage, error) {
		if path == "/host/mnt/nfs share" {
			return Usage{}, syscall.EACCES
		}
		return open(path)
	}
	it := task()
	wantSeen(t, s.Storage(t.Context(), it), "storage-unknown /mnt/nfs share")
	it.Plan.Storage.Paths = nil
	wantSeen(t, s.Storage(t.Context(), it), "storage-hidden /mnt/nfs share")
}

func TestMountinfoOfRealSystems(t *testing.T) {
	text, err := os.ReadFile("testdata/worker.mountinfo")
	if err != nil {
		t.Fatal(err)
	}
	mounts, err := ParseMountinfo(string(text))
	if err != nil {
		t.Fatal(err)
	}
	got := []string{}
	for _, m := range visible(mounts) {
		got = append(got, m.Point+"|"+m.FSType+"|"+m.Source)
	}
	want := []string{
		"/|ext4|/dev/nvme0n1p2", "/boot/efi|vfat|/dev/nvme0n1p1", "/mnt/archive|nfs|filer:/vol/archive",
		"/mnt/nfs share|nfs4|10.0.0.9:/export/seckill", "/var/lib/containerd|xfs|/dev/mapper/vg0-containerd",
	}
	if strings.Join(got, "\n") != strings.Join(want, "\n") {
		t.Errorf("%q", got)
	}
	for _, bad := range []string{"x", "1 2 3:4 / /", "22 28 0:21 / /sys rw - sysfs", "22 28 0:21 / sys rw - sysfs sysfs rw"} {
		if m, err := ParseMountinfo(bad); err == nil {
			t.Errorf("%q is read as %+v", bad, m)
		}
	}
	if own, err := os.ReadFile("/proc/self/mountinfo"); err == nil {
		if _, err := ParseMountinfo(string(own)); err != nil {
			t.Errorf("this machine's: %v", err)
		}
	}
}

func FuzzMountinfo(f *testing.F) {
	text, err := os.ReadFile("testdata/worker.mountinfo")
	if err != nil {
		f.Fatal(err)
	}
	f.Add(string(text))
	f.Add(`1 2 3:4 / /a\04 rw - x y`)
	f.Fuzz(func(t *testing.T, text string) {
		mounts, err := ParseMountinfo(text)
		if err != nil {
			return
		}
		for _, m := range mounts {
			if !strings.HasPrefix(m.Point, "/") {
				t.Errorf("%+v", m)
			}
		}
		if n := len(visible(mounts)); n > len(mounts) {
			t.Errorf("%d of %d", n, len(mounts))
		}
	})
}

func TestWrite(t *testing.T) {
	volume := t.TempDir()
	it := task()
	it.Plan.Write.Volumes = []string{volume}
	wantSeen(t, new(System).Write(t.Context(), it))
	if left, err := os.ReadDir(volume); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
	it.Plan.Write.Volumes = []string{filepath.Join(volume, "none")}
	a := new(System).Write(t.Context(), it)
	wantSeen(t, a, "write-failed "+it.Plan.Write.Volumes[0])
	if f := a.Findings[0]; !strings.Contains(f.Detail, "create a file: no such file") || !strings.Contains(f.Remedy, "make the folder") {
		t.Errorf("%+v", f)
	}
	it.Plan.Write.UID = os.Getuid() + 1
	wantSeen(t, new(System).Write(t.Context(), it), fmt.Sprintf("write-uid uid %d", os.Getuid()+1))
}

func TestWriteRemedies(t *testing.T) {
	for errno, want := range map[syscall.Errno]string{
		syscall.EROFS: "remount,rw", syscall.ENOSPC: "full", syscall.EACCES: "chown", syscall.ENOENT: "folder", syscall.EDQUOT: "quota",
	} {
		if got := writeRemedy(&os.PathError{Op: "open", Path: "/v/x", Err: errno}, "/v", 65532); !strings.Contains(got, want) {
			t.Errorf("%v: %q", errno, got)
		}
	}
}

func TestNode(t *testing.T) {
	wantSeen(t, worker(t, nil).Node(t.Context(), task()))
	bad := worker(t, nil)
	bad.Kernel = func() (string, error) { return "4.9.0", nil }
	bad.ReadFile = func(path string) ([]byte, error) {
		if path == "/proc/cgroups" {
			return nil, nil
		}
		return nil, os.ErrNotExist
	}
	bad.Clock = func() (Clock, error) { return Clock{}, nil }
	bad.OpenFiles = func() (uint64, error) { return 1024, nil }
	wantSeen(t, bad.Node(t.Context(), task()), "node-kernel kernel", "node-cgroup cgroup", "node-clock clock", "node-files open files")
	for release, want := range map[string][2]int{"5.14.0-427.el9": {5, 14}, "6.1-rc3": {6, 1}, "10.0": {10, 0}} {
		if got, ok := version(release); !ok || got != want {
			t.Errorf("%s: %v", release, got)
		}
	}
	if _, ok := version("linux"); ok {
		t.Error("it has no version")
	}
}

func TestThisMachineAnswers(t *testing.T) {
	s := Host("/")
	if _, err := s.Kernel(); err != nil {
		t.Error(err)
	}
	if u, err := s.Statfs("/"); err != nil || u.Total == 0 || u.Free > u.Total {
		t.Errorf("%+v, %v", u, err)
	}
	if n, err := s.OpenFiles(); err != nil || n == 0 {
		t.Errorf("%d, %v", n, err)
	}
	if _, err := s.Clock(); err != nil {
		t.Error(err)
	}
}
