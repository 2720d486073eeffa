package redisstock

import (
	"context"
	"embed"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/internal/errs"
)

//go:embed lua/*.lua
var sources embed.FS

// The scripts, each behind the shared prelude.
var (
	reserveScript = load("reserve")
	releaseScript = load("release")
	syncScript    = load("sync")
	closeScript   = load("close")
	beginScript   = load("begin")
	fillScript    = load("fill")
	openScript    = load("open")
	stateScript   = load("state")
	ordersScript  = load("orders")
	pendingScript = load("pending")
	leaseScript   = load("lease")
	soldOutScript = load("soldout")
	lookScript    = load("look")
	giveScript    = load("give")
	takeScript    = load("take")
	doneScript    = load("done")
)

// The first element of a script's reply; see lua/prelude.lua.
const (
	statusOK int64 = iota
	statusStale
	statusNone
	statusOther
	statusSuperseded
	statusChanged
)

// script is one Lua script; redis.Script only for its source and digest.
type script struct {
	source, sha string
}

func load(name string) script {
	read := func(file string) string {
		b, err := sources.ReadFile("lua/" + file + ".lua")
		if err != nil {
			panic(err) // the file is part of the program
		}
		return string(b)
	}
	source := read("prelude") + read(name)
	return script{source: source, sha: redis.NewScript(source).Hash()}
}

// errShutdown says that Shutdown was called.
var errShutdown = errors.New("redisstock: shut down")

// stamp is a script's first argument: the identity of the process that runs it. go-redis asks for
// its bytes at the moment it writes the command to a connection, when the epoch's identity is known
// and after which the script may run. A stamp that was never asked proves that it did not.
type stamp struct {
	epoch *epoch
	fence string
	sent  bool
}

// MarshalBinary implements encoding.BinaryMarshaler.
func (s *stamp) MarshalBinary() ([]byte, error) {
	s.fence, s.sent = s.epoch.identity(), true
	return []byte(s.fence), nil
}

// outcome is what became of a script.
type outcome struct {
	status int64
	// rest is the reply after the status.
	rest []any
	// fence is the identity of the process that replied.
	fence string
	// doubt: an attempt may have run without a reply, or may still run.
	doubt bool
	err   error
}

// attempts is how often a call is tried at most: once more after a lost reply, and once after each
// sign of another process.
const attempts = 3

// run runs a script on the process that answers for its first key now; all keys are in one slot. Losing a
// reply, it runs it once more.
func (s *Stock) run(ctx context.Context, sc script, keys []string, args ...any) outcome {
	var (
		out   outcome
		doubt bool
	)
	out.err = s.do(ctx, keys[0], func(ctx context.Context, e *epoch, c *redis.Client) error {
		st := &stamp{epoch: e}
		reply, err := evaluate(ctx, c, sc, st, keys, args)
		if err != nil {
			if st.sent && !refused(err) {
				doubt = true
			}
			return err
		}
		if len(reply) == 0 {
			doubt = true
			return fmt.Errorf("redisstock: an empty reply")
		}
		status, ok := reply[0].(int64)
		if !ok {
			doubt = true
			return fmt.Errorf("redisstock: reply without a status: %T", reply[0])
		}
		if status == statusStale {
			return errMoved
		}
		out.status, out.rest, out.fence = status, reply[1:], st.fence
		return nil
	})
	out.doubt = doubt
	return out
}

// evaluate runs a script by its digest, or by its source where the server does not know it.
func evaluate(ctx context.Context, c *redis.Client, sc script, st *stamp, keys []string, args []any) ([]any, error) {
	words := make([]any, 0, 4+len(keys)+len(args))
	words = append(words, "evalsha", sc.sha, len(keys))
	for _, k := range keys {
		words = append(words, k)
	}
	words = append(words, st)
	words = append(words, args...)
	cmd := redis.NewSliceCmd(ctx, words...)
	if err := c.Process(ctx, cmd); redis.HasErrorPrefix(err, "NOSCRIPT") {
		st.sent = false // that attempt is known not to have run
		words[0], words[1] = "eval", sc.source
		cmd = redis.NewSliceCmd(ctx, words...)
		if err := c.Process(ctx, cmd); err != nil {
			return nil, err
		}
	} else if err != nil {
		return nil, err
	}
	return cmd.Result()
}

// do calls f with the current epoch of a key's master until it gives an answer, at most attempts times. f
// must be harmless to repeat.
func (s *Stock) do(ctx context.Context, key string, f func(ctx context.Context, e *epoch, c *redis.Client) error) error {
	return s.attempt(ctx, func(ctx context.Context) (string, error) { return s.route.master(ctx, key) }, f)
}

// attempt is do for the master that where leads to.
func (s *Stock) attempt(ctx context.Context, where func(context.Context) (string, error), f func(context.Context, *epoch, *redis.Client) error) error {
	lost := false
	for try := 1; ; try++ {
		began := time.Now()
		addr, err := where(ctx)
		if err != nil {
			return err
		}
		srv, e, err := s.servers.acquire(addr)
		if err != nil {
			return err
		}
		err = once(ctx, e, lost, f)
		moved := e.outdated() || errors.Is(err, errMoved)
		var reply redis.Error
		isReply := errors.As(err, &reply)
		// A demoted server keeps its connections; the address may lead to the new master by now.
		if moved || (isReply && (redis.HasErrorPrefix(err, "READONLY") || redis.HasErrorPrefix(err, "MASTERDOWN"))) {
			s.servers.renew(srv, e)
		}
		s.servers.release(srv, e)
		elsewhere := isReply && s.route.elsewhere(err)
		switch {
		case err == nil || (isReply && !elsewhere) || try == attempts || ctx.Err() != nil:
			return err
		case errors.Is(err, redis.ErrPoolTimeout):
			return err // another connection would get round the bound on their number
		case elsewhere || moved:
		case lost:
			return err
		default:
			lost = true
		}
		if !moved {
			s.route.reload(ctx, began, s.servers)
		}
	}
}

// once calls f, after a lost reply on a connection of its own: others of the pool may be as dead as
// the one that lost it.
func once(ctx context.Context, e *epoch, alone bool, f func(context.Context, *epoch, *redis.Client) error) error {
	if !alone {
		return f(ctx, e, e.client)
	}
	// Two, because go-redis probes in the background once a pool's whole size has failed to dial.
	c := e.connect(2)
	err := f(ctx, e, c)
	_ = c.Close() // the answer is there already, and says more than the end of its connection
	return err
}

// refused tells whether an error reply promises that the script wrote nothing. Redis refuses a whole
// command for LOADING, BUSY, NOAUTH and the cluster's redirections, and a script's first write for
// READONLY, MASTERDOWN, OOM, MISCONF and NOREPLICAS: once a script has written, its later writes pass.
func refused(err error) bool {
	for _, prefix := range []string{
		"NOSCRIPT", "LOADING", "BUSY ", "NOAUTH", "MOVED ", "ASK ", "TRYAGAIN", "CLUSTERDOWN",
		"READONLY", "MASTERDOWN", "OOM", "MISCONF", "NOREPLICAS",
	} {
		if redis.HasErrorPrefix(err, prefix) {
			return true
		}
	}
	return false
}

// unreachable makes an error for callers out of a failure to get an answer from Redis.
func unreachable(err error, doing string, args ...any) error {
	return errs.Wrap(err, errs.Unavailable, "redis: "+doing, args...)
}
