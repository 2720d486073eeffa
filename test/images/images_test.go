// Package images builds the images of deploy/docker/Dockerfile with buildah and runs them as a cluster does:
// under their own user, without privileges, on a root that cannot be written. It needs no registry: the bases are
// stand-ins under the names of the official ones, which hold the machine's own Go, and nothing.
package images

import (
	"encoding/json"
	"io/fs"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/seckill-go/seckill/internal/testservers"
)

const (
	version  = "v0.0.0-images"
	registry = "registry.example.com"
	// adminPassword has what has to be quoted in JSON, in a shell and in curl's configuration.
	adminPassword = `an "admin's" \ password`
)

// names are the images, each with the port that it is reached by.
var names = map[string]string{"api": "8888/tcp", "user": "9001/tcp", "product": "9002/tcp", "order": "9003/tcp", "seckill": "8888/tcp"}

func TestMain(m *testing.M) {
	code := m.Run()
	testservers.StopNacos()
	testservers.StopZipkin()
	testservers.StopKafka()
	testservers.StopMariaDB()
	os.Exit(code)
}

func TestImages(t *testing.T) {
	needTools(t)
	b := newBuilder(t)
	commit := strings.TrimSpace(output(t, exec.CommandContext(t.Context(), "git", "-C", root, "rev-parse", "HEAD")))
	b.build(t, version, commit)

	images := map[string]*image{}
	for name := range names {
		images[name] = b.mount(t, name)
	}
	t.Run("Labels", func(t *testing.T) {
		for name, i := range images {
			checkConfig(t, name, i.Config, version, commit)
		}
		// Of a later commit, with the layers of the one before at hand.
		later := strings.Repeat("0123456789", 4)
		b.build(t, "v0.0.1-images", later, "api")
		checkConfig(t, "api", b.inspect(t, reference("api", "v0.0.1-images")).Config, "v0.0.1-images", later)
	})
	t.Run("Files", func(t *testing.T) {
		for name, i := range images {
			checkFiles(t, name, i.root)
		}
	})
	t.Run("Walls", func(t *testing.T) { checkWalls(t, images["seckill"]) })
	t.Run("Purchase", func(t *testing.T) { buy(t, images) })
}

// reference is an image's name in the store.
func reference(name, version string) string { return registry + "/seckill/" + name + ":" + version }

func checkConfig(t *testing.T, name string, c config, version, commit string) {
	t.Helper()
	for label, want := range map[string]string{
		"version": version, "revision": commit, "source": "https://github.com/seckill-go/seckill", "licenses": "Apache-2.0",
	} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			t.Errorf("%s: the label %s is %q, not %q", name, label, got, want)
		}
	}
	for _, label := range []string{"title", "description"} {
		if c.Labels["org.opencontainers.image."+label] == "" {
			t.Errorf("%s: no label %s", name, label)
		}
	}
	if c.User != "65532:65532" {
		t.Errorf("%s: runs as %q", name, c.User)
	}
	if !slices.Equal(c.Entrypoint, []string{"/" + name}) {
		t.Errorf("%s: the entrypoint is %q", name, c.Entrypoint)
	}
	if _, ok := c.ExposedPorts[names[name]]; !ok {
		t.Errorf("%s: exposes %v, not %s", name, c.ExposedPorts, names[name])
	}
}

// checkFiles looks at what the Dockerfile put into an image: the program and its configuration, nothing that
// another user can change, nothing that runs as somebody else.
func checkFiles(t *testing.T, name, dir string) {
	t.Helper()
	ours := map[string]bool{"/" + name: true, "/etc/seckill/" + name + ".yaml": true, "/data": true}
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		inside := strings.TrimPrefix(path, dir)
		if !d.IsDir() && !ours[inside] && inside != "/etc/passwd" {
			t.Errorf("%s holds %s", name, inside)
		}
		if info.Mode()&(fs.ModeSetuid|fs.ModeSetgid) != 0 {
			t.Errorf("%s: %s runs as its owner", name, inside)
		}
		if inside != "/data" && inside != "/tmp" && info.Mode()&fs.ModeSymlink == 0 {
			if stat, ok := info.Sys().(*syscall.Stat_t); !ok || stat.Uid != 0 || info.Mode().Perm()&0o022 != 0 {
				t.Errorf("%s: %s is of user %d with mode %v", name, inside, stat.Uid, info.Mode())
			}
		}
		return nil
	})
	if err != nil {
		t.Error(err)
	}
}

// checkWalls: the all-in-one, whose data folder is its only place to write to, cannot start without a volume
// there, and says its version and commit.
func checkWalls(t *testing.T, i *image) {
	t.Helper()
	said, code := i.run(t, nil, "version")
	if code != 0 || !strings.Contains(said, version) || !strings.Contains(said, i.Config.Labels["org.opencontainers.image.revision"][:12]) {
		t.Errorf("version: exit code %d: %s", code, said)
	}
	said, code = i.run(t, nil, "up", "--addr", testservers.FreeAddr(t), "--data", "/data")
	if code == 0 || !strings.Contains(said, "read-only file system") {
		t.Errorf("up on a read-only root without a volume: exit code %d: %s", code, said)
	}
}

// buy starts every service from its image on real servers, buys one unit with the tools of the image and one by
// deploy/ci/smoke.sh, and ends the services in order.
func buy(t *testing.T, images map[string]*image) {
	redis := testservers.Redis(t, "--appendonly", "yes", "--appendfsync", "everysec", "--repl-backlog-ttl", "0")
	kafka := strings.Join(testservers.Kafka(t), ",")
	nacos, zipkin := testservers.Nacos(t), testservers.Zipkin(t)
	env := []string{
		"SECKILL_MYSQL_DSN=" + testservers.MariaDB(t), "SECKILL_ADMIN_PASSWORD=" + adminPassword,
		"SECKILL_JWT_SECRET=a secret of access tokens for tests of images",
		"SECKILL_WEBHOOK_SECRET=a secret of the payment provider for tests of images",
	}
	for _, name := range []string{"user", "product", "order"} {
		if said, code := images[name].run(t, env, append(images[name].Config.Cmd, "-migrate", "-set", "Registry.Servers=[]")...); code != 0 {
			t.Fatalf("%s -migrate: exit code %d: %s", name, code, said)
		}
	}

	gateway := testservers.FreeAddr(t)
	_, port, _ := strings.Cut(gateway, ":")
	started := map[string]*container{}
	for _, service := range []string{"user", "product", "order-rpc", "order-relay", "order-writer", "order-expirer", "api"} {
		name, role, _ := strings.Cut(service, "-")
		admin := testservers.FreeAddr(t)
		settings := []string{
			"Admin.Listen=" + admin, "Registry.Servers=[" + nacos.Addr() + "]", "Registry.Group=images",
			"LogShip.Brokers=[" + kafka + "]", "LogShip.Topic=logs-of-images", "Tracing.Endpoint=" + zipkin + "/api/v2/spans",
		}
		switch name {
		case "api":
			settings = append(settings, "Host=127.0.0.1", "Port="+port)
		case "order":
			settings = append(settings, "Roles=["+role+"]", "Stock.Addr="+redis.Addr, "Kafka.Brokers=["+kafka+"]",
				"Kafka.Topic=orders-of-images", "Kafka.Group=orders-of-images-writer",
				"Payment.SandboxWebhook=http://"+gateway+"/api/v1/payments/webhook")
			fallthrough
		default:
			settings = append(settings, "ListenOn="+testservers.FreeAddr(t))
		}
		args := slices.Clone(images[name].Config.Cmd)
		for _, s := range settings {
			args = append(args, "-set", s)
		}
		started[service] = images[name].start(t, service, admin, env, args...)
	}
	for service, c := range started {
		c.awaitReady(t)
		c.checkConfined(t, service)
	}
	api := started["api"]
	if said, code := images["api"].run(t, env, append(api.args, "-healthcheck")...); code != 0 {
		t.Errorf("-healthcheck: exit code %d: %s", code, said)
	}

	// Without a data folder, so that it knows of no platform but this.
	said, code := images["seckill"].run(t, env, "load", "--addr", "http://"+gateway, "--stock", "1", "--buyers", "1", "--requests", "1",
		"--register", "--data", "/tmp/none", "-o", "json")
	if code != 0 || !strings.Contains(said, `"acceptedUnits": 1`) {
		t.Fatalf("the purchase: exit code %d: %s", code, said)
	}
	smoke(t, "http://"+gateway, filepath.Join(images["seckill"].root, "seckill"))

	for _, c := range started {
		c.signal(t, syscall.SIGTERM)
	}
	for service, c := range started {
		if code := c.wait(t); code != 0 {
			t.Errorf("%s ended with %d:\n%s", service, code, c.tail())
		}
	}
}

// smoke runs the pipeline's own purchase and looks whether its sale is over.
func smoke(t *testing.T, url, program string) {
	t.Helper()
	dir := t.TempDir()
	// A tree with one environment: the script takes the namespace from there, and nothing else.
	overlay := filepath.Join(dir, "deploy/k8s/overlays/dev/release")
	err := os.MkdirAll(overlay, 0o700)
	if err == nil {
		err = os.WriteFile(filepath.Join(overlay, "kustomization.yaml"), []byte("namespace: seckill-dev\n"), 0o600)
	}
	if err == nil {
		err = os.CopyFS(filepath.Join(dir, "deploy/ci"), os.DirFS(filepath.Join(root, "deploy/ci")))
	}
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), filepath.Join(dir, "deploy/ci/smoke.sh"), "dev")
	cmd.Env = append(os.Environ(), "SECKILL_URL="+url, "SECKILL_BIN="+program, "SECKILL_ADMIN_PASSWORD="+adminPassword)
	said := output(t, cmd)
	m := regexp.MustCompile(`one unit of sale (\d+) was bought`).FindStringSubmatch(said)
	if m == nil {
		t.Fatalf("smoke.sh: %s", said)
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url+"/api/v1/sales/"+m[1], nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	var sale struct{ State string }
	if err := json.NewDecoder(resp.Body).Decode(&sale); err != nil || sale.State != "ended" {
		t.Errorf("the sale of smoke.sh is %q: %v", sale.State, err)
	}
}
