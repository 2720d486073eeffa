package tlsconf

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io/fs"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/zeromicro/go-zero/core/logx"
)

// lookAgain is how often the files are looked at while connections are made.
const lookAgain = time.Second

// material is what the files held when they were read. It does not change.
type material struct {
	certificate *tls.Certificate
	authorities *x509.CertPool
}

// files keeps the material up to date.
type files struct {
	cfg   Config
	clock func() time.Time

	mu     sync.Mutex
	looked time.Time
	seen   []fs.FileInfo
	last   *material
	fault  string
}

func open(cfg Config, clock func() time.Time) (*files, error) {
	f := &files{cfg: cfg, clock: clock, looked: clock()}
	seen, err := f.stat()
	if err != nil {
		return nil, err
	}
	if f.last, err = f.read(); err != nil {
		return nil, err
	}
	f.seen = seen
	return f, nil
}

// now is the material as of at most lookAgain ago. While the files cannot be used, as between the
// writing of a certificate and of its key, it stays what it was, and the log says why.
func (f *files) now() *material {
	f.mu.Lock()
	defer f.mu.Unlock()
	at := f.clock()
	if at.Sub(f.looked) < lookAgain {
		return f.last
	}
	f.looked = at
	if err := f.renew(); err == nil {
		f.fault = ""
	} else if f.fault != err.Error() {
		f.fault = err.Error()
		logx.Errorw("changed TLS files cannot be used, those before them still are", logx.Field("error", f.fault))
	}
	return f.last
}

func (f *files) renew() error {
	// Looked at before they are read: what is written in between is seen as a change next time.
	seen, err := f.stat()
	if err != nil {
		return err
	}
	if slices.EqualFunc(f.seen, seen, same) {
		return nil
	}
	m, err := f.read()
	if err != nil {
		return err
	}
	f.seen, f.last = seen, m
	return nil
}

func same(a, b fs.FileInfo) bool {
	return os.SameFile(a, b) && a.ModTime().Equal(b.ModTime()) && a.Size() == b.Size()
}

func (f *files) stat() ([]fs.FileInfo, error) {
	var all []fs.FileInfo
	for _, file := range []struct{ field, path string }{
		{"CAFile", f.cfg.CAFile}, {"CertFile", f.cfg.CertFile}, {"KeyFile", f.cfg.KeyFile},
	} {
		if file.path == "" {
			continue
		}
		info, err := os.Stat(file.path)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file.field, err)
		}
		all = append(all, info)
	}
	return all, nil
}

func (f *files) read() (*material, error) {
	m := new(material)
	if path := f.cfg.CAFile; path != "" {
		pem, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("CAFile: %w", err)
		}
		m.authorities = x509.NewCertPool()
		if !m.authorities.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("CAFile: %s holds no certificate", path)
		}
	}
	if f.cfg.CertFile != "" {
		pair, err := tls.LoadX509KeyPair(f.cfg.CertFile, f.cfg.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("CertFile %s with KeyFile %s: %w", f.cfg.CertFile, f.cfg.KeyFile, err)
		}
		m.certificate = &pair
	}
	return m, nil
}
