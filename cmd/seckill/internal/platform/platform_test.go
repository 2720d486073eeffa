package platform

import (
	"testing"

	"github.com/seckill-go/seckill/rpc/order/orderapp"
)

// Platforms on different topics must not be in one group: each would hold partitions of the other's.
func TestUseTopic(t *testing.T) {
	for topic, want := range map[string][2]string{
		"":           {DefaultTopic, ""},
		DefaultTopic: {DefaultTopic, ""},
		"other":      {"other", "other-writer"},
	} {
		cfg := orderapp.Defaults("127.0.0.1:0")
		UseTopic(&cfg, topic)
		if got := [2]string{cfg.Kafka.Topic, cfg.Kafka.Group}; got != want {
			t.Errorf("%q: topic and group %q, want %q", topic, got, want)
		}
	}
}
