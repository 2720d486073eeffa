package testservers

import (
	"testing"

	"github.com/redis/go-redis/v9"
)

// TestRedisCluster: every key has its master, a slot moves with what is in it, and a master that was killed comes
// back with what it had.
func TestRedisCluster(t *testing.T) {
	c := RedisCluster(t, 3, "--appendonly", "yes", "--appendfsync", "always")
	rdb := redis.NewClusterClient(&redis.ClusterOptions{Addrs: c.Addrs()})
	defer func() { _ = rdb.Close() }()
	ctx := within(t, 2*clusterAgreeLimit)
	keys := []string{"{a}", "{b}", "{c}", "{d}", "{e}", "{f}", "{g}", "{h}"}
	owners := map[*RedisServer]int{}
	for _, key := range keys {
		if err := rdb.Set(ctx, key, "kept", 0).Err(); err != nil {
			t.Fatal(err)
		}
		owners[c.Of(key)]++
	}
	if len(owners) != 3 {
		t.Fatalf("%d of 3 masters have keys", len(owners))
	}
	wantAll := func(when string) {
		t.Helper()
		for _, key := range keys {
			if v, err := rdb.Get(ctx, key).Result(); err != nil || v != "kept" {
				t.Fatalf("%s %s holds %q: %v", when, key, v, err)
			}
		}
	}
	from := c.Of(keys[0])
	to := c.Masters[0]
	if to == from {
		to = c.Masters[1]
	}
	c.MoveSlot(keys[0], to)
	if c.Of(keys[0]) != to {
		t.Fatal("the slot did not move")
	}
	if _, err := from.command("GET", keys[0]); err == nil {
		t.Fatal("who had the slot still answers")
	}
	wantAll("after the move")
	to.Kill()
	if err := c.agree(); err == nil {
		t.Fatal("the cluster is whole without a master")
	}
	to.Start()
	c.Await()
	wantAll("after a restart")
}
