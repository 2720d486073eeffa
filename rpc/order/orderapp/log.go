package orderapp

import (
	"context"
	"log/slog"

	"github.com/zeromicro/go-zero/core/logx"
)

// slogFrames are those between a caller of slog and logx: Handle and two of slog's own.
const slogFrames = 3

// logHandler hands the domain's log records to go-zero's logger.
type logHandler struct{ fields []logx.LogField }

// Enabled leaves the choice of levels to logx.
func (logHandler) Enabled(context.Context, slog.Level) bool { return true }

// Handle writes a record with its attributes as fields.
func (h logHandler) Handle(ctx context.Context, r slog.Record) error {
	fields := append([]logx.LogField(nil), h.fields...)
	r.Attrs(func(a slog.Attr) bool {
		fields = append(fields, field(a))
		return true
	})
	l := logx.WithContext(ctx).WithCallerSkip(slogFrames)
	switch {
	case r.Level >= slog.LevelError:
		l.Errorw(r.Message, fields...)
	case r.Level >= slog.LevelInfo:
		l.Infow(r.Message, fields...)
	default:
		l.Debugw(r.Message, fields...)
	}
	return nil
}

func field(a slog.Attr) logx.LogField {
	if err, ok := a.Value.Any().(error); ok {
		return logx.Field(a.Key, err.Error())
	}
	return logx.Field(a.Key, a.Value.Any())
}

// WithAttrs adds fields to every record.
func (h logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	fields := append([]logx.LogField(nil), h.fields...)
	for _, a := range attrs {
		fields = append(fields, field(a))
	}
	return logHandler{fields}
}

// WithGroup keeps names flat, as logx does.
func (h logHandler) WithGroup(string) slog.Handler { return h }
