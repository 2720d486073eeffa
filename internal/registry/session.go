package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"sync"
	"time"

	wire "github.com/nacos-group/nacos-sdk-go/v2/api/grpc"
	"github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/peer"
)

const (
	// maxAnswer bounds an answer, in bytes, as the SDK does.
	maxAnswer = 10 << 20
	// setupPause is between two looks whether the server has taken in a new connection.
	setupPause = 20 * time.Millisecond
)

// session is one connection to one server. What is registered over it lives as long as it does: the
// server takes an instance off the moment that the connection breaks, or when it has heard nothing
// for 20 s.
type session struct {
	conn   *grpc.ClientConn
	client wire.RequestClient
	stream wire.BiRequestStream_RequestBiStreamClient
	ip     string
	cancel context.CancelFunc
	// pushed is called, one at a time, with the name of a service or document that changed.
	pushed func(key string)

	once sync.Once
	// dead is closed when the session is of no more use; why is set before.
	dead chan struct{}
	why  error
	// received is closed when the receiving goroutine ended.
	received chan struct{}
}

// openSession connects, introduces this client and waits until the server takes its requests, for
// at most the time that ctx leaves.
func openSession(ctx context.Context, at endpoint, creds credentials.TransportCredentials, namespace string, pushed func(string)) (_ *session, err error) {
	conn, err := grpc.NewClient("passthrough:///"+at.grpc, grpc.WithTransportCredentials(creds),
		grpc.WithDefaultCallOptions(grpc.MaxCallRecvMsgSize(maxAnswer)), grpc.WithDisableServiceConfig())
	if err != nil {
		return nil, err
	}
	// The stream outlives ctx, which only bounds the opening.
	life, cancel := context.WithCancel(context.WithoutCancel(ctx))
	s := &session{
		conn: conn, client: wire.NewRequestClient(conn), cancel: cancel, pushed: pushed,
		dead: make(chan struct{}), received: make(chan struct{}),
	}
	stopOpening := context.AfterFunc(ctx, cancel)
	receiving := false
	defer func() {
		if !stopOpening() && err == nil {
			err = ctx.Err()
		}
		if err == nil {
			return
		}
		if !receiving {
			close(s.received)
		}
		s.close()
	}()
	if err := s.check(ctx); err != nil {
		return nil, fmt.Errorf("check server: %w", err)
	}
	if s.stream, err = wire.NewBiRequestStreamClient(conn).RequestBiStream(life); err != nil {
		return nil, fmt.Errorf("open stream: %w", err)
	}
	setup := rpc_request.NewConnectionSetupRequest()
	setup.ClientVersion, setup.Tenant = constant.CLIENT_VERSION, namespace
	// Without this module the server registers nothing for the connection; documents come over it too.
	setup.Labels = map[string]string{
		constant.LABEL_SOURCE: constant.LABEL_SOURCE_SDK, constant.LABEL_MODULE: constant.LABEL_MODULE_NAMING,
	}
	introduction, err := encode(setup, s.ip, "")
	if err != nil {
		return nil, err
	}
	if err := s.stream.Send(introduction); err != nil {
		return nil, fmt.Errorf("introduce: %w", err)
	}
	receiving = true
	go s.receive()
	return s, s.awaitSetup(ctx)
}

// check is the first call of a connection; it also shows the address by which the server sees us.
func (s *session) check(ctx context.Context) error {
	first, err := encode(rpc_request.NewServerCheckRequest(), "", "")
	if err != nil {
		return err
	}
	var from peer.Peer
	answer, err := s.client.Request(ctx, first, grpc.Peer(&from), grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	if from.LocalAddr != nil {
		if s.ip, _, err = net.SplitHostPort(from.LocalAddr.String()); err != nil {
			return err
		}
	}
	return decode(answer, nil)
}

// awaitSetup waits until the server knows the connection: the introduction has no answer.
func (s *session) awaitSetup(ctx context.Context) error {
	for {
		err := s.healthy(ctx)
		if err == nil {
			return nil
		}
		select {
		case <-s.dead:
			return s.why
		case <-ctx.Done():
			return fmt.Errorf("introduce: %w", err)
		case <-time.After(setupPause):
		}
	}
}

// healthy asks the server whether it knows the connection, and keeps it from timing it out.
func (s *session) healthy(ctx context.Context) error {
	return s.request(ctx, rpc_request.NewHealthCheckRequest(), "", nil)
}

// request sends one request and reads the answer. A refusal is a *Refusal.
func (s *session) request(ctx context.Context, req rpc_request.IRequest, token string, answer any) error {
	p, err := encode(req, s.ip, token)
	if err != nil {
		return err
	}
	res, err := s.client.Request(ctx, p)
	if err != nil {
		return err
	}
	return decode(res, answer)
}

// receive takes what the server sends by itself until the stream breaks.
func (s *session) receive() {
	defer close(s.received)
	for {
		p, err := s.stream.Recv()
		if err == nil {
			err = s.take(p)
		}
		if err != nil {
			s.fail(err)
			return
		}
	}
}

// take handles one message of the server. An error ends the session.
func (s *session) take(p *wire.Payload) error {
	var message struct {
		RequestID   string `json:"requestId"`
		DataID      string `json:"dataId"`
		ServiceInfo struct {
			Name string `json:"name"`
		} `json:"serviceInfo"`
	}
	kind := p.GetMetadata().GetType()
	answers := map[string]string{
		"NotifySubscriberRequest":   "NotifySubscriberResponse",
		"ConfigChangeNotifyRequest": "ConfigChangeNotifyResponse",
		"ClientDetectionRequest":    "ClientDetectionResponse",
		"ConnectResetRequest":       "ConnectResetResponse",
	}
	answer, known := answers[kind]
	if !known {
		return nil // newer servers offer abilities, which need no answer
	}
	if err := json.Unmarshal(p.GetBody().GetValue(), &message); err != nil {
		return fmt.Errorf("nacos %s: %w", kind, err)
	}
	ack, err := acknowledge(answer, message.RequestID, s.ip)
	if err != nil {
		return err
	}
	if err := s.stream.Send(ack); err != nil {
		return err
	}
	switch kind {
	case "NotifySubscriberRequest":
		s.pushed(serviceKey(message.ServiceInfo.Name))
	case "ConfigChangeNotifyRequest":
		s.pushed(documentKey(message.DataID))
	case "ConnectResetRequest":
		return errors.New("the server asked to connect again")
	}
	return nil
}

// fail marks the session as of no more use.
func (s *session) fail(why error) {
	s.once.Do(func() {
		s.why = why
		close(s.dead)
	})
}

// close ends the session and waits for its goroutine.
func (s *session) close() {
	s.fail(errClosed)
	s.cancel()
	_ = s.conn.Close() // nothing is left to be told
	<-s.received
}
