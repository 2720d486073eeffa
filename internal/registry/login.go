package registry

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/seckill-go/seckill/internal/tlsconf"
)

// loginPaths are Nacos 3's and Nacos 2's.
var loginPaths = []string{"/nacos/v3/auth/user/login", "/nacos/v1/auth/users/login"}

// maxLogin bounds the answer to a login, in bytes.
const maxLogin = 64 << 10

// login keeps an access token. Nacos takes the password over HTTP alone.
type login struct {
	username, password string
	tls                *tlsconf.Client

	mu      sync.Mutex
	token   string
	renewAt time.Time
}

// get returns a token that is valid now, or "" when no login is configured.
func (l *login) get(ctx context.Context, at endpoint) (string, error) {
	if l.username == "" {
		return "", nil
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token != "" && time.Now().Before(l.renewAt) {
		return l.token, nil
	}
	token, lives, err := l.ask(ctx, at)
	if err != nil {
		return "", fmt.Errorf("log in to nacos: %w", err)
	}
	// A tenth of its life is left for clocks and for calls under way.
	l.token, l.renewAt = token, time.Now().Add(lives-lives/10)
	return token, nil
}

// forget drops a token that the server did not take: one that was restarted may not know it.
func (l *login) forget(token string) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.token == token {
		l.token = ""
	}
}

func (l *login) ask(ctx context.Context, at endpoint) (token string, lives time.Duration, err error) {
	transport := &http.Transport{}
	defer transport.CloseIdleConnections()
	scheme := "http"
	if l.tls != nil {
		scheme = "https"
		transport.TLSClientConfig = l.tls.Config(at.host)
	}
	client := &http.Client{Transport: transport}
	for _, path := range loginPaths {
		var found bool
		token, lives, found, err = l.post(ctx, client, scheme+"://"+at.http+path)
		if found {
			return token, lives, err
		}
	}
	return "", 0, err
}

// post sends the password. Not found is a server that does not have the address.
func (l *login) post(ctx context.Context, client *http.Client, address string) (token string, lives time.Duration, found bool, err error) {
	form := url.Values{"username": {l.username}, "password": {l.password}}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, address, strings.NewReader(form.Encode()))
	if err != nil {
		return "", 0, true, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	res, err := client.Do(req)
	if err != nil {
		return "", 0, true, err
	}
	defer func() { _ = res.Body.Close() }() // only read
	body, err := io.ReadAll(io.LimitReader(res.Body, maxLogin))
	if err != nil {
		return "", 0, true, err
	}
	if res.StatusCode != http.StatusOK {
		return "", 0, res.StatusCode != http.StatusNotFound, fmt.Errorf("status %s", res.Status)
	}
	var answer struct {
		AccessToken string `json:"accessToken"`
		// TokenTTL is in seconds.
		TokenTTL int64 `json:"tokenTtl"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", 0, true, fmt.Errorf("answer to the login: %w", err)
	}
	if answer.AccessToken == "" || answer.TokenTTL <= 0 {
		return "", 0, true, errors.New("the answer holds no token")
	}
	return answer.AccessToken, time.Duration(answer.TokenTTL) * time.Second, true, nil
}
