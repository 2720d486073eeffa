package servicemain_test

import (
	"context"
	"io"
	"strings"
	"testing"

	"github.com/seckill-go/seckill/internal/embedded"
	"github.com/seckill-go/seckill/internal/logship"
	"github.com/zeromicro/go-zero/core/logx"
)

// What a service logs, until its end, is in Kafka under its name.
func TestItsLogIsShipped(t *testing.T) {
	k, err := embedded.NewKafka(t.TempDir(), "127.0.0.1:0")
	if err == nil {
		err = k.Start(t.Context())
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := k.Stop(context.Background()); err != nil {
			t.Error(err)
		}
	})
	a := new(app)
	a.start = func(ctx context.Context) error {
		logx.WithContext(ctx).Infow("it starts", logx.Field("order", "7"))
		return nil
	}
	s, args := service(t, a, "LogShip:\n  Brokers: [\""+k.Addr()+"\"]\n")
	stop, said, ended := run(t, s, args)
	said()
	stop()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	var lines []logship.Line
	_, err = logship.Read(t.Context(), logship.Config{Brokers: []string{k.Addr()}}, logship.Query{Order: "7"}, func(l logship.Line) error {
		lines = append(lines, l)
		return nil
	})
	if err != nil || len(lines) != 1 || lines[0].Message != "it starts" || lines[0].Service != "greeter" || lines[0].Level != "info" {
		t.Errorf("read %+v: %v", lines, err)
	}
}

func TestALogThatItCannotWriteIsRefused(t *testing.T) {
	for _, test := range []struct{ yaml, want string }{
		{"Log:\n  Mode: volume\n", "standard output"},
		{"Log:\n  Encoding: plain\n", "standard output"},
		{"LogShip:\n  Brokers: [kafka]\n", "LogShip"},
		{"LogShip:\n  Brokers: [\"kafka:9092\"]\n  TLS:\n    CAFile: none.pem\n", "LogShip"},
	} {
		s, args := service(t, new(app), test.yaml)
		if err := s.Run(t.Context(), append(args, "-check"), io.Discard); err == nil || !strings.Contains(err.Error(), test.want) {
			t.Errorf("%q: %v", test.yaml, err)
		}
	}
}
