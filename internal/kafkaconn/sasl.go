package kafkaconn

import (
	"errors"
	"fmt"
	"net"

	"github.com/segmentio/kafka-go/sasl"
	"github.com/segmentio/kafka-go/sasl/plain"
	"github.com/segmentio/kafka-go/sasl/scram"
)

// SASL is how this client proves who it is.
type SASL struct {
	// Mechanism is PLAIN, SCRAM-SHA-256, SCRAM-SHA-512, or empty for none. PLAIN sends the password
	// itself, so it needs TLS.
	Mechanism string `json:",optional,options=|PLAIN|SCRAM-SHA-256|SCRAM-SHA-512"`
	// Username and Password come from the environment.
	Username string `json:",optional,env=SECKILL_KAFKA_USERNAME"`
	Password string `json:",optional,env=SECKILL_KAFKA_PASSWORD"`
}

// Of is the mechanism for kafka-go, nil for none. Errors: no username or password, PLAIN where the
// connection is not encrypted, an unknown mechanism.
func (s SASL) Of(encrypted bool) (sasl.Mechanism, error) {
	if s.Mechanism != "" && (s.Username == "" || s.Password == "") {
		return nil, fmt.Errorf("SASL %s needs SECKILL_KAFKA_USERNAME and SECKILL_KAFKA_PASSWORD", s.Mechanism)
	}
	switch s.Mechanism {
	case "":
		return nil, nil
	case "PLAIN":
		if !encrypted {
			return nil, errors.New("SASL PLAIN without TLS would send the password in clear")
		}
		return plain.Mechanism{Username: s.Username, Password: s.Password}, nil
	case "SCRAM-SHA-256":
		return scram.Mechanism(scram.SHA256, s.Username, s.Password)
	case "SCRAM-SHA-512":
		return scram.Mechanism(scram.SHA512, s.Username, s.Password)
	}
	return nil, fmt.Errorf("unknown SASL mechanism %q", s.Mechanism)
}

// CheckBrokers gives an error for an empty list and for an address that is not host:port.
func CheckBrokers(brokers []string) error {
	if len(brokers) == 0 {
		return errors.New("no brokers")
	}
	for _, b := range brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return fmt.Errorf("broker %q: %w", b, err)
		}
	}
	return nil
}
