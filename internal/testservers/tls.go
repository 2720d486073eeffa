package testservers

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

// Authority signs certificates for one test.
type Authority struct {
	// File is its certificate, in PEM.
	File string

	t    testing.TB
	dir  string
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
}

// Pair is a certificate and its key.
type Pair struct {
	// CertFile and KeyFile are in PEM, the key in PKCS #8. BothFile holds the key and after it the
	// certificate, as Kafka wants them.
	CertFile, KeyFile, BothFile string
}

// Files are the certificate's file and the key's.
func (p Pair) Files() (cert, key string) { return p.CertFile, p.KeyFile }

// NewAuthority makes an authority that nobody trusts yet.
func NewAuthority(t testing.TB) *Authority {
	t.Helper()
	a := &Authority{t: t, dir: t.TempDir()}
	a.File = filepath.Join(a.dir, "ca.pem")
	template := template("seckill test authority")
	template.IsCA, template.BasicConstraintsValid = true, true
	template.KeyUsage = x509.KeyUsageCertSign
	key, der := a.sign(template, nil, nil)
	var err error
	if a.cert, err = x509.ParseCertificate(der); err != nil {
		t.Fatal(err)
	}
	a.key = key
	a.write(a.File, block("CERTIFICATE", der))
	return a
}

// Issue makes a certificate for servers and clients. Its common name is the first of the names, which
// are DNS names or IP addresses.
func (a *Authority) Issue(names ...string) Pair {
	a.t.Helper()
	dir, err := os.MkdirTemp(a.dir, "pair-")
	if err != nil {
		a.t.Fatal(err)
	}
	p := Pair{
		CertFile: filepath.Join(dir, "cert.pem"), KeyFile: filepath.Join(dir, "key.pem"), BothFile: filepath.Join(dir, "both.pem"),
	}
	a.IssueInto(p, names...)
	return p
}

// IssueInto is Issue over the files of a pair, as a renewal does it.
func (a *Authority) IssueInto(p Pair, names ...string) {
	a.t.Helper()
	template := template(names[0])
	template.KeyUsage = x509.KeyUsageDigitalSignature
	template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	for _, name := range names {
		if ip := net.ParseIP(name); ip != nil {
			template.IPAddresses = append(template.IPAddresses, ip)
		} else {
			template.DNSNames = append(template.DNSNames, name)
		}
	}
	key, der := a.sign(template, a.cert, a.key)
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	certPEM, keyPEM := block("CERTIFICATE", der), block("PRIVATE KEY", pkcs8)
	a.write(p.CertFile, certPEM)
	a.write(p.KeyFile, keyPEM)
	a.write(p.BothFile, append(keyPEM, certPEM...))
}

func template(name string) *x509.Certificate {
	return &x509.Certificate{
		Subject:   pkix.Name{CommonName: name},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour),
	}
}

// sign makes a key and a certificate of it; parent is nil for one that signs itself.
func (a *Authority) sign(template, parent *x509.Certificate, parentKey *ecdsa.PrivateKey) (*ecdsa.PrivateKey, []byte) {
	a.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	if template.SerialNumber, err = rand.Int(rand.Reader, new(big.Int).Lsh(big.NewInt(1), 100)); err != nil {
		a.t.Fatal(err)
	}
	if parent == nil {
		parent, parentKey = template, key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, &key.PublicKey, parentKey)
	if err != nil {
		a.t.Fatal(err)
	}
	return key, der
}

func block(kind string, der []byte) []byte {
	return pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der})
}

func (a *Authority) write(file string, content []byte) {
	a.t.Helper()
	if err := os.WriteFile(file, content, 0o600); err != nil {
		a.t.Fatal(err)
	}
}
