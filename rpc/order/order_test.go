package main

import (
	"strings"
	"testing"
)

func TestTheShippedConfigurationIsValid(t *testing.T) {
	t.Setenv("SECKILL_MYSQL_DSN", "u:p@tcp(127.0.0.1:1)/seckill")
	t.Setenv("SECKILL_WEBHOOK_SECRET", strings.Repeat("s", 32))
	var out strings.Builder
	err := run(t.Context(), []string{"-check"}, &out)
	if err != nil || !strings.Contains(out.String(), "is valid") {
		t.Fatalf("%q, %v", out.String(), err)
	}
}
