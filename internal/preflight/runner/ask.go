package runner

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/seckill-go/seckill/internal/preflight"
	"github.com/seckill-go/seckill/internal/preflight/seal"
)

// maxAnswer bounds an agent's answer, in bytes.
const maxAnswer = 16 << 20

// hello asks who an agent is, and how far its clock is ahead.
func (r *run) hello(ctx context.Context, address string) (h preflight.Hello, ahead time.Duration, err error) {
	ctx, cancel := context.WithTimeout(ctx, helloLimit)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+preflight.HelloPath, nil)
	if err != nil {
		return h, 0, err
	}
	sent := time.Now()
	res, err := r.client.Do(req)
	if err != nil {
		return h, 0, err
	}
	defer func() { _ = res.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return h, 0, err
	}
	if err := json.Unmarshal(body, &h); err != nil || res.StatusCode != http.StatusOK || h.Boot == "" || h.Node == "" {
		return h, 0, fmt.Errorf("what answers is no agent: %s", res.Status)
	}
	now := time.Now()
	return h, h.Time.Sub(sent.Add(now.Sub(sent) / 2)), nil
}

// refusal is an answer of an agent that is none.
type refusal struct {
	status int
	text   string
}

// Error says what the agent said.
func (r refusal) Error() string { return fmt.Sprintf("%d: %s", r.status, r.text) }

// ask sends one sealed request and decodes the answer. What went wrong becomes a finding, and an agent
// that is silent or has another key is left alone from then on.
func (r *run) ask(ctx context.Context, p *peer, path string, limit time.Duration, what string, in, out any) bool {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	err := r.post(ctx, p, path, in, out)
	var no refusal
	switch {
	case err == nil:
		return true
	case errors.Is(err, seal.ErrRefused):
		p.gone = true
		r.add("agent-refused", p.Node, p.Address, "%s: %v", what, err)
	case errors.As(err, &no) && no.status == http.StatusUnauthorized:
		p.gone = true
		r.add("agent-refused", p.Node, p.Address, "%s: it does not know the key", what)
	case errors.As(err, &no):
		r.add("check-failed", p.Node, what, "%v", no)
	case errors.Is(ctx.Err(), context.Canceled):
		// The run was interrupted, which is said once.
	default:
		p.gone = true
		r.add("agent-silent", p.Node, p.Address, "asked for %s: %s", what, short(err))
	}
	return false
}

func (r *run) post(ctx context.Context, p *peer, path string, in, out any) error {
	body, err := json.Marshal(in)
	if err != nil {
		return err
	}
	e := seal.NewEnvelope(http.MethodPost, path, p.Boot, time.Now().Add(p.ahead))
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+p.Address+path, bytes.NewReader(r.sealer.Seal(e, body)))
	if err != nil {
		return err
	}
	req.Header.Set("Authorization", e.Header())
	res, err := r.client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = res.Body.Close() }()
	answer, err := io.ReadAll(io.LimitReader(res.Body, maxAnswer))
	if err != nil {
		return err
	}
	if res.StatusCode != http.StatusOK {
		return refusal{res.StatusCode, strings.TrimSpace(string(answer[:min(len(answer), 200)]))}
	}
	if answer, err = r.sealer.OpenAnswer(e, answer); err != nil {
		return err
	}
	return json.Unmarshal(answer, out)
}

// short is an error without the method and the address, which the finding has.
func short(err error) string {
	var u *url.Error
	if errors.As(err, &u) {
		if u.Timeout() {
			return "no answer in time"
		}
		err = u.Err
	}
	return err.Error()
}
