package orderproof

import (
	"errors"
	"fmt"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/seckill-go/seckill/rpc/order/internal/ordertest"
)

// kafkaFailed tells whether an error is one that the log was asked for.
func kafkaFailed(err error) bool {
	return errors.Is(err, ordertest.ErrDown) || errors.Is(err, ordertest.ErrReplyLost)
}

// redisCopy is what a sale's keys held at one moment.
type redisCopy struct {
	hashes  map[string]map[string]string
	streams map[string][]redis.XMessage
}

func (w *walk) copyRedis() error {
	c := redisCopy{hashes: map[string]map[string]string{}, streams: map[string][]redis.XMessage{}}
	keys, err := w.admin.Keys(ctx, w.keyPattern()).Result()
	if err != nil {
		return err
	}
	for _, key := range keys {
		if strings.HasSuffix(key, ":outbox") {
			c.streams[key], err = w.admin.XRange(ctx, key, "-", "+").Result()
		} else {
			c.hashes[key], err = w.admin.HGetAll(ctx, key).Result()
		}
		if err != nil {
			return err
		}
	}
	w.copied = c
	return nil
}

// moveRedis makes Redis another process with the same data, as a restart or a failover does.
func (w *walk) moveRedis() error {
	if err := w.move(); err != nil {
		return err
	}
	w.sells = false
	// The admin's connections may have ended with the process.
	for range 3 {
		if w.admin.Ping(ctx).Err() == nil {
			break
		}
	}
	return w.other.Ping(ctx)
}

// safeToLose has the relay publish the outbox when Redis alone carries what a client was told of: a
// promise stands in two places, and this is about the loss of one. What nobody was told of may go.
func (w *walk) safeToLose() error {
	v, err := w.look()
	if err != nil {
		return err
	}
	for b, id := range w.answered {
		if _, written := v.orders[id]; !written && !carries(v.log, id, b) {
			w.log.Heal("Publish")
			return w.drain()
		}
	}
	return nil
}

// rollbackRedis brings the last copy back, as a server does that lost its last writes; the process is
// another one then.
func (w *walk) rollbackRedis() error {
	if err := w.safeToLose(); err != nil {
		return err
	}
	if err := w.dropKeys(); err != nil {
		return err
	}
	for key, fields := range w.copied.hashes {
		if err := w.admin.HSet(ctx, key, fields).Err(); err != nil {
			return err
		}
	}
	for key, entries := range w.copied.streams {
		for _, entry := range entries {
			values := []any{"t", entry.Values["t"], "n", entry.Values["n"], "d", entry.Values["d"]} // scripts know them by place
			if err := w.admin.XAdd(ctx, &redis.XAddArgs{Stream: key, ID: entry.ID, Values: values}).Err(); err != nil {
				return err
			}
		}
	}
	return w.moveRedis()
}

func (w *walk) flushRedis() error {
	if err := w.safeToLose(); err != nil {
		return err
	}
	w.sells = false
	return w.dropKeys()
}

// keyPattern matches the keys of the sale in one bucket, and of all buckets.
func (w *world) keyPattern() string { return fmt.Sprintf("sk:{%d[:}]*", w.sale) }

// dropKeys takes the sale's keys out of Redis.
func (w *world) dropKeys() error {
	keys, err := w.admin.Keys(ctx, w.keyPattern()).Result()
	if err != nil || len(keys) == 0 {
		return err
	}
	return w.admin.Del(ctx, keys...).Err()
}
