package registry

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nacos-group/nacos-sdk-go/v2/common/constant"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_request"
	"github.com/nacos-group/nacos-sdk-go/v2/common/remote/rpc/rpc_response"
	"github.com/nacos-group/nacos-sdk-go/v2/model"
)

// pollEvery is how often everything that is watched is read again, in case that a push was lost.
const pollEvery = 3 * time.Second

// server is what registrations, resolvers and documents need of Nacos. Every call is bounded in time
// and fails at once while there is no connection.
type server interface {
	// connection numbers the connection in use, from 1; without one the error says why.
	connection() (uint64, error)
	// register and hosts return the number of the connection that they went over. hosts also asks for
	// pushes under serviceKey; those that an operator disabled are not among them.
	register(ctx context.Context, service string, in model.Instance) (uint64, error)
	deregister(ctx context.Context, service string, in model.Instance) error
	hosts(ctx context.Context, service string) ([]model.Instance, uint64, error)
	// document is ErrNoDocument when the server has none.
	document(ctx context.Context, dataID string) (string, error)
	// listen asks for pushes under documentKey over the connection in use, and returns its number.
	listen(ctx context.Context, dataID string) (uint64, error)
	// watch signals pushes under the key, and connections made and lost, until stop.
	watch(key string) (signals <-chan struct{}, stop func())
}

func serviceKey(service string) string { return "service " + service }

func documentKey(dataID string) string { return "document " + dataID }

// Client is a process's link to Nacos.
type Client struct {
	server server
	close  func()

	ctx    context.Context
	cancel context.CancelFunc
	work   sync.WaitGroup

	mu         sync.Mutex
	registered map[string]bool
}

// Open makes a Client and starts connecting in the background: Nacos need not be up. The error is a
// fault of the configuration.
func Open(cfg Config) (*Client, error) {
	cfg = cfg.withDefaults()
	l, err := openLink(cfg, healthEvery)
	if err != nil {
		return nil, err
	}
	return newClient(&nacos{link: l, group: cfg.Group}, l.close), nil
}

func newClient(s server, closeServer func()) *Client {
	ctx, cancel := context.WithCancel(context.Background())
	return &Client{server: s, close: closeServer, ctx: ctx, cancel: cancel, registered: map[string]bool{}}
}

// Close ends registrations, watches and the connection, and returns when their goroutines have ended.
// Instances that have not left are gone from Nacos at once. Resolvers keep what they know. A second
// call does nothing.
func (c *Client) Close() error {
	c.cancel()
	c.work.Wait()
	c.close()
	return nil
}

// Connected is nil while there is a connection to Nacos, and otherwise says why there is none.
func (c *Client) Connected() error {
	_, err := c.server.connection()
	return err
}

// nacos is the server over a link.
type nacos struct {
	*link
	group string
}

// namingNamespace is the public namespace's name where services are concerned; documents know it as "".
func (n *nacos) namingNamespace() string {
	if n.namespace == "" {
		return constant.DEFAULT_NAMESPACE_ID
	}
	return n.namespace
}

func (n *nacos) register(ctx context.Context, service string, in model.Instance) (uint64, error) {
	return n.call(ctx, rpc_request.NewInstanceRequest(n.namingNamespace(), service, n.group, "registerInstance", in), nil)
}

func (n *nacos) deregister(ctx context.Context, service string, in model.Instance) error {
	_, err := n.call(ctx, rpc_request.NewInstanceRequest(n.namingNamespace(), service, n.group, "deregisterInstance", in), nil)
	return err
}

// hosts subscribes every time that it reads: the server takes it as one subscription a connection,
// and a new connection needs a new one.
func (n *nacos) hosts(ctx context.Context, service string) ([]model.Instance, uint64, error) {
	var answer rpc_response.SubscribeServiceResponse
	epoch, err := n.call(ctx, rpc_request.NewSubscribeServiceRequest(n.namingNamespace(), service, n.group, "", true), &answer)
	return answer.ServiceInfo.Hosts, epoch, err
}

func (n *nacos) document(ctx context.Context, dataID string) (string, error) {
	var answer rpc_response.ConfigQueryResponse
	_, err := n.call(ctx, rpc_request.NewConfigQueryRequest(n.group, dataID, n.namespace), &answer)
	if refused(err, codeNoDocument) {
		return "", fmt.Errorf("%w: %s in group %s", ErrNoDocument, dataID, n.group)
	}
	return answer.Content, err
}

func (n *nacos) listen(ctx context.Context, dataID string) (uint64, error) {
	req := rpc_request.NewConfigBatchListenRequest(1)
	req.ConfigListenContexts = append(req.ConfigListenContexts,
		model.ConfigListenContext{Group: n.group, DataId: dataID, Tenant: n.namespace})
	return n.call(ctx, req, nil)
}

// ErrNoDocument is a document that Nacos does not have.
var ErrNoDocument = errors.New("nacos has no such document")
