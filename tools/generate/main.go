// Command generate runs goctl on the contracts of the gateway (api/*.api) and of the services
// (rpc/*/*.proto). With -check it writes nothing but generates into an empty tree and says where
// the repository differs from it. A plain `git diff` after goctl would miss the files that a
// renamed handler or message leaves behind.
//
// goctl, protoc and the protoc-gen-* plugins are taken from PATH; `make generate` and `make drift`
// put the pinned ones there.
package main

import (
	"flag"
	"fmt"
	"os"
)

func main() {
	root := flag.String("root", ".", "root of the repository")
	check := flag.Bool("check", false, "compare instead of writing")
	flag.Parse()
	if err := run(*root, *check); err != nil {
		fmt.Fprintln(os.Stderr, "generate:", err)
		os.Exit(1)
	}
}

func run(root string, check bool) (err error) {
	if !check {
		return generate(root)
	}
	fresh, err := os.MkdirTemp("", "seckill-generate-")
	if err != nil {
		return err
	}
	defer func() {
		if removeErr := os.RemoveAll(fresh); err == nil {
			err = removeErr
		}
	}()
	contracts, err := copyContracts(root, fresh)
	if err != nil {
		return err
	}
	if err := generate(fresh); err != nil {
		return err
	}
	drifts, err := compare(root, fresh)
	if err != nil {
		return err
	}
	for _, d := range drifts {
		fmt.Println(d)
	}
	if len(drifts) > 0 {
		return fmt.Errorf("%d differences between the contracts and the generated code; `make generate`, then remove orphans by hand", len(drifts))
	}
	fmt.Printf("drift: the code generated from %d contracts is up to date\n", contracts)
	return nil
}
