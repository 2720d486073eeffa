package kube

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	corev1 "k8s.io/api/core/v1"
)

// programs builds the services, with nothing but their own checks in mind.
func programs(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	build := exec.CommandContext(t.Context(), "go", "build", "-tags", "no_k8s", "-ldflags=-w", "-o", dir+"/", "./api", "./rpc/user", "./rpc/product", "./rpc/order")
	build.Dir = root
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	return dir
}

// authority is a certificate as a server-ca would have it.
func authority(t *testing.T) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
}

// started is how a container's program would be started: its arguments and its environment, with secrets
// made up and the folders that are mounted at /etc below dir.
func started(t *testing.T, dir string, p pod, c corev1.Container, built []Object) (args, env []string) {
	t.Helper()
	maps := map[string]map[string]string{"server-ca": {"ca.crt": string(authority(t))}}
	for _, m := range of[*corev1.ConfigMap](built) {
		maps[m.Name] = m.Data
	}
	known := map[string]string{}
	for _, from := range c.EnvFrom {
		for key, value := range maps[from.ConfigMapRef.Name] {
			known[key] = value
		}
	}
	expand := func(text string) string {
		return reference.ReplaceAllStringFunc(text, func(r string) string { return known[r[2:len(r)-1]] })
	}
	for _, e := range c.Env {
		switch {
		case e.ValueFrom == nil:
			known[e.Name] = expand(e.Value)
		case e.ValueFrom.SecretKeyRef != nil:
			known[e.Name] = strings.Repeat("s", 40)
		case e.ValueFrom.FieldRef != nil:
			known[e.Name] = "10.1.2.3"
		default:
			known[e.Name] = "268435456"
		}
	}
	for key, value := range known {
		env = append(env, key+"="+value)
	}
	for _, mount := range c.VolumeMounts {
		for _, v := range p.template.Spec.Volumes {
			if v.Name != mount.Name || v.ConfigMap == nil {
				continue
			}
			for name, content := range maps[v.ConfigMap.Name] {
				path := filepath.Join(dir, mount.MountPath, name)
				if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
					t.Fatal(err)
				}
				if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	for _, arg := range c.Args {
		args = append(args, strings.ReplaceAll(expand(arg), "/etc/", dir+"/etc/"))
	}
	return args, env
}

// TestProgramsTakeTheirArguments starts every program as its pod would, but for -check: files, settings and
// environment are read by the same code, which refuses keys that it does not know.
func TestProgramsTakeTheirArguments(t *testing.T) {
	bin := programs(t)
	for _, overlay := range []string{"dev", "prod", "dev/migrate", "prod/migrate"} {
		built := load(t, overlay)
		for _, p := range pods(built) {
			if p.server {
				continue
			}
			for _, c := range p.template.Spec.Containers {
				t.Run(fmt.Sprintf("%s/%s/%s", overlay, p.owner, c.Name), func(t *testing.T) {
					name := strings.TrimPrefix(c.Image[:strings.LastIndex(c.Image, ":")], Registry)
					dir := t.TempDir()
					args, env := started(t, dir, p, c, built)
					command := exec.CommandContext(t.Context(), filepath.Join(bin, name), append(args, "-check")...)
					command.Dir, command.Env = dir, env
					if out, err := command.CombinedOutput(); err != nil {
						t.Errorf("%q: %v\n%s", args, err, out)
					}
				})
			}
		}
	}
}

// TestYAMLIsTidy has yamllint read the manifests.
func TestYAMLIsTidy(t *testing.T) {
	path, err := exec.LookPath("yamllint")
	if err != nil {
		if os.Getenv("SECKILL_REQUIRE_DEPLOY_TOOLS") != "" {
			t.Fatal("yamllint is missing: scripts/deploy-tools")
		}
		t.Skip("yamllint is missing: scripts/deploy-tools")
	}
	dir := filepath.Join(root, "deploy/k8s")
	out, err := exec.CommandContext(t.Context(), path, "--strict", "-c", filepath.Join(dir, ".yamllint"), dir,
		filepath.Join(root, "deploy/docker/config"), filepath.Join(root, "deploy/monitoring/grafana"), filepath.Join(root, "scripts/kube-stages.yaml")).CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}
