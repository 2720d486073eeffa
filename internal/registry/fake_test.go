package registry

import (
	"context"
	"errors"
	"os"
	"sync"
	"testing"

	"github.com/nacos-group/nacos-sdk-go/v2/model"
	"github.com/seckill-go/seckill/internal/testservers"
	"github.com/zeromicro/go-zero/core/logx"
)

func TestMain(m *testing.M) {
	logx.Disable()
	code := m.Run()
	testservers.StopNacos()
	os.Exit(code)
}

var errAway = errors.New("away")

// fakeServer is Nacos in memory, with one connection at a time. Each call can be given another
// behaviour by its function field.
type fakeServer struct {
	onRegister   func(model.Instance) error
	onDeregister func() error
	onDocument   func() (string, error)

	mu        sync.Mutex
	up        bool
	epoch     uint64
	listed    map[string][]model.Instance
	documents map[string]string
	watchers  map[string][]chan struct{}
	registers int
	left      int
	listened  []uint64
	silent    bool
}

func newFake() *fakeServer {
	return &fakeServer{
		up: true, epoch: 1, listed: map[string][]model.Instance{}, documents: map[string]string{},
		watchers: map[string][]chan struct{}{},
	}
}

// change does something to the server and pushes it, unless the server is silent.
func (f *fakeServer) change(key string, do func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	do()
	if !f.silent {
		f.signal(key)
	}
}

func (f *fakeServer) signal(key string) {
	for _, w := range f.watchers[key] {
		select {
		case w <- struct{}{}:
		default:
		}
	}
}

// connection changes are told to all.
func (f *fakeServer) connect(up, empty bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.up = up
	if up {
		f.epoch++
	}
	if empty {
		clear(f.listed)
		clear(f.documents)
	}
	for key := range f.watchers {
		f.signal(key)
	}
}

func (f *fakeServer) list(service string, hosts ...model.Instance) {
	f.change(serviceKey(service), func() { f.listed[service] = hosts })
}

func (f *fakeServer) publish(dataID, content string) {
	f.change(documentKey(dataID), func() { f.documents[dataID] = content })
}

func (f *fakeServer) counts() (registers, left int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.registers, f.left
}

func (f *fakeServer) connection() (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.now()
}

func (f *fakeServer) now() (uint64, error) {
	if !f.up {
		return 0, errAway
	}
	return f.epoch, nil
}

func (f *fakeServer) register(_ context.Context, service string, in model.Instance) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	epoch, err := f.now()
	if err == nil && f.onRegister != nil {
		err = f.onRegister(in)
	}
	if err != nil {
		return 0, err
	}
	f.registers++
	if f.onRegister == nil {
		f.listed[service] = append(f.listed[service], in)
		f.signal(serviceKey(service))
	}
	return epoch, nil
}

func (f *fakeServer) deregister(_ context.Context, service string, _ model.Instance) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	_, err := f.now()
	if err == nil && f.onDeregister != nil {
		err = f.onDeregister()
	}
	if err == nil {
		f.left++
		delete(f.listed, service)
	}
	return err
}

func (f *fakeServer) hosts(_ context.Context, service string) ([]model.Instance, uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	epoch, err := f.now()
	if err != nil {
		return nil, 0, err
	}
	return f.listed[service], epoch, nil
}

func (f *fakeServer) document(_ context.Context, dataID string) (string, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if _, err := f.now(); err != nil {
		return "", err
	}
	if f.onDocument != nil {
		return f.onDocument()
	}
	content, found := f.documents[dataID]
	if !found {
		return "", ErrNoDocument
	}
	return content, nil
}

func (f *fakeServer) listen(context.Context, string) (uint64, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	epoch, err := f.now()
	f.listened = append(f.listened, epoch)
	return epoch, err
}

func (f *fakeServer) watch(key string) (<-chan struct{}, func()) {
	f.mu.Lock()
	defer f.mu.Unlock()
	signal := make(chan struct{}, 1)
	f.watchers[key] = append(f.watchers[key], signal)
	return signal, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.watchers[key] = nil
	}
}

func fakeClient(t *testing.T, f *fakeServer) *Client {
	t.Helper()
	c := newClient(f, func() {})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

// host is an instance that may get calls.
func host(ip string) model.Instance {
	return model.Instance{Ip: ip, Port: 1, Weight: 1, Healthy: true, Enable: true, Ephemeral: true}
}
