package testservers

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"
)

const (
	clusterSlots = 16384
	// clusterAgreeLimit is how long the processes of a cluster may take to agree on a busy machine.
	clusterAgreeLimit = time.Minute
	// busOffset is from a server's port to that on which it talks to the others.
	busOffset = 10_000
)

// RedisClusterServers is a real Redis Cluster of one test: a process for each master, without replicas.
type RedisClusterServers struct {
	// Masters are the processes. Kill and Start are those of any Redis; Await waits until a master that came back
	// is one of the cluster again.
	Masters []*RedisServer

	t testing.TB
}

// RedisCluster starts so many masters for the test, each with the given arguments after those that keep it
// private, shares the slots out evenly, and returns when all agree. A cluster that misses a master goes on with
// the slots of the others. It ends with the test. A missing redis-server is as with Redis.
func RedisCluster(t testing.TB, masters int, args ...string) *RedisClusterServers {
	t.Helper()
	c := &RedisClusterServers{t: t}
	for range masters {
		c.Masters = append(c.Masters, startClusterMaster(t, args))
	}
	for i, m := range c.Masters {
		first, end := i*clusterSlots/masters, (i+1)*clusterSlots/masters
		c.do(m, "CLUSTER", "ADDSLOTSRANGE", first, end-1)
		// Masters with the same epoch settle that among themselves, which takes a while.
		c.do(m, "CLUSTER", "SET-CONFIG-EPOCH", i+1)
		if i > 0 {
			host, port, _ := net.SplitHostPort(c.Masters[0].Addr) // FreeAddr made it
			c.do(m, "CLUSTER", "MEET", host, port)
		}
	}
	c.Await()
	return c
}

// startClusterMaster starts one process of a cluster to be.
func startClusterMaster(t testing.TB, args []string) *RedisServer {
	t.Helper()
	for range 20 {
		_, port, _ := net.SplitHostPort(FreeAddr(t)) // it made it
		n, err := strconv.Atoi(port)
		if err != nil {
			t.Fatal(err)
		}
		// The bus listens above; that port must be free as well.
		l, err := net.Listen("tcp", loopback(n+busOffset))
		if err != nil {
			continue
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
		return redisAt(t, loopback(n), append([]string{
			"--cluster-enabled", "yes", "--cluster-config-file", "nodes.conf", "--cluster-node-timeout", "2000",
			"--cluster-require-full-coverage", "no", "--cluster-announce-ip", "127.0.0.1",
		}, args...))
	}
	t.Fatal("start Redis Cluster: no two ports are free")
	return nil
}

// Addrs are the host:port of all masters.
func (c *RedisClusterServers) Addrs() []string {
	addrs := make([]string, len(c.Masters))
	for i, m := range c.Masters {
		addrs[i] = m.Addr
	}
	return addrs
}

// Of is the master that has the slot of a key, as the first master that answers says.
func (c *RedisClusterServers) Of(key string) *RedisServer {
	c.t.Helper()
	slot := c.slot(key)
	for _, m := range c.Masters {
		if m.process == nil {
			continue
		}
		ranges, err := clusterSlotsOf(m)
		if err != nil {
			c.t.Fatalf("ask Redis Cluster for its slots: %v", err)
		}
		for _, r := range ranges {
			if slot < r.Start || slot > r.End {
				continue
			}
			for _, owner := range c.Masters {
				if owner.Addr == r.Nodes[0].Addr {
					return owner
				}
			}
		}
	}
	c.t.Fatalf("no master has the slot of %q", key)
	return nil
}

func (c *RedisClusterServers) slot(key string) int {
	c.t.Helper()
	for _, m := range c.Masters {
		if m.process != nil {
			return int(c.do(m, "CLUSTER", "KEYSLOT", key).(int64))
		}
	}
	c.t.Fatal("no master of the cluster runs")
	return 0
}

// MoveSlot brings the slot of a key, with all that is in it, to another master, as an operator would, and returns
// when all know of it.
func (c *RedisClusterServers) MoveSlot(key string, to *RedisServer) {
	c.t.Helper()
	from, slot := c.Of(key), c.slot(key)
	if from == to {
		c.t.Fatalf("the slot of %q is there already", key)
	}
	source, _ := c.do(from, "CLUSTER", "MYID").(string)
	target, _ := c.do(to, "CLUSTER", "MYID").(string)
	c.do(to, "CLUSTER", "SETSLOT", slot, "IMPORTING", source)
	c.do(from, "CLUSTER", "SETSLOT", slot, "MIGRATING", target)
	host, port, _ := net.SplitHostPort(to.Addr) // FreeAddr made it
	for {
		keys, _ := c.do(from, "CLUSTER", "GETKEYSINSLOT", slot, 100).([]any)
		if len(keys) == 0 {
			break
		}
		c.do(from, append([]any{"MIGRATE", host, port, "", 0, 10_000, "REPLACE", "KEYS"}, keys...)...)
	}
	for _, m := range append([]*RedisServer{to, from}, c.Masters...) {
		if m.process != nil {
			c.do(m, "CLUSTER", "SETSLOT", slot, "NODE", target)
		}
	}
	c.Await()
}

// Await returns when all masters run and agree on who has which slot; the test fails when they do not.
func (c *RedisClusterServers) Await() {
	c.t.Helper()
	deadline := time.Now().Add(clusterAgreeLimit)
	for {
		err := c.agree()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			c.t.Fatalf("the masters of the Redis Cluster do not agree: %v", err)
		}
		<-time.After(20 * time.Millisecond)
	}
}

// agree wants every master to know the same owner of every slot, and all others as sound.
func (c *RedisClusterServers) agree() error {
	first := ""
	for _, m := range c.Masters {
		info, err := m.command("CLUSTER", "INFO")
		if err != nil {
			return err
		}
		text, _ := info.(string)
		for _, want := range []string{
			"cluster_state:ok", fmt.Sprintf("cluster_slots_ok:%d", clusterSlots),
			fmt.Sprintf("cluster_known_nodes:%d", len(c.Masters)), fmt.Sprintf("cluster_size:%d", len(c.Masters)),
		} {
			if !strings.Contains(text, want+"\r\n") {
				return fmt.Errorf("%s says no %s", m.Addr, want)
			}
		}
		ranges, err := clusterSlotsOf(m)
		if err != nil {
			return err
		}
		owners := make([]string, clusterSlots)
		for _, r := range ranges {
			for slot := r.Start; slot <= r.End; slot++ {
				owners[slot] = r.Nodes[0].Addr
			}
		}
		all := strings.Join(owners, " ")
		if first == "" {
			first = all
		}
		if all != first {
			return fmt.Errorf("%s has another idea of who has which slot than %s", m.Addr, c.Masters[0].Addr)
		}
	}
	return nil
}

func (c *RedisClusterServers) do(m *RedisServer, args ...any) any {
	c.t.Helper()
	reply, err := m.command(args...)
	if err != nil {
		c.t.Fatalf("Redis Cluster: %v: %v", args, err)
	}
	return reply
}

// command runs one command on a connection of its own.
func (r *RedisServer) command(args ...any) (reply any, err error) {
	err = r.with(func(ctx context.Context, c *redis.Client) error {
		reply, err = c.Do(ctx, args...).Result()
		return err
	})
	return reply, err
}

func clusterSlotsOf(r *RedisServer) (slots []redis.ClusterSlot, err error) {
	err = r.with(func(ctx context.Context, c *redis.Client) error {
		slots, err = c.ClusterSlots(ctx).Result() //nolint:staticcheck // the cluster client itself reads the topology by it
		return err
	})
	return slots, err
}

func (r *RedisServer) with(f func(context.Context, *redis.Client) error) error {
	ctx, cancel := context.WithTimeout(context.Background(), 15*time.Second)
	defer cancel()
	c := redis.NewClient(&redis.Options{Addr: r.Addr, Protocol: 2, MaxRetries: -1, DialerRetries: 1, DialTimeout: 5 * time.Second, ReadTimeout: 15 * time.Second})
	err := f(ctx, c)
	return errors.Join(err, c.Close())
}
