package httpserve

import (
	"log"
	"strings"

	"github.com/zeromicro/go-zero/core/logx"
)

// ErrorLog is for http.Server.ErrorLog: what the server says about its connections goes to the
// service's log.
func ErrorLog() *log.Logger { return log.New(serverLog{}, "", 0) }

type serverLog struct{}

// Write logs one line.
func (serverLog) Write(p []byte) (int, error) {
	logx.Errorw("http server", logx.Field("message", strings.TrimSpace(string(p))))
	return len(p), nil
}
