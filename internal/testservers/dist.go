package testservers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
)

// javaServer is the folder into which scripts/java-dist fetched the server of scripts/NAME. One that
// is missing, or was fetched for other files than are there now, is an exec.ErrNotFound.
func javaServer(name string) (string, error) {
	root, err := moduleRoot()
	if err != nil {
		return "", err
	}
	source := os.DirFS(filepath.Join(root, "scripts", name))
	pom, err := fs.ReadFile(source, "pom.xml")
	if err != nil {
		return "", err
	}
	version := regexp.MustCompile(`<` + name + `\.version>(.+)</`).FindSubmatch(pom)
	if version == nil {
		return "", fmt.Errorf("scripts/%s/pom.xml names no %[1]s.version", name)
	}
	dir := filepath.Join(root, ".cache", name, string(version[1]))
	err = fs.WalkDir(source, ".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		want, err := fs.ReadFile(source, path)
		if err != nil {
			return err
		}
		if got, err := os.ReadFile(filepath.Join(dir, path)); err != nil || !bytes.Equal(got, want) {
			return fmt.Errorf("the server %s, which scripts/java-dist fetches: %w", name, exec.ErrNotFound)
		}
		return nil
	})
	return dir, err
}

// moduleRoot is the module's folder, looked for from the one that the test runs in.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", err
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("the tests run outside the module")
		}
		dir = parent
	}
}
