// Command protoc is the part of the protocol buffer compiler that goctl calls, in Go: it parses
// the named .proto files with bufbuild/protocompile and hands them to the protoc-gen-* plugins on
// PATH. It lets `make generate` run with Go alone and with every version pinned in tools/go.mod.
package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protodesc"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/descriptorpb"
	"google.golang.org/protobuf/types/pluginpb"
)

// plugin is one protoc-gen-NAME with its output folder and its options.
type plugin struct {
	name, out string
	opts      []string
}

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "protoc:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	var includes, files []string
	plugins := map[string]*plugin{}
	var order []string
	get := func(name string) *plugin {
		if plugins[name] == nil {
			plugins[name] = &plugin{name: name}
			order = append(order, name)
		}
		return plugins[name]
	}
	for i := 0; i < len(args); i++ {
		a := args[i]
		key, value, hasValue := strings.Cut(strings.TrimLeft(a, "-"), "=")
		takeNext := func() string {
			if !hasValue && i+1 < len(args) {
				i++
				return args[i]
			}
			return value
		}
		switch {
		case a == "--version":
			fmt.Println("libprotoc (protocompile)")
			return nil
		case strings.HasPrefix(a, "-I"):
			if inc := strings.TrimPrefix(strings.TrimPrefix(a, "-I"), "="); inc != "" {
				includes = append(includes, inc)
			} else {
				includes = append(includes, takeNext())
			}
		case key == "proto_path":
			includes = append(includes, takeNext())
		case strings.HasPrefix(a, "--") && strings.HasSuffix(key, "_out"):
			opts, out, found := strings.Cut(takeNext(), ":")
			p := get(strings.TrimSuffix(key, "_out"))
			if !found {
				opts, out = "", opts
			}
			p.out = out
			if opts != "" {
				p.opts = append(p.opts, opts)
			}
		case strings.HasPrefix(a, "--") && strings.HasSuffix(key, "_opt"):
			p := get(strings.TrimSuffix(key, "_opt"))
			p.opts = append(p.opts, takeNext())
		case strings.HasPrefix(a, "-"):
			return fmt.Errorf("unknown flag %s", a)
		default:
			files = append(files, a)
		}
	}
	if len(includes) == 0 {
		includes = []string{"."}
	}
	names := make([]string, len(files))
	for i, f := range files {
		names[i] = relative(includes, f)
	}
	compiler := protocompile.Compiler{
		Resolver:       protocompile.WithStandardImports(&protocompile.SourceResolver{ImportPaths: includes}),
		SourceInfoMode: protocompile.SourceInfoStandard,
	}
	compiled, err := compiler.Compile(context.Background(), names...)
	if err != nil {
		return err
	}
	var all []*descriptorpb.FileDescriptorProto
	seen := map[string]bool{}
	var add func(protoreflect.FileDescriptor)
	add = func(fd protoreflect.FileDescriptor) {
		if seen[fd.Path()] {
			return
		}
		seen[fd.Path()] = true
		for i := range fd.Imports().Len() {
			add(fd.Imports().Get(i).FileDescriptor)
		}
		all = append(all, protodesc.ToFileDescriptorProto(fd))
	}
	for _, fd := range compiled {
		add(fd)
	}
	for _, name := range order {
		if err := generate(plugins[name], names, all); err != nil {
			return err
		}
	}
	return nil
}

// relative is the file's name as imports spell it: below the first include folder that holds it.
func relative(includes []string, file string) string {
	for _, inc := range includes {
		rel, err := filepath.Rel(inc, file)
		if err == nil && !strings.HasPrefix(rel, "..") {
			return filepath.ToSlash(rel)
		}
	}
	return file
}

// generate runs one plugin and writes the files that it answers with.
func generate(p *plugin, names []string, all []*descriptorpb.FileDescriptorProto) error {
	req, err := proto.Marshal(&pluginpb.CodeGeneratorRequest{
		FileToGenerate: names,
		Parameter:      proto.String(strings.Join(p.opts, ",")),
		ProtoFile:      all,
	})
	if err != nil {
		return err
	}
	cmd := exec.Command("protoc-gen-" + p.name)
	cmd.Stdin, cmd.Stderr = bytes.NewReader(req), os.Stderr
	out, err := cmd.Output()
	if err != nil {
		return fmt.Errorf("%s: %w", cmd.Path, err)
	}
	var resp pluginpb.CodeGeneratorResponse
	if err := proto.Unmarshal(out, &resp); err != nil {
		return fmt.Errorf("%s: %w", cmd.Path, err)
	}
	if resp.Error != nil {
		return fmt.Errorf("%s: %s", cmd.Path, resp.GetError())
	}
	for _, f := range resp.File {
		path := filepath.Join(p.out, filepath.FromSlash(f.GetName()))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(path, []byte(f.GetContent()), 0o644); err != nil {
			return err
		}
	}
	return nil
}
