package redisstock

import "testing"

func TestPoolFiguresOutliveARedisProcess(t *testing.T) {
	r := startReal(t)
	s := newStock(t, r.addr)
	if f := s.Pool(); f.Max < 1 || f.Hits+f.Misses != 0 || f.Epochs != 0 {
		t.Fatalf("before the first use: %+v", f)
	}
	for range 3 {
		if err := s.Ping(ctx); err != nil {
			t.Fatal(err)
		}
	}
	before := s.Pool()
	if before.Hits+before.Misses < 3 || before.Idle < 1 || before.Busy != 0 {
		t.Fatalf("after three uses: %+v", before)
	}
	r.kill()
	if !r.start() {
		t.Fatal("redis-server does not start again")
	}
	eventually(t, "the new process answers", func() bool { return s.Ping(ctx) == nil })
	after := s.Pool()
	if after.Hits+after.Misses <= before.Hits+before.Misses || after.Epochs != 1 || after.Idle < 1 {
		t.Errorf("%+v after %+v", after, before)
	}
}
