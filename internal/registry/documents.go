package registry

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// documentRetry is between two attempts of Document.
const documentRetry = 250 * time.Millisecond

// Document reads a configuration document of the Config's group. ErrNoDocument: Nacos does not have
// it. While Nacos does not answer it is asked again for as long as ctx allows; the error then wraps
// that of ctx and says what was wrong.
func (c *Client) Document(ctx context.Context, dataID string) (string, error) {
	signals, stop := c.server.watch(documentKey(dataID))
	defer stop()
	for {
		content, err := c.server.document(ctx, dataID)
		if err == nil || errors.Is(err, ErrNoDocument) {
			return content, err
		}
		select {
		case <-ctx.Done():
			return "", fmt.Errorf("document %s: %w: %w", dataID, ctx.Err(), err)
		case <-c.ctx.Done():
			return "", fmt.Errorf("document %s: %w", dataID, errClosed)
		case <-signals:
		case <-time.After(documentRetry):
		}
	}
}

// Watch calls changed with the document's content as it is first found, and after every change, one
// call at a time and never with an older content after a newer one; of changes close together some may
// be left out. It is not called while Nacos is away or does not have the document, so that a lost
// document clears nothing. stop returns when no call is under way; changed must not call it.
func (c *Client) Watch(dataID string, changed func(content string)) (stop func()) {
	ctx, cancel := context.WithCancel(c.ctx)
	ended := make(chan struct{})
	c.work.Go(func() {
		defer close(ended)
		c.watch(ctx, dataID, changed)
	})
	return func() {
		cancel()
		<-ended
	}
}

func (c *Client) watch(ctx context.Context, dataID string, changed func(string)) {
	signals, stop := c.server.watch(documentKey(dataID))
	defer stop()
	var (
		last     *string
		listened uint64 // the connection over which pushes come
		problem  complaint
	)
	poll := time.NewTicker(pollEvery)
	defer poll.Stop()
	for {
		epoch, err := c.server.connection()
		if err == nil && epoch != listened {
			listened, err = c.server.listen(ctx, dataID)
		}
		var content string
		if err == nil {
			content, err = c.server.document(ctx, dataID)
		}
		switch {
		case ctx.Err() != nil:
			return
		case err == nil && (last == nil || *last != content):
			last = &content
			changed(content)
		}
		problem.report("nacos: a document cannot be read, what is known of it stays", dataID, err)
		select {
		case <-ctx.Done():
			return
		case <-signals:
		case <-poll.C:
		}
	}
}

// complaint logs a trouble when it begins and when it ends, not each time that it is met.
type complaint struct{ standing bool }

func (c *complaint) report(message, subject string, err error) {
	switch {
	case errors.Is(err, errConnecting):
		return // no trouble yet
	case errors.Is(err, ErrNoDocument) && !c.standing:
		logx.Infow("nacos: there is no such document, what is built in holds", logx.Field("subject", subject))
	case err != nil && !c.standing:
		logx.Errorw(message, logx.Field("subject", subject), logx.Field("error", err))
	case err == nil && c.standing:
		logx.Infow("nacos: it is well again", logx.Field("subject", subject))
	}
	c.standing = err != nil
}
