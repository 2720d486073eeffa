// Command seckill is the flash-sale platform and its tools in one binary.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/spf13/cobra"
	"github.com/zeromicro/go-zero/core/proc"
)

// Exit codes of every command.
const (
	// exitOK: what was asked for was done, and what was checked holds.
	exitOK = 0
	// exitFailed: a check failed; an audit or a load found a broken promise.
	exitFailed = 1
	// exitUnknown: the command was not understood, or it could not be told whether a check holds.
	exitUnknown = 2
)

// failedError is a check that failed, as opposed to one that could not be made.
type failedError struct{ message string }

// Error is what failed.
func (e failedError) Error() string { return e.message }

// failed is an error that ends the program with exitFailed. Every other error ends it with
// exitUnknown.
func failed(format string, args ...any) error { return failedError{fmt.Sprintf(format, args...)} }

func main() { os.Exit(Main(os.Args[1:], os.Stdout, os.Stderr)) }

// libraryForceQuit is when go-zero's own signal handler, which is there as soon as it is linked in,
// may kill the process after a first signal: never before a command of ours is done by itself.
const libraryForceQuit = 24 * time.Hour

// Main runs a command line and returns the exit code. The first SIGINT or SIGTERM ends the command's
// context; a second one ends the process.
func Main(args []string, stdout, stderr io.Writer) int {
	proc.Setup(proc.ShutdownConf{WrapUpTime: libraryForceQuit, WaitTime: libraryForceQuit})
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	defer context.AfterFunc(ctx, stop)()
	return run(ctx, args, stdout, stderr)
}

func run(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	root := newRootCmd()
	root.SetArgs(args)
	root.SetOut(stdout)
	root.SetErr(stderr)
	err := root.ExecuteContext(ctx)
	if err == nil {
		return exitOK
	}
	fmt.Fprintf(stderr, "seckill: %v\n", err)
	var check failedError
	if errors.As(err, &check) {
		return exitFailed
	}
	return exitUnknown
}

func newRootCmd() *cobra.Command {
	root := &cobra.Command{
		Use:   "seckill",
		Short: "A flash-sale platform, and the tools to hammer and to prove it",
		Long: `seckill is a flash-sale platform, and the tools to hammer and to prove it.

Exit codes: 0 all is well, 1 a check failed, 2 the command was not understood or
it could not be told whether the check holds.`,
		Args:          cobra.NoArgs,
		SilenceUsage:  true,
		SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return errors.New("which command? See seckill --help")
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.AddCommand(newUpCmd(), newDemoCmd(), newLoadCmd(), newTokensCmd(), newAuditCmd(), newLogsCmd(), newPreflightCmd(), newVersionCmd())
	return root
}
