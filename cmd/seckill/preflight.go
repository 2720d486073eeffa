package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/agent"
	"github.com/seckill-go/seckill/internal/preflight/hostcheck"
	"github.com/seckill-go/seckill/internal/preflight/netcheck"
	"github.com/seckill-go/seckill/internal/preflight/runner"
	"github.com/seckill-go/seckill/internal/preflight/servercheck"
	"github.com/seckill-go/seckill/rpc/order/orderapp"
	"github.com/seckill-go/seckill/rpc/product/productapp"
	"github.com/seckill-go/seckill/rpc/user/userapp"
	"github.com/spf13/cobra"
	"github.com/zeromicro/go-zero/core/logx"
)

// envPreflightKey holds the key that runner and agents share.
const envPreflightKey = "SECKILL_PREFLIGHT_KEY"

func newPreflightCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "preflight",
		Short: "Check a cluster before the platform is installed on it",
		Long: `Check a cluster before the platform is installed on it: an agent on every node
looks and measures, the runner asks all agents and prints one verdict. What each
finding means and how to mend it is in docs/preflight.md.

Both take the key that they share, 32 bytes or more, from ` + envPreflightKey + `.`,
		Args: cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error { return errors.New("preflight agent or preflight run?") },
	}
	cmd.AddCommand(newPreflightAgentCmd(), newPreflightRunCmd())
	return cmd
}

func newPreflightAgentCmd() *cobra.Command {
	var listen, node, root string
	cmd := &cobra.Command{
		Use:   "agent",
		Short: "Make the checks that a runner with the key asks for, until it is stopped",
		Long: `Make the checks that a runner with the key asks for, until it is stopped. It calls
nothing but the targets of a runner's plan, runs no program and changes nothing
but a file of its own on volumes that it is to try.`,
		Example: `  seckill preflight agent --listen :7400 --node "$NODE_NAME" --host-root /host`,
		Args:    cobra.NoArgs,
	}
	name, err := os.Hostname()
	if err != nil {
		name = ""
	}
	f := cmd.Flags()
	f.StringVar(&listen, "listen", ":7400", "address to answer runners and other agents on, the ports of a check included")
	f.StringVar(&node, "node", name, "name of the node in reports (default: the host's)")
	f.Lookup("node").DefValue = ""
	f.StringVar(&root, "host-root", "/", "where the node's root file system is seen, read-only")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		logx.Disable() // what is to be said is in the report
		return preflightAgent(cmd.Context(), listen, node, root, cmd.ErrOrStderr())
	}
	return cmd
}

func preflightAgent(ctx context.Context, listen, node, root string, errOut io.Writer) error {
	if node == "" {
		return errors.New("the node has no name: give --node")
	}
	own, _, err := net.SplitHostPort(listen)
	if err != nil {
		return fmt.Errorf("--listen: %w", err)
	}
	host, network := hostcheck.Host(root), netcheck.Own()
	a, err := agent.New(agent.Options{
		Node: node, Host: own, Key: os.Getenv(envPreflightKey),
		Checks: map[string]agent.Check{
			preflight.CheckNode: host.Node, preflight.CheckStorage: host.Storage, preflight.CheckWrite: host.Write,
			preflight.CheckReach: network.Reach, preflight.CheckDNS: network.DNS, preflight.CheckIngress: network.Ingress,
			preflight.CheckMySQL: servercheck.MySQL(userapp.Schema(), productapp.Schema(), orderapp.Schema()), preflight.CheckRedis: servercheck.Redis, preflight.CheckKafka: servercheck.Kafka,
			preflight.CheckNacos: servercheck.Nacos, preflight.CheckZipkin: servercheck.Zipkin,
		},
	})
	if err != nil {
		return fmt.Errorf("%s: %w", envPreflightKey, err)
	}
	l, err := new(net.ListenConfig).Listen(ctx, "tcp", listen)
	if err != nil {
		return err
	}
	fmt.Fprintf(errOut, "seckill: preflight agent of %s on %s\n", node, l.Addr())
	return a.Serve(ctx, l)
}

// reportForm is the value of -o of preflight run.
type reportForm string

const formJUnit reportForm = "junit"

// String, Set and Type make reportForm a flag's value.
func (f *reportForm) String() string { return string(*f) }

// Set refuses everything but text, json and junit.
func (f *reportForm) Set(s string) error {
	switch reportForm(s) {
	case reportForm(formatText), reportForm(formatJSON), formJUnit:
		*f = reportForm(s)
		return nil
	}
	return errors.New("it is text, json or junit")
}

// Type is shown in the help.
func (f *reportForm) Type() string { return "text|json|junit" }

func newPreflightRunCmd() *cobra.Command {
	var (
		plan               string
		agents, only, skip []string
	)
	form := reportForm(formatText)
	cmd := &cobra.Command{
		Use:   "run",
		Short: "Ask all agents to carry out a plan, and print one verdict",
		Long: `Ask all agents to carry out a plan, and print one verdict. The plan is a YAML file
(docs/preflight.md); what it does not name is not checked. Passwords come from the
environment, as with the services: SECKILL_MYSQL_DSN, SECKILL_REDIS_PASSWORD and
so on. They reach the agents encrypted.

Exit codes: 0 the cluster is fit, 1 it is not, 2 it could not be told.`,
		Example: `  seckill preflight run --plan plan.yaml
  seckill preflight run --plan plan.yaml --only ingress,dns -o json
  seckill preflight run --plan plan.yaml --skip mysql -o junit > preflight.xml
  seckill preflight run --plan plan.yaml --agents 10.42.0.7:7400,10.42.1.9:7400`,
		Args: cobra.NoArgs,
	}
	f := cmd.Flags()
	f.StringVar(&plan, "plan", "", "file of the plan")
	f.StringSliceVar(&agents, "agents", nil, "host:port of the agents, instead of the plan's, where the plan's name cannot be resolved")
	f.StringSliceVar(&only, "only", nil, "checks to make, of those in the plan (default: all)")
	f.StringSliceVar(&skip, "skip", nil, "checks to leave out")
	f.VarP(&form, "output", "o", "form of what is printed")
	if err := cmd.MarkFlagRequired("plan"); err != nil {
		panic(err) // the flag is defined above
	}
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		logx.Disable() // what is to be said is in the report
		loaded, err := preflight.LoadPlan(plan)
		if err != nil {
			return err
		}
		if len(agents) > 0 {
			loaded.Agents.Addresses, loaded.Agents.Name = agents, ""
		}
		opt := runner.Options{Key: os.Getenv(envPreflightKey), Plan: loaded, Only: only, Skip: skip}
		return preflightRun(cmd.Context(), opt, form, cmd.OutOrStdout())
	}
	return cmd
}

func preflightRun(ctx context.Context, opt runner.Options, form reportForm, out io.Writer) error {
	report, err := runner.Run(ctx, opt)
	if err != nil {
		return err
	}
	switch form {
	case formJUnit:
		err = report.WriteJUnit(out)
	case reportForm(formatJSON):
		err = report.WriteJSON(out)
	default:
		err = report.WriteText(out)
	}
	switch {
	case err != nil:
		return err
	case report.Verdict == preflight.NotFit:
		return failed("the cluster is not fit")
	case report.Verdict != preflight.Fit:
		return errors.New("it could not be told whether the cluster is fit")
	}
	return nil
}
