package flow

import (
	"os"
	"runtime"
	"strconv"
	"strings"
	"sync"
	"time"

	sentinelsystem "github.com/alibaba/sentinel-golang/core/system"
	"github.com/alibaba/sentinel-golang/core/system_metric"
)

// sampleEvery is how often the load and the CPU time are read.
const sampleEvery = time.Second

// protection is what the guards of one process share: Sentinel has one set of system rules. Each guard's
// rules hold, so the strictest does.
var protection struct {
	sync.Mutex
	guards map[*Guard]System
	end    func()
}

// protect sets a guard's rules for the process; nil takes them back. The first guard starts the sampling,
// the last one ends it.
func protect(g *Guard, s *System) error {
	p := &protection
	p.Lock()
	defer p.Unlock()
	if p.guards == nil {
		p.guards = map[*Guard]System{}
	}
	if s == nil {
		delete(p.guards, g)
	} else {
		p.guards[g] = *s
	}
	var all []*sentinelsystem.Rule
	for _, s := range p.guards {
		all = append(all, systemRules(s, runtime.GOMAXPROCS(0))...)
	}
	_, err := sentinelsystem.LoadRules(all)
	switch {
	case len(p.guards) == 0 && p.end != nil:
		p.end()
		p.end = nil
	case len(p.guards) > 0 && p.end == nil:
		p.end = startSampling()
	}
	return err
}

// startSampling tells Sentinel the machine's load and the process's share of its CPUs, every second until
// end. Sentinel's own collectors cannot be stopped and read the CPU of the whole machine, whatever the
// container may use of it; GOMAXPROCS heeds that.
func startSampling() (end func()) {
	stop, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		tick := time.NewTicker(sampleEvery)
		defer tick.Stop()
		last, known := cpuTime()
		at := time.Now()
		for {
			select {
			case <-stop:
				return
			case now := <-tick.C:
				if load, ok := machineLoad(); ok {
					system_metric.SetSystemLoad(load)
				}
				used, ok := cpuTime()
				if passed := now.Sub(at); ok && known && passed > 0 {
					system_metric.SetSystemCpuUsage(float64(used-last) / float64(passed) / float64(runtime.GOMAXPROCS(0)))
				}
				last, known, at = used, ok, now
			}
		}
	}()
	return func() {
		close(stop)
		<-ended
	}
}

// machineLoad is the load average of the last minute, where the system tells it as Linux does.
func machineLoad() (float64, bool) {
	text, err := os.ReadFile("/proc/loadavg")
	if err != nil {
		return 0, false
	}
	fields := strings.Fields(string(text))
	if len(fields) == 0 {
		return 0, false
	}
	load, err := strconv.ParseFloat(fields[0], 64)
	return load, err == nil
}
