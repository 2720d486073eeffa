package compose

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v4"
)

const root = "../.."

func load(t *testing.T, root string) *File {
	t.Helper()
	f, err := Load(t.Context(), root, nil)
	if err != nil {
		t.Fatal(err)
	}
	return f
}

func TestFileKeepsTheRules(t *testing.T) {
	for _, w := range load(t, root).Check() {
		t.Error(w)
	}
}

// TestBrokenFilesAreFound breaks one thing at a time in the real file.
func TestBrokenFilesAreFound(t *testing.T) {
	compose := read(t, filepath.Join(root, "docker-compose.yml"))
	dockerfile := read(t, filepath.Join(root, "deploy/docker/Dockerfile"))
	for name, c := range map[string]struct {
		file     string // docker-compose.yml without it
		old, new string
		want     string
	}{
		"unknown key":          {old: "    restart: unless-stopped\n", new: "    restrat: unless-stopped\n", want: "restrat"},
		"unknown network":      {old: "networks: [backend, edge]", new: "networks: [backend, egde]", want: "egde"},
		"unknown dependency":   {old: "    kafka: {condition: service_healthy}", new: "    kafak: {condition: service_healthy}", want: "kafak"},
		"latest":               {old: "openzipkin/zipkin:3.5.1", new: "openzipkin/zipkin:latest", want: "zipkin: the image openzipkin/zipkin:latest is not pinned"},
		"latest with a digest": {old: "redis:7.4.7-alpine@", new: "redis:latest@", want: "redis: the image redis:latest@"},
		"no tag":               {old: "openzipkin/zipkin:3.5.1", new: "localhost:5000/zipkin", want: "zipkin: the image localhost:5000/zipkin is not pinned"},
		"floating minor":       {old: "openzipkin/zipkin:3.5.1", new: "openzipkin/zipkin:3.5", want: "zipkin: the image openzipkin/zipkin:3.5 is not pinned"},
		"half a digest":        {old: "redis:7.4.7-alpine@sha256:02", new: "redis:7.4.7-alpine@sha256:", want: "redis: the digest"},
		"unknown target":       {old: "build: {<<: *build, target: api}", new: "build: {<<: *build, target: apo}", want: `api: deploy/docker/Dockerfile has no target "apo"`},
		"floating base":        {file: "deploy/docker/Dockerfile", old: "FROM golang:1.26.8-bookworm@", new: "FROM golang:1@sha256:00 AS x\nFROM golang:1.26.8-bookworm@", want: "user: the Dockerfile cannot be read"},
		"base without digest": {file: "deploy/docker/Dockerfile", old: "FROM base AS api", new: "FROM debian:12.12.0-slim AS api",
			want: "api: the Dockerfile cannot be read: the base debian:12.12.0-slim has no digest"},
		"no health check":   {old: "    healthcheck:\n      <<: *healthcheck\n      test: [CMD, docker-healthcheck]\n", new: "", want: "zipkin: has no health check"},
		"health check off":  {old: "test: [CMD, docker-healthcheck]", new: "disable: true", want: "zipkin: has no health check"},
		"health check none": {old: "test: [CMD, docker-healthcheck]", new: "test: [NONE]", want: "zipkin: has no health check"},
		"killed while it drains": {old: "  stop_grace_period: 45s\n  networks: [backend]", new: "  stop_grace_period: 25s\n  networks: [backend]",
			want: "order-relay: stop_grace_period is less than 40s"},
		"default grace period": {old: "  stop_grace_period: 45s\n  networks: [backend]", new: "  networks: [backend]", want: "api: stop_grace_period is less than 40s"},
		"stays dead":           {old: "x-service: &service\n  restart: unless-stopped", new: "x-service: &service\n  restart: \"no\"", want: "api: is not restarted"},
		"job for nobody":       {old: "      user-migrate: {condition: service_completed_successfully}\n", new: "", want: "user-migrate: has no health check"},
		"does not wait for the job": {old: "      user-migrate: {condition: service_completed_successfully}", new: "      user-migrate: {condition: service_started}",
			want: "user: waits for user-migrate with service_started"},
		"does not wait for health": {old: "    kafka: {condition: service_healthy}", new: "    kafka: {condition: service_started}", want: "order-rpc: waits for kafka with service_started"},
		"port for everybody":       {old: `"127.0.0.1:9411:9411"`, new: `"9411:9411"`, want: "zipkin: port 9411 is published on"},
		"port on another address":  {old: `"127.0.0.1:9411:9411"`, new: `"0.0.0.0:9411:9411"`, want: `zipkin: port 9411 is published on "0.0.0.0"`},
		"host network":             {old: "    networks: [backend, edge]\n    ports: [\"127.0.0.1:9411:9411\"]", new: "    network_mode: host", want: "zipkin: is on no network"},
		"open for nothing":         {old: "    networks: [backend, edge]\n    ports: [\"127.0.0.1:9411:9411\"]", new: "    networks: [edge]", want: "zipkin: publishes nothing and is on the open network edge"},
		"privileged":               {old: "    tmpfs: [\"/tmp:exec\"]", new: "    tmpfs: [\"/tmp:exec\"]\n    privileged: true", want: "zipkin: keeps capabilities"},
		"capabilities":             {old: "  cap_drop: [ALL]\n  read_only: true\n  # Nacos'", new: "  read_only: true\n  # Nacos'", want: "api: keeps capabilities"},
		"privileges":               {old: "  security_opt: [no-new-privileges:true]\n  cap_drop: [ALL]\n  read_only: true\n  # Nacos'", new: "  cap_drop: [ALL]\n  # Nacos'", want: "api: lacks no-new-privileges"},
		"writable":                 {old: "  read_only: true\n  # Nacos'", new: "  # Nacos'", want: "api: the root file system is writable"},
		"password literal":         {old: "SECKILL_ADMIN_PASSWORD: ${SECKILL_ADMIN_PASSWORD:-dev-only-admin}", new: "SECKILL_ADMIN_PASSWORD: hunter2", want: "user: SECKILL_ADMIN_PASSWORD holds a literal"},
		"default without mark":     {old: "${SECKILL_GRAFANA_PASSWORD:-dev-only-grafana}", new: "${SECKILL_GRAFANA_PASSWORD:-admin}", want: "grafana: the default of SECKILL_GRAFANA_PASSWORD is not marked"},
		"mark outside":             {old: "${SECKILL_GRAFANA_PASSWORD:-dev-only-grafana}", new: "x${SECKILL_GRAFANA_PASSWORD}", want: "grafana: GF_SECURITY_ADMIN_PASSWORD holds a literal"},
		"base64 without mark":      {old: "ZGV2LW9ubHkt", new: "aGV2LW9ubHkt", want: "nacos: the default of SECKILL_NACOS_TOKEN is not marked"},
		"password in a DSN":        {old: "seckill:${SECKILL_MYSQL_PASSWORD:-dev-only-mysql}@", new: "seckill:hunter2@", want: "product: SECKILL_MYSQL_DSN holds a literal"},
		"password as an argument":  {old: "      - --requirepass\n      - ${SECKILL_REDIS_PASSWORD:-dev-only-redis}", new: "      - --requirepass\n      - hunter2", want: "redis: the argument --requirepass has a literal"},
		"mounted file not there":   {old: "./deploy/docker/config/api.yaml:", new: "./deploy/docker/config/apo.yaml:", want: "api: mounts deploy/docker/config/apo.yaml, which is not there"},
		"mounted writable":         {old: "/etc/seckill/api.yaml:ro", new: "/etc/seckill/api.yaml", want: "api: mounts deploy/docker/config/api.yaml writable"},
		"mounted from elsewhere":   {old: "./deploy/docker/config/api.yaml:", new: "/etc/passwd:", want: "api: mounts /etc/passwd, which is outside"},
	} {
		t.Run(name, func(t *testing.T) {
			files := map[string]string{"docker-compose.yml": compose, "deploy/docker/Dockerfile": dockerfile}
			if c.file == "" {
				c.file = "docker-compose.yml"
			}
			if !strings.Contains(files[c.file], c.old) {
				t.Fatalf("%s no longer holds %q", c.file, c.old)
			}
			files[c.file] = strings.Replace(files[c.file], c.old, c.new, 1)
			dir := t.TempDir()
			for _, mounted := range []string{"deploy/docker/config", "deploy/monitoring"} {
				if err := os.CopyFS(filepath.Join(dir, mounted), os.DirFS(filepath.Join(root, mounted))); err != nil {
					t.Fatal(err)
				}
			}
			for path, content := range files {
				if err := os.WriteFile(filepath.Join(dir, path), []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			f, err := Load(t.Context(), dir, nil)
			if err != nil {
				if !strings.Contains(err.Error(), c.want) {
					t.Fatalf("refused with %v, want %q", err, c.want)
				}
				return
			}
			wrong := f.Check()
			if !slices.ContainsFunc(wrong, func(w string) bool { return strings.HasPrefix(w, c.want) }) {
				t.Fatalf("found %q, want %q", wrong, c.want)
			}
		})
	}
}

// TestEnvExampleNamesEveryVariable keeps deploy/docker/env.example in step with the file.
func TestEnvExampleNamesEveryVariable(t *testing.T) {
	want, err := load(t, root).Variables()
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, m := range regexp.MustCompile(`(?m)^(\w+)=`).FindAllStringSubmatch(read(t, filepath.Join(root, "deploy/docker/env.example")), -1) {
		got = append(got, m[1])
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		t.Errorf("env.example names %q\nthe file takes    %q", got, want)
	}
}

// TestValuesFromOutsideArrive sets one variable and looks at every place that has to follow.
func TestValuesFromOutsideArrive(t *testing.T) {
	f, err := Load(t.Context(), root, map[string]string{"SECKILL_MYSQL_PASSWORD": "from-outside", "SECKILL_VERSION": "v1.2.3"})
	if err != nil {
		t.Fatal(err)
	}
	if got := *f.Project.Services["mysql"].Environment["MYSQL_PASSWORD"]; got != "from-outside" {
		t.Errorf("mysql has %q", got)
	}
	for _, name := range []string{"user", "product", "order-rpc", "order-expirer", "order-migrate"} {
		s := f.Project.Services[name]
		if got := *s.Environment["SECKILL_MYSQL_DSN"]; got != "seckill:from-outside@tcp(mysql:3306)/seckill" {
			t.Errorf("%s has %q", name, got)
		}
		if !strings.HasSuffix(s.Image, ":v1.2.3") || *s.Build.Args["VERSION"] != "v1.2.3" {
			t.Errorf("%s is built as %s from %v", name, s.Image, *s.Build.Args["VERSION"])
		}
	}
}

// TestPrometheusScrapesEveryProcess compares its targets with the services, in both directions.
func TestPrometheusScrapesEveryProcess(t *testing.T) {
	var config struct {
		ScrapeConfigs []struct {
			DNS []struct {
				Names []string `yaml:"names"`
				Port  int      `yaml:"port"`
			} `yaml:"dns_sd_configs"`
			Static []struct {
				Targets []string `yaml:"targets"`
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	if err := yaml.Unmarshal([]byte(read(t, filepath.Join(root, "deploy/monitoring/prometheus/prometheus.yml"))), &config); err != nil {
		t.Fatal(err)
	}
	services := load(t, root).Project.Services
	scraped := map[string]bool{}
	for _, c := range config.ScrapeConfigs {
		for _, d := range c.DNS {
			for _, name := range d.Names {
				scraped[name] = true
			}
		}
		for _, s := range c.Static {
			for _, target := range s.Targets {
				host, _, _ := strings.Cut(target, ":")
				scraped[host] = true
			}
		}
	}
	for name := range scraped {
		if _, there := services[name]; !there && name != "127.0.0.1" {
			t.Errorf("Prometheus scrapes %s, which is no service", name)
		}
	}
	for name, s := range services {
		if s.Build != nil && s.Restart != "no" && !scraped[name] {
			t.Errorf("Prometheus does not scrape %s", name)
		}
	}
}

// TestPrometheusConfig asks Prometheus' own checker.
func TestPrometheusConfig(t *testing.T) {
	if out, err := promtool(t, "check", "config", filepath.Join(root, "deploy/monitoring/prometheus/prometheus.yml")); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
}

// TestServicesTakeTheirConfiguration runs each service of the platform as the file does, with the same
// arguments and environment, but for -check.
func TestServicesTakeTheirConfiguration(t *testing.T) {
	bin := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "no_k8s", "-ldflags=-w", "-o", bin+"/", "./api", "./rpc/...")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for name, s := range load(t, root).Project.Services {
		if s.Build == nil {
			continue
		}
		t.Run(name, func(t *testing.T) {
			mounted := map[string]string{}
			for _, v := range s.Volumes {
				mounted[v.Target] = v.Source
			}
			var args []string
			for _, arg := range s.Command {
				if source, ok := mounted[arg]; ok {
					arg = source
				}
				if arg != "-migrate" {
					args = append(args, arg)
				}
			}
			cmd := exec.CommandContext(t.Context(), filepath.Join(bin, s.Build.Target), append(args, "-check")...)
			cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=/nowhere"}
			for key, value := range s.Environment {
				cmd.Env = append(cmd.Env, key+"="+*value)
			}
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Fatalf("%q: %v\n%s", args, err, out)
			}
		})
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	content, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
