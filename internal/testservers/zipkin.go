package testservers

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"sync"
	"testing"
	"time"
)

// zipkinStartLimit is how long the server may take to answer on a busy machine.
const zipkinStartLimit = 90 * time.Second

// zipkin is the one server of this test binary.
var zipkin struct {
	once   sync.Once
	server *zipkinServer
	err    error
}

type zipkinServer struct {
	dir     string
	url     string
	process *process
}

// Zipkin returns the base URL, without a slash at the end, of a real Zipkin, which the first call
// starts; it keeps its spans in memory. All tests of the binary share it, so each needs trace ids or
// service names of its own. The test binary's TestMain must call StopZipkin at its end. Where java or
// what scripts/java-dist fetches is missing the test is skipped, or fails when RequireVariable asks for
// that.
func Zipkin(t testing.TB) string {
	t.Helper()
	zipkin.once.Do(func() { zipkin.server, zipkin.err = startZipkin() })
	require(t, "Zipkin", zipkin.err)
	return zipkin.server.url
}

// StopZipkin ends the server, if a test started it.
func StopZipkin() {
	if zipkin.server == nil {
		return
	}
	if err := zipkin.server.stop(); err != nil {
		fmt.Fprintln(os.Stderr, "stop Zipkin:", err)
	}
}

func startZipkin() (*zipkinServer, error) {
	java, err := exec.LookPath("java")
	if err != nil {
		return nil, err
	}
	dist, err := javaServer("zipkin")
	if err != nil {
		return nil, err
	}
	jars, err := filepath.Glob(filepath.Join(dist, "libs", "*.jar"))
	if err != nil {
		return nil, err
	}
	if len(jars) != 1 {
		return nil, fmt.Errorf("%s has %d jars, want Zipkin's one", dist, len(jars))
	}
	port, err := freePort()
	if err != nil {
		return nil, err
	}
	dir, err := os.MkdirTemp("", "seckill-zipkin-")
	if err != nil {
		return nil, err
	}
	z := &zipkinServer{dir: dir, url: "http://" + loopback(port)}
	// server.port alone would listen on every interface.
	name, args := offPath(java,
		"-Djava.io.tmpdir="+dir, "-Xms32m", "-Xmx256m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", "-Djava.awt.headless=true", "-jar", jars[0],
		"--armeria.ports[0].ip=127.0.0.1", fmt.Sprintf("--armeria.ports[0].port=%d", port), "--armeria.ports[0].protocols[0]=http",
		"--zipkin.storage.type=mem")
	if z.process, err = startProcess(filepath.Join(dir, "log"), name, args...); err != nil {
		return nil, errors.Join(err, os.RemoveAll(dir))
	}
	if err := z.process.await(zipkinStartLimit, z.answers); err != nil {
		return nil, errors.Join(err, z.stop())
	}
	return z, nil
}

func (z *zipkinServer) answers() error {
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, z.url+"/health", http.NoBody)
	if err != nil {
		return err
	}
	return get(req)
}

// stop kills the server: its spans go with it.
func (z *zipkinServer) stop() error {
	return errors.Join(z.process.kill(), os.RemoveAll(z.dir))
}
