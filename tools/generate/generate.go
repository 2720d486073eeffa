package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// contracts lists the .api and .proto files below root, relative to it and sorted.
func contracts(root string) ([]string, error) {
	var found []string
	for _, pattern := range []string{"api/*.api", "rpc/*/*.proto"} {
		paths, err := filepath.Glob(filepath.Join(root, filepath.FromSlash(pattern)))
		if err != nil {
			return nil, err
		}
		for _, p := range paths {
			rel, err := filepath.Rel(root, p)
			if err != nil {
				return nil, err
			}
			found = append(found, filepath.ToSlash(rel))
		}
	}
	if len(found) == 0 {
		return nil, errors.New("no contract below " + root)
	}
	slices.Sort(found)
	return found, nil
}

// copyContracts brings into an empty tree what goctl needs: the contracts, and go.mod for the import
// paths. It returns the number of contracts.
func copyContracts(root, to string) (int, error) {
	files, err := contracts(root)
	if err != nil {
		return 0, err
	}
	for _, name := range append(slices.Clone(files), "go.mod") {
		text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(name)))
		if err != nil {
			return 0, err
		}
		target := filepath.Join(to, filepath.FromSlash(name))
		if err := os.MkdirAll(filepath.Dir(target), 0o755); err != nil {
			return 0, err
		}
		if err := os.WriteFile(target, text, 0o644); err != nil {
			return 0, err
		}
	}
	return len(files), nil
}

// generate runs goctl on every contract below root, in the contract's own folder. goctl leaves the
// scaffolds alone that are there already.
func generate(root string) error {
	files, err := contracts(root)
	if err != nil {
		return err
	}
	for _, name := range files {
		base := filepath.Base(name)
		// --name-from-filename: from `package order.v1` goctl would otherwise make names with a dot.
		args := []string{"rpc", "protoc", base, "--go_out=.", "--go-grpc_out=.", "--zrpc_out=.", "--style", "go_zero", "--name-from-filename"}
		if strings.HasSuffix(base, ".api") {
			args = []string{"api", "go", "-api", base, "-dir", ".", "--style", "go_zero"}
		}
		var said bytes.Buffer
		cmd := exec.Command("goctl", args...)
		cmd.Dir = filepath.Join(root, filepath.FromSlash(filepath.Dir(name)))
		cmd.Stdout, cmd.Stderr = &said, &said
		if err := cmd.Run(); err != nil {
			return fmt.Errorf("%s: goctl: %w\n%s", name, err, said.String())
		}
	}
	return nil
}
