// Package sse writes a text/event-stream to an HTTP client.
package sse

import (
	"fmt"
	"net/http"
	"strings"
	"time"
)

// Stream is an event stream on its way to one client. It belongs to one goroutine.
type Stream struct {
	w       http.ResponseWriter
	control *http.ResponseController
	timeout time.Duration
	started bool
}

// New prepares a stream. Nothing is sent before the first event, so that a problem can still be the
// answer. A client that takes longer than timeout for one write is given up.
func New(w http.ResponseWriter, timeout time.Duration) *Stream {
	return &Stream{w: w, control: http.NewResponseController(w), timeout: timeout}
}

// Started tells whether something was sent, after which nothing but events can be.
func (s *Stream) Started() bool { return s.started }

// Event sends one event. event and id are single lines; data may be any text.
func (s *Stream) Event(event, id, data string) error {
	return s.send(fmt.Sprintf("event: %s\nid: %s\ndata: %s\n\n", event, id, strings.ReplaceAll(data, "\n", "\ndata: ")))
}

// Beat sends a comment, which shows to both ends and to all between them that the stream lives.
func (s *Stream) Beat() error { return s.send(": \n\n") }

// End gives the server time to close the answer properly: the last write's deadline may be long over.
func (s *Stream) End() error {
	if !s.started {
		return nil
	}
	return s.control.SetWriteDeadline(time.Now().Add(s.timeout))
}

func (s *Stream) send(text string) error {
	// A deadline of its own for each write takes the place of the server's, which counts from the
	// request.
	if err := s.control.SetWriteDeadline(time.Now().Add(s.timeout)); err != nil {
		return err
	}
	if !s.started {
		s.started = true
		h := s.w.Header()
		h.Set("Content-Type", "text/event-stream")
		h.Set("Cache-Control", "no-store")
		h.Set("X-Accel-Buffering", "no") // or nginx keeps the events until its buffer is full
		s.w.WriteHeader(http.StatusOK)
	}
	if _, err := s.w.Write([]byte(text)); err != nil {
		return err
	}
	return s.control.Flush()
}
