package main

import (
	"bufio"
	"time"

	"github.com/seckill-go/seckill/cmd/seckill/internal/buyers"
	"github.com/seckill-go/seckill/internal/accesstoken"
	"github.com/spf13/cobra"
)

func newTokensCmd() *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tokens --count N",
		Short: "Print access tokens of made-up buyers, one a line",
		Long: `Print the access tokens of N distinct buyers, one a line, for load generators of
your own. The buyers are made up: a token is all there is of them, and they can
buy, but not log in.

Without --first the ids start at random, so that two runs do not meet. The
secret that signs the tokens comes from SECKILL_JWT_SECRET, or else from
secrets.json in the data folder.`,
		Example: `  seckill tokens --count 100000 > tokens.txt
  seckill tokens --count 10 --first 1099511627776 --ttl 5m`,
		Args: cobra.NoArgs,
	}
	data := dataFlag(cmd)
	count := cmd.Flags().Int("count", 0, "number of buyers")
	first := cmd.Flags().Int64("first", 0, "id of the first buyer (default: random)")
	ttl := cmd.Flags().Duration("ttl", 2*time.Hour, "how long the tokens are good for")
	cmd.RunE = func(cmd *cobra.Command, _ []string) error {
		from := *first
		if !cmd.Flags().Changed("first") {
			from = buyers.RandomFirst()
		}
		if err := buyers.Check(from, *count); err != nil {
			return err
		}
		key, err := jwtSecret(*data)
		if err != nil {
			return err
		}
		minter, err := accesstoken.NewMinter([]byte(key), *ttl)
		if err != nil {
			return err
		}
		tokens, err := buyers.Mint(minter, from, *count, time.Now())
		if err != nil {
			return err
		}
		out := bufio.NewWriterSize(cmd.OutOrStdout(), 1<<16)
		for _, token := range tokens {
			// A bufio.Writer keeps its first error until Flush.
			_, _ = out.WriteString(token)
			_ = out.WriteByte('\n')
		}
		return out.Flush()
	}
	return cmd
}
