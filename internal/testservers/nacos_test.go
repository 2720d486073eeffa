package testservers

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
)

// config is one of the values that a Nacos keeps.
var config = url.Values{"dataId": {"kept"}, "groupName": {"DEFAULT_GROUP"}, "content": {"value"}}

// keeps waits until the server has the value, or has not.
func keeps(t *testing.T, n *NacosServer, want bool) {
	t.Helper()
	err := n.server.process.await(30*time.Second, func() error {
		err := n.server.call(http.MethodGet, "v1/cs/configs?dataId=kept&group=DEFAULT_GROUP", nil)
		if want {
			return err
		}
		if err == nil || !strings.HasPrefix(err.Error(), "404 ") {
			return &unexpected{err}
		}
		return nil
	})
	if err != nil {
		t.Fatalf("want the value %v: %v", want, err)
	}
}

// unexpected is an answer that was not hoped for, be it a good one.
type unexpected struct{ error }

func (u *unexpected) Error() string {
	if u.error == nil {
		return "the value is there"
	}
	return u.error.Error()
}

func TestNacos(t *testing.T) {
	n := Nacos(t)
	if again := Nacos(t); again.Addr() != n.Addr() {
		t.Fatalf("a second call gave %v after %v", again.Addr(), n.Addr())
	}
	if err := n.server.call(http.MethodPost, "v3/admin/cs/config", config); err != nil {
		t.Fatal(err)
	}
	keeps(t, n, true)
	n.Stop()
	if err := n.server.answers(); err == nil {
		t.Fatal("it answers after it was stopped")
	}
	n.Start()
	keeps(t, n, true)
	n.Stop()
	n.StartEmpty()
	keeps(t, n, false)
}

// TestNacosInstance: weight and enabled of an instance can be set from outside, as an operator does.
func TestNacosInstance(t *testing.T) {
	n := Nacos(t)
	instance := url.Values{"serviceName": {"set"}, "ip": {"127.0.0.1"}, "port": {"9"}, "ephemeral": {"false"}}
	if err := n.server.call(http.MethodPost, "v3/admin/ns/instance", instance); err != nil {
		t.Fatal(err)
	}
	instance.Set("weight", "0")
	instance.Set("enabled", "false")
	// The service takes shape behind the first answer.
	err := n.server.process.await(30*time.Second, func() error {
		return n.server.call(http.MethodPut, "v3/admin/ns/instance", instance)
	})
	if err != nil {
		t.Fatal(err)
	}
}

func TestSecureNacos(t *testing.T) {
	n := SecureNacos(t, "sesame")
	err := n.server.call(http.MethodGet, "v3/admin/ns/service/list?pageNo=1&pageSize=1", nil)
	if err == nil || !strings.HasPrefix(err.Error(), "403 ") {
		t.Fatalf("without a token: %v", err)
	}
	other := url.Values{"username": {"nacos"}, "password": {"other"}}
	// Which code it is changes from one version of Nacos to the next.
	if err := n.server.call(http.MethodPost, "v3/auth/user/login", other); err == nil {
		t.Fatal("another password was good")
	}
}
