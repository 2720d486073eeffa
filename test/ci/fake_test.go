package ci

import (
	"bufio"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
)

// The scripts' world: this test binary under the names of the programs that they call, with its state in
// a file. Every call is written down.

// world is the state that the fakes share.
type world struct {
	// Fail ends calls whose "program arguments" hold a text with exit code 1, for so many times; -1 for ever.
	Fail map[string]int
	// Deployments of the one namespace, by name.
	Deployments map[string]*deployment
	// Record is the ConfigMap last-release, nil when it is not there.
	Record map[string]string
	// Job is the condition that a Job gets: Complete, Failed or none.
	Job string
	// Broken is an image tag with which no pod becomes ready.
	Broken string
	// Lag is how often the Deployments are asked for until the cluster has noted what they were told.
	Lag int
	// Host and TLS are the Ingress'.
	Host, TLS string
	// Units and Code are what seckill load reports and exits with.
	Units, Code int
	// Calls are "program arguments", one for each call; Inputs what it read from stdin.
	Calls, Inputs []string
}

type deployment struct {
	Image    string
	Revision int
	History  map[int]string // earlier revisions' images
	// Pending is what the cluster has not noted yet.
	Pending string
}

const stateFile = "world.json"

// fake is the main function of a program of the world: the exit code.
func fake(program string, args []string) int {
	code, err := play(filepath.Join(os.Getenv("FAKE_WORLD"), stateFile), program, args)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 99
	}
	return code
}

func play(file, program string, args []string) (int, error) {
	// Before the lock: what is read may be what another call of the same pipe writes.
	input := ""
	if slices.Contains(args, "-") || slices.Contains(args, "--password-stdin") {
		b, err := io.ReadAll(os.Stdin)
		if err != nil {
			return 0, err
		}
		input = string(b)
	}
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // with it the lock
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return 0, err
	}
	var w world
	if err := json.NewDecoder(f).Decode(&w); err != nil {
		return 0, err
	}
	code := w.call(program, args, input)
	content, err := json.Marshal(w)
	if err != nil {
		return 0, err
	}
	if err := f.Truncate(0); err != nil {
		return 0, err
	}
	_, err = f.WriteAt(content, 0)
	return code, err
}

func (w *world) call(program string, args []string, input string) int {
	line := strings.Join(append([]string{program}, args...), " ")
	w.Calls = append(w.Calls, line)
	w.Inputs = append(w.Inputs, input)
	for _, text := range slices.Sorted(maps.Keys(w.Fail)) {
		if left := w.Fail[text]; strings.Contains(line, text) && left != 0 {
			w.Fail[text] = left - 1
			fmt.Fprintln(os.Stderr, program+": made to fail")
			return 1
		}
	}
	switch program {
	case "kubectl":
		return w.kubectl(args, input)
	case "curl":
		return w.curl(args)
	case "seckill":
		fmt.Printf("{\n  \"saleId\": \"42\",\n  \"acceptedUnits\": %d\n}\n", w.Units)
		return w.Code
	}
	return 0
}

func (w *world) curl(args []string) int {
	if strings.HasSuffix(args[len(args)-1], "/sessions") {
		fmt.Println(`{"accessToken":"a.token","expiresIn":900}`)
	}
	return 0
}

var (
	newTag     = regexp.MustCompile(`name: (\S+), newName: (\S+), newTag: "(\S+)"`)
	nameSuffix = regexp.MustCompile(`(?m)^nameSuffix: (\S+)$`)
)

func (w *world) kubectl(args []string, input string) int {
	if args[0] == "kustomize" {
		content, err := os.ReadFile(filepath.Join(args[1], "kustomization.yaml"))
		if err != nil {
			return 99
		}
		// What is referred to must be there, from where it is.
		m := regexp.MustCompile(`(?m)^resources: \[(\S+)\]$`).FindStringSubmatch(string(content))
		if _, err := os.Stat(filepath.Join(args[1], m[1], "kustomization.yaml")); err != nil || filepath.IsAbs(m[1]) {
			fmt.Fprintln(os.Stderr, "no kustomization at", m[1])
			return 1
		}
		fmt.Print(string(content))
		return 0
	}
	args = args[2:] // the namespace
	switch args[0] + " " + args[1] {
	case "get deployments":
		w.getDeployments(args[len(args)-1])
	case "get configmap":
		for _, key := range slices.Sorted(maps.Keys(w.Record)) {
			fmt.Println(key + "=" + w.Record[key])
		}
	case "create configmap":
		fmt.Println("configmap")
		for _, a := range args {
			if pair, ok := strings.CutPrefix(a, "--from-literal="); ok {
				fmt.Println(pair)
			}
		}
	case "apply --server-side":
		return w.apply(args[len(args)-1], input)
	case "get job":
		if w.Job != "" {
			fmt.Print(w.Job, " ")
		}
	case "get ingress":
		if strings.Contains(args[len(args)-1], "tls") {
			fmt.Print(w.TLS)
		} else {
			fmt.Print(w.Host)
		}
	case "rollout status":
		d := w.Deployments[strings.TrimPrefix(args[2], "deployment/")]
		d.note() // it waits for that
		if strings.HasSuffix(d.Image, ":"+w.Broken) {
			fmt.Fprintln(os.Stderr, "error: exceeded its progress deadline")
			return 1
		}
	case "rollout undo":
		revision, err := strconv.Atoi(strings.TrimPrefix(args[3], "--to-revision="))
		if err != nil {
			return 99
		}
		d := w.Deployments[strings.TrimPrefix(args[2], "deployment/")]
		image, ok := d.History[revision]
		if !ok {
			fmt.Fprintln(os.Stderr, "error: unable to find specified revision", revision)
			return 1
		}
		delete(d.History, revision)
		d.tell(image)
		d.note()
	}
	return 0
}

// getDeployments answers the two questions that there are.
func (w *world) getDeployments(format string) {
	behind := w.Lag > 0
	if behind {
		w.Lag--
	}
	for _, name := range slices.Sorted(maps.Keys(w.Deployments)) {
		d := w.Deployments[name]
		if !behind {
			d.note()
		}
		switch {
		case strings.Contains(format, "revision"):
			fmt.Printf("%s=%d\n", name, d.Revision)
		case d.Pending != "":
			fmt.Print(name, " ")
		}
	}
}

// apply takes a rendered part, or a record.
func (w *world) apply(file, input string) int {
	if file == "-" {
		w.Record = map[string]string{}
		lines := bufio.NewScanner(strings.NewReader(input))
		for lines.Scan() {
			if key, value, ok := strings.Cut(lines.Text(), "="); ok {
				w.Record[key] = value
			}
		}
		return 0
	}
	content, err := os.ReadFile(file)
	if err != nil {
		return 99
	}
	if nameSuffix.Match(content) {
		return 0
	}
	for _, m := range newTag.FindAllStringSubmatch(string(content), -1) {
		for name, d := range w.Deployments {
			if service, _, _ := strings.Cut(name, "-"); m[1] == "registry.example.com/seckill/"+service {
				d.tell(m[2] + ":" + m[3])
			}
		}
	}
	return 0
}

// tell gives a Deployment another image; note is when the cluster has seen it.
func (d *deployment) tell(image string) {
	if image != d.Image {
		d.Pending = image
	}
}

func (d *deployment) note() {
	if d.Pending == "" {
		return
	}
	if d.Revision > 0 {
		d.History[d.Revision] = d.Image
	}
	d.Revision = max(d.Revision, slices.Max(append(slices.Collect(maps.Keys(d.History)), 0))) + 1
	d.Image, d.Pending = d.Pending, ""
}
