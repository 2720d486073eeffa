package compose

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"
)

// GracePeriod is the least that a container gets between SIGTERM and SIGKILL: more than the 30 s in
// which a service drains.
const GracePeriod = 40 * time.Second

// DevMarker begins every default of a secret, so that nobody takes one for a secret.
const DevMarker = "dev-only-"

// File is a compose file, read twice: as `docker compose` with these variables would see it, and as it
// is written, to tell a literal from a variable.
type File struct {
	Root    string // the folder of the compose file, absolute
	Project *types.Project
	Raw     *types.Project
}

// Load reads root/docker-compose.yml against the schema, so that a key which the specification does
// not know is an error, as is a name (of a network, a volume, a dependency) that nothing has.
func Load(ctx context.Context, root string, env map[string]string) (*File, error) {
	root, err := filepath.Abs(root)
	if err != nil {
		return nil, err
	}
	content, err := os.ReadFile(filepath.Join(root, "docker-compose.yml"))
	if err != nil {
		return nil, err
	}
	load := func(raw bool) (*types.Project, error) {
		return loader.LoadWithContext(ctx, types.ConfigDetails{
			WorkingDir:  root,
			ConfigFiles: []types.ConfigFile{{Filename: filepath.Join(root, "docker-compose.yml"), Content: content}},
			Environment: env,
		}, func(o *loader.Options) {
			o.SetProjectName("seckill", true)
			o.SkipInterpolation = raw
		})
	}
	f := &File{Root: root}
	if f.Project, err = load(false); err != nil {
		return nil, err
	}
	f.Raw, err = load(true)
	return f, err
}

// Check names, sorted, what breaks a rule, each with its service.
func (f *File) Check() []string {
	var wrong []string
	for name, service := range f.Project.Services {
		say := func(format string, args ...any) {
			wrong = append(wrong, name+": "+fmt.Sprintf(format, args...))
		}
		f.checkImage(service, say)
		f.checkLife(name, service, say)
		f.checkWalls(service, say)
		f.checkMounts(service, say)
		checkSecrets(f.Raw.Services[name], say)
	}
	slices.Sort(wrong)
	return wrong
}

// fullVersion is a tag that names one release: three numbers, and perhaps the variant behind them.
var fullVersion = regexp.MustCompile(`^v?\d+\.\d+\.\d+([.-][\w.-]+)?$`)

// digest is how an image is pinned to its bytes.
var digest = regexp.MustCompile(`^sha256:[0-9a-f]{64}$`)

// pinned says what is wrong with a reference to an image, "" when nothing is.
func pinned(image string) string {
	name, sum, hasSum := strings.Cut(image, "@")
	if hasSum && !digest.MatchString(sum) {
		return fmt.Sprintf("the digest of %s is none", image)
	}
	_, tag, _ := strings.Cut(name[strings.LastIndex(name, "/")+1:], ":")
	if !fullVersion.MatchString(tag) && (!hasSum || tag == "latest") {
		return fmt.Sprintf("the image %s is not pinned to a full version", image)
	}
	return ""
}

func (f *File) checkImage(s types.ServiceConfig, say func(string, ...any)) {
	if s.Build == nil {
		if wrong := pinned(s.Image); wrong != "" {
			say("%s", wrong)
		}
		return
	}
	if s.Image == "" {
		say("an image of our own has no name")
	}
	path := filepath.Join(s.Build.Context, s.Build.Dockerfile)
	stages, err := stagesOf(path)
	switch {
	case err != nil:
		say("the Dockerfile cannot be read: %v", err)
	case !slices.Contains(stages, s.Build.Target):
		say("%s has no target %q", s.Build.Dockerfile, s.Build.Target)
	}
}

// job tells whether a service runs once: it is not restarted, and something waits for its success.
func (f *File) job(name string, s types.ServiceConfig) bool {
	if s.Restart != types.RestartPolicyNo {
		return false
	}
	for _, other := range f.Project.Services {
		if other.DependsOn[name].Condition == types.ServiceConditionCompletedSuccessfully {
			return true
		}
	}
	return false
}

func (f *File) checkLife(name string, s types.ServiceConfig, say func(string, ...any)) {
	for dependency, d := range s.DependsOn {
		want := types.ServiceConditionHealthy
		if f.job(dependency, f.Project.Services[dependency]) {
			want = types.ServiceConditionCompletedSuccessfully
		}
		if d.Condition != want {
			say("waits for %s with %s instead of %s", dependency, d.Condition, want)
		}
	}
	if f.job(name, s) {
		return
	}
	if s.HealthCheck == nil || s.HealthCheck.Disable || len(s.HealthCheck.Test) < 2 || s.HealthCheck.Test[0] == "NONE" {
		say("has no health check")
	}
	if s.StopGracePeriod == nil || time.Duration(*s.StopGracePeriod) < GracePeriod {
		say("stop_grace_period is less than %v", GracePeriod)
	}
	if s.Restart != types.RestartPolicyUnlessStopped && s.Restart != types.RestartPolicyAlways {
		say("is not restarted after a crash, and no job either")
	}
}

// checkWalls looks at what a container may do to the machine and who reaches it.
func (f *File) checkWalls(s types.ServiceConfig, say func(string, ...any)) {
	if s.Privileged || len(s.CapAdd) > 0 || !slices.Contains(s.CapDrop, "ALL") {
		say("keeps capabilities")
	}
	if !slices.Contains(s.SecurityOpt, "no-new-privileges:true") {
		say("lacks no-new-privileges")
	}
	if s.Build != nil && !s.ReadOnly {
		say("the root file system is writable")
	}
	if s.NetworkMode != "" || len(s.Networks) == 0 {
		say("is on no network of this file")
	}
	for _, p := range s.Ports {
		if p.HostIP != "127.0.0.1" {
			say("port %d is published on %q, not on 127.0.0.1", p.Target, p.HostIP)
		}
	}
	if len(s.Ports) == 0 {
		for network := range s.Networks {
			if !f.Project.Networks[network].Internal {
				say("publishes nothing and is on the open network %s", network)
			}
		}
	}
}

func (f *File) checkMounts(s types.ServiceConfig, say func(string, ...any)) {
	for _, v := range s.Volumes {
		if v.Type != types.VolumeTypeBind {
			continue
		}
		rel, err := filepath.Rel(f.Root, v.Source)
		if err != nil || !filepath.IsLocal(rel) {
			say("mounts %s, which is outside of the repository", v.Source)
			continue
		}
		if _, err := os.Stat(v.Source); err != nil {
			say("mounts %s, which is not there", rel)
		}
		if !v.ReadOnly {
			say("mounts %s writable", rel)
		}
	}
}

var (
	secretName = regexp.MustCompile(`(?i)(secret|pass(w|$)|token|auth$|_key$|identity_value|dsn$)`)
	// no secret, though it is called like one
	harmless = regexp.MustCompile(`^(true|false)$`)
	variable = regexp.MustCompile(`\$\{(\w+)(:?[-?])?([^}]*)\}`)
	// what is left of a DSN without its variables: no password
	bareDSN = regexp.MustCompile(`^\w*:@`)
)

// checkSecrets expects the file as it is written. A secret comes from a variable; its default, if it
// has one, says that it is for development.
func checkSecrets(s types.ServiceConfig, say func(string, ...any)) {
	texts := append(slices.Clone([]string(s.Command)), s.Entrypoint...)
	for i, arg := range s.Command {
		flag, value, joined := strings.Cut(arg, "=")
		if strings.HasPrefix(flag, "-") && secretName.MatchString(flag) {
			if !joined && i+1 < len(s.Command) {
				value = s.Command[i+1]
			}
			if variable.ReplaceAllString(value, "") != "" {
				say("the argument %s has a literal for its value", flag)
			}
		}
	}
	for key, value := range s.Environment {
		if value == nil {
			continue
		}
		texts = append(texts, *value)
		rest := variable.ReplaceAllString(*value, "")
		if secretName.MatchString(key) && rest != "" && !harmless.MatchString(rest) && !bareDSN.MatchString(rest) &&
			!strings.HasSuffix(key, "_IDENTITY_KEY") { // Nacos: a header's name
			say("%s holds a literal", key)
		}
	}
	for _, text := range texts {
		for _, v := range variable.FindAllStringSubmatch(text, -1) {
			name, operator, fallback := v[1], v[2], v[3]
			if secretName.MatchString(name) && strings.HasSuffix(operator, "-") && !forDevelopment(fallback) {
				say("the default of %s is not marked %q", name, DevMarker)
			}
		}
	}
}

// forDevelopment tells whether a default carries the mark, plainly or in base64.
func forDevelopment(value string) bool {
	if decoded, err := base64.StdEncoding.DecodeString(value); err == nil {
		value = string(decoded)
	}
	return strings.HasPrefix(value, DevMarker)
}

// Variables are the names that the file takes from outside, sorted.
func (f *File) Variables() ([]string, error) {
	content, err := os.ReadFile(filepath.Join(f.Root, "docker-compose.yml"))
	if err != nil {
		return nil, err
	}
	var names []string
	for _, v := range variable.FindAllStringSubmatch(string(content), -1) {
		names = append(names, v[1])
	}
	slices.Sort(names)
	return slices.Compact(names), nil
}

var from = regexp.MustCompile(`(?mi)^FROM\s+(?:--platform=\S+\s+)?(\S+)(?:\s+AS\s+(\S+))?\s*$`)

// stagesOf are the names of a Dockerfile's stages. An image from outside that has no digest is an
// error: what builds the images decides what is in them.
func stagesOf(path string) ([]string, error) {
	content, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	var stages []string
	for _, m := range from.FindAllStringSubmatch(string(content), -1) {
		if !slices.Contains(stages, m[1]) && m[1] != "scratch" {
			if wrong := pinned(m[1]); wrong != "" {
				return nil, errors.New(wrong)
			}
			if !strings.Contains(m[1], "@sha256:") {
				return nil, fmt.Errorf("the base %s has no digest", m[1])
			}
		}
		stages = append(stages, m[2])
	}
	return stages, nil
}
