// Package rundir knows the data folder of an all-in-one platform: where its parts can be reached
// while it runs, and the secrets that it was started with.
package rundir

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
)

// The files of the folder. Both hold what only the owner may read: the DSN may carry a password.
const (
	runFile     = "run.json"
	secretsFile = "secrets.json"
)

// fileMode is the mode that both files have; the secrets are refused when others may read them.
const fileMode fs.FileMode = 0o600

// Run is where a running platform can be reached. The file stays behind when the platform is
// killed, so that nothing in it proves that the platform runs.
type Run struct {
	// Addr is the gateway's base URL, such as http://127.0.0.1:8888.
	Addr string `json:"addr"`
	// Redis is host:port; empty with a cluster.
	Redis string `json:"redis,omitzero"`
	// RedisCluster is masters of a Redis Cluster, each host:port.
	RedisCluster []string `json:"redisCluster,omitzero"`
	// Kafka is the bootstrap brokers, each host:port.
	Kafka []string `json:"kafka"`
	// Topic is the orders topic; empty for the default one.
	Topic string `json:"topic,omitzero"`
	// LogTopic is the log's topic; empty when there is none.
	LogTopic string `json:"logTopic,omitzero"`
	// MySQL is the DSN of the orders database; sqlite:PATH for the embedded one.
	MySQL string `json:"mysql"`
	// DemoSaleID is the sale that every first start makes, a decimal string.
	DemoSaleID string `json:"demoSaleId"`
	// PID is the process that wrote the file.
	PID int `json:"pid,omitzero"`
	// StartedAt is when it did.
	StartedAt time.Time `json:"startedAt,omitzero"`
}

// Secrets are what the platform of this folder signs and checks with.
type Secrets struct {
	// JWTSecret signs access tokens.
	JWTSecret string `json:"jwtSecret"`
	// AdminPassword is the password of the user "admin".
	AdminPassword string `json:"adminPassword"`
	// WebhookSecret signs the payment provider's calls.
	WebhookSecret string `json:"webhookSecret"`
}

// LoadRun reads run.json. It returns an error that is fs.ErrNotExist when there is none, and an
// error for anything in it that is not understood.
func LoadRun(dir string) (Run, error) {
	var run Run
	err := load(filepath.Join(dir, runFile), &run)
	return run, err
}

// SaveRun replaces run.json, making the folder where it is missing. Readers see the old file or
// the new one, never a part.
func SaveRun(dir string, run Run) error { return save(dir, runFile, run) }

// RemoveRun removes run.json, as a platform that stops in order does. A missing file is no error.
func RemoveRun(dir string) error {
	err := os.Remove(filepath.Join(dir, runFile))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// LoadSecrets reads secrets.json. It returns an error that is fs.ErrNotExist when there is none,
// an error when the group or others may read it, and an error for anything that is not understood.
func LoadSecrets(dir string) (Secrets, error) {
	path := filepath.Join(dir, secretsFile)
	info, err := os.Stat(path)
	if err != nil {
		return Secrets{}, err
	}
	if mode := info.Mode().Perm(); mode&0o077 != 0 {
		return Secrets{}, fmt.Errorf("%s has mode %04o, so others may read it: make it %04o", path, mode, fileMode)
	}
	var secrets Secrets
	err = load(path, &secrets)
	return secrets, err
}

// SaveSecrets replaces secrets.json as SaveRun does run.json.
func SaveSecrets(dir string, secrets Secrets) error { return save(dir, secretsFile, secrets) }

func load(path string, into any) error {
	data, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	if err := json.Unmarshal(data, into, json.RejectUnknownMembers(true)); err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

func save(dir, name string, value any) (err error) {
	data, err := json.Marshal(value, jsontext.WithIndent("  "))
	if err != nil {
		return err
	}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	f, err := os.CreateTemp(dir, "."+name+".*")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	// CreateTemp's mode is fileMode already, less the umask.
	_, err = f.Write(append(data, '\n'))
	err = errors.Join(err, f.Chmod(fileMode), f.Sync(), f.Close())
	if err != nil {
		return err
	}
	return os.Rename(f.Name(), filepath.Join(dir, name))
}
