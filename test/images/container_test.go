package images

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

const root = "../.."

// The time that building from nothing, getting ready and ending in order may take on a busy machine.
const (
	readyLimit = 2 * time.Minute
	stopLimit  = 40 * time.Second
)

// needTools skips the test where it cannot be run, unless it must be.
func needTools(t *testing.T) {
	t.Helper()
	missing := ""
	for _, program := range []string{"buildah", "busybox", "unshare", "setpriv", "curl"} {
		if _, err := exec.LookPath(program); err != nil {
			missing = program
		}
	}
	if os.Getuid() != 0 {
		missing = "root, for mounts"
	}
	switch {
	case missing == "":
	case os.Getenv("SECKILL_REQUIRE_DELIVERY_TOOLS") != "":
		t.Fatalf("missing: %s (scripts/delivery-tools)", missing)
	default:
		t.Skipf("missing: %s (scripts/delivery-tools)", missing)
	}
}

// output runs a command that must succeed.
func output(t *testing.T, cmd *exec.Cmd) string {
	t.Helper()
	var stdout, both bytes.Buffer
	cmd.Stdout, cmd.Stderr = &tee{&stdout, &both}, &both
	if err := cmd.Run(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, both.String())
	}
	return stdout.String()
}

type tee struct{ a, b *bytes.Buffer }

// Write implements io.Writer.
func (w *tee) Write(p []byte) (int, error) {
	w.b.Write(p)
	return w.a.Write(p)
}

// builder is buildah with a store of its own, which is gone when the test ends: images are copied for each
// layer, so that it grows by the half of a gigabyte a run. What Go has compiled stays below .cache.
type builder struct{ env []string }

var from = regexp.MustCompile(`(?m)^FROM (\S+@sha256:\S+) AS (\S+)$`)

// newBuilder makes the stand-ins for the bases.
func newBuilder(t *testing.T) *builder {
	t.Helper()
	dir := t.TempDir()
	// Here buildah has its folders for --mount=type=cache.
	kept, err := filepath.Abs(filepath.Join(root, ".cache/images"))
	if err == nil {
		err = os.MkdirAll(kept, 0o700)
	}
	if err == nil {
		err = os.WriteFile(filepath.Join(dir, "storage.conf"), fmt.Appendf(nil,
			"[storage]\ndriver = \"vfs\"\ngraphroot = %q\nrunroot = %q\n", dir+"/storage", dir+"/run"), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	b := &builder{env: append(os.Environ(),
		"CONTAINERS_STORAGE_CONF="+dir+"/storage.conf", "BUILDAH_ISOLATION=chroot", "TMPDIR="+kept)}

	busybox, err := exec.LookPath("busybox")
	if err != nil {
		t.Fatal(err)
	}
	context := t.TempDir()
	for _, d := range []string{"go/bin", "go/usr/local/go", "go/modules", "go/tmp", "run/etc", "run/proc", "run/tmp"} {
		if err := os.MkdirAll(filepath.Join(context, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	program, err := os.ReadFile(busybox)
	for file, content := range map[string]string{
		"go/bin/busybox": string(program),
		"go.Dockerfile": "FROM scratch\nCOPY go /\n" +
			"ENV PATH=/usr/local/go/bin:/bin HOME=/root GOPATH=/go GOTOOLCHAIN=local GOPROXY=file:///modules GOFLAGS= GOWORK=off\n",
		"run/etc/passwd": "root:x:0:0:root:/root:/sbin/nologin\nnonroot:x:65532:65532:nonroot:/home/nonroot:/sbin/nologin\n",
		"run.Dockerfile": "FROM scratch\nCOPY run /\nUSER 65532\n",
	} {
		if err == nil {
			err = os.WriteFile(filepath.Join(context, file), []byte(content), 0o644)
		}
	}
	if err == nil {
		err = os.Chmod(filepath.Join(context, "go/bin/busybox"), 0o755)
	}
	for _, name := range []string{"sh", "mkdir"} {
		if err == nil {
			err = os.Symlink("busybox", filepath.Join(context, "go/bin", name))
		}
	}
	// Layers are told apart by their files' times as well.
	for _, file := range []string{"go", "go/bin", "go/bin/busybox", "go/usr", "go/usr/local", "go/usr/local/go", "go/modules", "go/tmp", "run", "run/etc", "run/etc/passwd", "run/proc", "run/tmp"} {
		if err == nil {
			err = os.Chtimes(filepath.Join(context, file), time.Unix(0, 0), time.Unix(0, 0))
		}
	}
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"go", "run"} {
		b.buildah(t, "build", "--quiet", "--layers", "--pull-never", "--tag", "localhost/stand-in-"+name,
			"--file", filepath.Join(context, name+".Dockerfile"), context)
	}
	return b
}

// buildah runs a command of it that must succeed.
func (b *builder) buildah(t *testing.T, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "buildah", args...)
	cmd.Env = b.env
	return strings.TrimSpace(output(t, cmd))
}

// build makes the images of a version, all or those named, by the pipeline's own script. The machine's Go and its
// modules are mounted: as files of the stand-in they would be copied for each layer.
func (b *builder) build(t *testing.T, version, commit string, names ...string) {
	t.Helper()
	began := time.Now()
	goenv := strings.Split(output(t, exec.CommandContext(t.Context(), "go", "env", "GOROOT", "GOMODCACHE")), "\n")
	download := exec.CommandContext(t.Context(), "go", "mod", "download")
	download.Dir = root
	output(t, download)

	dockerfile, err := os.ReadFile(filepath.Join(root, "deploy/docker/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	bases := from.FindAllStringSubmatch(string(dockerfile), -1)
	if len(bases) != 2 {
		t.Fatalf("the Dockerfile has %d bases with a digest", len(bases))
	}
	args := []string{
		"--layers", "--pull-never", "--volume", goenv[0] + ":/usr/local/go:ro",
		"--volume", filepath.Join(goenv[1], "cache/download") + ":/modules:ro",
	}
	for i, standIn := range []string{"go", "run"} {
		args = append(args, "--build-context", bases[i][1]+"=container-image://localhost/stand-in-"+standIn)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(root, "deploy/ci/images.sh"), append([]string{version}, names...)...)
	cmd.Env = append(b.env, "BUILDER=buildah", "REGISTRY="+registry, "COMMIT="+commit, "BUILD_ARGS="+strings.Join(args, " "))
	output(t, cmd)
	t.Logf("%s built after %s", version, time.Since(began).Round(time.Second))
}

// config is what an image says about itself.
type config struct {
	User         string
	Entrypoint   []string
	Cmd          []string
	Env          []string
	Labels       map[string]string
	ExposedPorts map[string]struct{}
}

// image is one whose files are there to be run.
type image struct {
	Config config `json:"config"`
	root   string
}

// inspect reads what an image says about itself.
func (b *builder) inspect(t *testing.T, ref string) *image {
	t.Helper()
	var inspected struct{ OCIv1 image }
	if err := json.Unmarshal([]byte(b.buildah(t, "inspect", "--type", "image", ref)), &inspected); err != nil {
		t.Fatal(err)
	}
	return &inspected.OCIv1
}

// mount makes a container's files of an image, until the test ends.
func (b *builder) mount(t *testing.T, name string) *image {
	t.Helper()
	ref := reference(name, version)
	i := b.inspect(t, ref)
	id := b.buildah(t, "from", "--pull-never", ref)
	t.Cleanup(func() {
		cmd := exec.Command("buildah", "rm", id)
		cmd.Env = b.env
		if out, err := cmd.CombinedOutput(); err != nil {
			t.Errorf("buildah rm: %v\n%s", err, out)
		}
	})
	i.root = b.buildah(t, "mount", id)
	return i
}

// confine enters an image as a cluster does: the root read-only, /tmp in memory, the image's user, and nothing
// that a program could become more by.
const confine = `set -e
root=$1 user=$2
shift 2
mount --bind "$root" "$root"
mount -t proc proc "$root/proc"
mount -t tmpfs -o size=16m,mode=1777 tmpfs "$root/tmp"
mount -o remount,bind,ro "$root"
exec setpriv --no-new-privs chroot --userspec="$user" --groups= "$root" "$@"`

// command is the image's program with other arguments, in namespaces of its own but for the network.
func (i *image) command(env []string, args ...string) *exec.Cmd {
	outer := []string{
		"--mount", "--pid", "--fork", "--kill-child", "--ipc", "--uts", "--",
		"sh", "-c", confine, "confine", i.root, i.Config.User,
	}
	cmd := exec.Command("unshare", slices.Concat(outer, i.Config.Entrypoint, args)...)
	// The image's own, and nothing of this machine's; PATH is for the few programs before the image's.
	cmd.Env = slices.Concat([]string{"PATH=/usr/sbin:/usr/bin:/sbin:/bin"}, i.Config.Env, env)
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	return cmd
}

// run runs to the end, and returns what was printed and the exit code.
func (i *image) run(t *testing.T, env []string, args ...string) (string, int) {
	t.Helper()
	runtime.LockOSThread() // the kernel ends the child with the thread that started it
	defer runtime.UnlockOSThread()
	cmd := i.command(env, args...)
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(out), cmd.ProcessState.ExitCode()
}

// container is a service of an image.
type container struct {
	admin  string
	args   []string
	cmd    *exec.Cmd
	exited chan struct{}
	mu     sync.Mutex
	log    bytes.Buffer
}

// Write takes what the service prints.
func (c *container) Write(p []byte) (int, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.log.Write(p)
}

func (c *container) tail() string {
	c.mu.Lock()
	defer c.mu.Unlock()
	b := c.log.Bytes()
	return string(b[max(0, len(b)-3000):])
}

// start starts a service whose listener for operators is at admin; it is gone when the test ends.
func (i *image) start(t *testing.T, service, admin string, env []string, args ...string) *container {
	t.Helper()
	c := &container{admin: admin, args: args, cmd: i.command(env, args...), exited: make(chan struct{})}
	c.cmd.Stdout, c.cmd.Stderr = c, c
	started := make(chan error)
	go func() {
		runtime.LockOSThread() // as in run; ends with the goroutine
		err := c.cmd.Start()
		started <- err
		if err == nil {
			_ = c.cmd.Wait() // its exit code is asked for
			close(c.exited)
		}
	}()
	if err := <-started; err != nil {
		t.Fatalf("%s: %v", service, err)
	}
	t.Cleanup(func() {
		c.kill()
		<-c.exited
		if t.Failed() {
			t.Logf("the end of the log of %s:\n%s", service, c.tail())
		}
	})
	return c
}

// awaitReady waits until the service says that it is ready.
func (c *container) awaitReady(t *testing.T) {
	t.Helper()
	client := &http.Client{Timeout: 3 * time.Second}
	deadline := time.Now().Add(readyLimit)
	for {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+c.admin+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err == nil {
			_ = resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-c.exited:
			t.Fatalf("ended with %d:\n%s", c.cmd.ProcessState.ExitCode(), c.tail())
		case <-time.After(50 * time.Millisecond):
		}
		if time.Now().After(deadline) {
			t.Fatalf("not ready after %s: %v\n%s", readyLimit, err, c.tail())
		}
	}
}

// pid is the service's process, the one child of unshare.
func (c *container) pid(t *testing.T) string {
	t.Helper()
	pid := fmt.Sprint(c.cmd.Process.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(children))
}

// checkConfined asks the kernel who the process is and what its root is.
func (c *container) checkConfined(t *testing.T, service string) {
	t.Helper()
	dir := filepath.Join("/proc", c.pid(t))
	status, err := os.ReadFile(filepath.Join(dir, "status"))
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"Uid:\t65532\t65532\t65532\t65532", "Gid:\t65532\t65532\t65532\t65532", "Groups:\t",
		"CapPrm:\t0000000000000000", "CapEff:\t0000000000000000", "CapInh:\t0000000000000000", "NoNewPrivs:\t1",
	} {
		if !strings.Contains(string(status), "\n"+line) {
			t.Errorf("%s is not confined: no line %q in\n%s", service, line, status)
		}
	}
	mounts, err := os.ReadFile(filepath.Join(dir, "mountinfo"))
	if err != nil {
		t.Fatal(err)
	}
	if !regexp.MustCompile(`(?m)^\d+ \d+ \S+ \S+ / ro,`).Match(mounts) {
		t.Errorf("%s has a root that can be written:\n%s", service, mounts)
	}
}

// kill ends the service itself, and with it its namespace: that unshare takes it along is forgotten by the
// kernel when the process becomes another user's.
func (c *container) kill() {
	pid := fmt.Sprint(c.cmd.Process.Pid)
	children, err := os.ReadFile(filepath.Join("/proc", pid, "task", pid, "children"))
	var child int
	if _, scanErr := fmt.Sscan(string(children), &child); err == nil && scanErr == nil {
		_ = syscall.Kill(child, syscall.SIGKILL) // it may have ended
		return
	}
	_ = c.cmd.Process.Kill() // as above
}

// signal reaches the service itself.
func (c *container) signal(t *testing.T, s syscall.Signal) {
	t.Helper()
	var pid int
	if _, err := fmt.Sscan(c.pid(t), &pid); err != nil {
		t.Fatal(err)
	}
	if err := syscall.Kill(pid, s); err != nil {
		t.Fatal(err)
	}
}

// wait is the exit code of a service that was told to end.
func (c *container) wait(t *testing.T) int {
	t.Helper()
	select {
	case <-c.exited:
		return c.cmd.ProcessState.ExitCode()
	case <-time.After(stopLimit):
		t.Fatalf("does not end within %s:\n%s", stopLimit, c.tail())
		return -1
	}
}
