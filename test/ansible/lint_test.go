package ansible

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

const tree = "../../deploy/ansible"

// tool runs a program in deploy/ansible, which must have nothing to say against it.
func tool(t *testing.T, name string, arguments ...string) {
	t.Helper()
	need(t)
	cmd := exec.CommandContext(t.Context(), name, arguments...)
	cmd.Dir = tree
	cmd.Env = []string{path, "LC_ALL=C.UTF-8", "HOME=" + t.TempDir(), "NO_COLOR=1"}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%s: %v\n%s", name, err, tail(string(out)))
	}
}

func TestLint(t *testing.T) {
	t.Parallel()
	tool(t, "ansible-lint", "--offline", "--profile", "production", "--strict")
	tool(t, "yamllint", "--strict", ".")
}

// TestInventories takes the shipped inventories as they are, with a vault of no secrets.
func TestInventories(t *testing.T) {
	t.Parallel()
	for _, name := range []string{"dev", "prod"} {
		for _, playbook := range []string{"site", "rollback"} {
			tool(t, "ansible-playbook", "-i", "inventories/"+name, "--syntax-check", "playbooks/"+playbook+".yml")
		}
	}
}

// TestRolesAreDocumented demands of every role what its user needs.
func TestRolesAreDocumented(t *testing.T) {
	t.Parallel()
	roles, err := filepath.Glob(tree + "/roles/*")
	if err != nil || len(roles) == 0 {
		t.Fatal(len(roles), err)
	}
	for _, role := range roles {
		for _, file := range []string{"README.md", "meta/argument_specs.yml", "meta/main.yml"} {
			if _, err := os.Stat(filepath.Join(role, file)); err != nil {
				t.Error(err)
			}
		}
	}
}
