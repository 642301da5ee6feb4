package e2e

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	"github.com/aws/aws-sdk-go-v2/service/ec2"
	"github.com/aws/aws-sdk-go-v2/service/ec2/types"
	"github.com/aws/aws-sdk-go-v2/service/ssm"
	corev1 "k8s.io/api/core/v1"
	"sigs.k8s.io/yaml"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/firstboot/userdata"
	"kip.elotl.co/test/testenv"
)

// mirror serves files to cells, and takes what they report.
type mirror struct {
	url   string
	files map[string]string

	mu      sync.Mutex
	asked   []string
	reports map[string]string
}

func newMirror(t *testing.T, env *testenv.Env, files map[string]string) *mirror {
	t.Helper()
	address, _, err := net.SplitHostPort(env.Endpoints.Registry)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", net.JoinHostPort(address, "0"))
	if err != nil {
		t.Fatal(err)
	}
	m := &mirror{url: "http://" + listener.Addr().String(), files: files, reports: map[string]string{}}
	server := &http.Server{Handler: m}
	go func() { _ = server.Serve(listener) }()
	t.Cleanup(func() { _ = server.Close() })
	return m
}

// ServeHTTP gives files by their names; what is posted is kept.
func (m *mirror) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	name := path.Base(r.URL.Path)
	m.mu.Lock()
	defer m.mu.Unlock()
	if r.Method == http.MethodPost {
		body, _ := io.ReadAll(r.Body)
		m.reports[name] = string(body)
		return
	}
	m.asked = append(m.asked, name)
	file, ok := m.files[name]
	if !ok {
		http.NotFound(w, r)
		return
	}
	http.ServeFile(w, r, file)
}

func (m *mirror) report(t *testing.T, name string) string {
	t.Helper()
	var text string
	testenv.Eventually(t, soon, "report "+name, func(context.Context) error {
		m.mu.Lock()
		defer m.mu.Unlock()
		var ok bool
		if text, ok = m.reports[name]; !ok {
			return fmt.Errorf("asked for were %v", m.asked)
		}
		return nil
	})
	return text
}

// runningIn runs a pod in a class and gives its cell.
func runningIn(t *testing.T, env *testenv.Env, class *v1beta1.CellClass) *v1beta1.Cell {
	t.Helper()
	create(t, env, class)
	waitForNode(t, env, class)
	waitForRuntimeClass(t, env, class)
	pod := newPod(env, namespace(t, env), "web", class, serving)
	create(t, env, pod)
	waitForPhase(t, env, pod, corev1.PodRunning)
	cell, err := cellOf(t.Context(), env, pod)
	if err != nil {
		t.Fatal(err)
	}
	return cell
}

// Certificates go through Parameter Store: none is in the user data, the cell comes up, and nothing is left there.
func TestParameterStore(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := newClass(t, env, "parameters", func(c *v1beta1.CellClass) { c.Spec.UseCloudParameterStore = true })
	cell := runningIn(t, env, class)
	shown, err := env.EC2.DescribeInstanceAttribute(t.Context(), &ec2.DescribeInstanceAttributeInput{
		InstanceId: aws.String(cell.Status.InstanceID), Attribute: types.InstanceAttributeNameUserData,
	})
	if err != nil {
		t.Fatal(err)
	}
	raw, err := base64.StdEncoding.DecodeString(aws.ToString(shown.UserData.Value))
	if err != nil {
		t.Fatal(err)
	}
	config, err := userdata.Parse(raw)
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range config.Files {
		if strings.Contains(string(f.Content), "PRIVATE KEY") || strings.HasSuffix(f.Path, ".key") {
			t.Errorf("the user data holds a key in %s", f.Path)
		}
	}
	parameters := ssm.New(ssm.Options{
		Region: env.EC2.Options().Region, BaseEndpoint: aws.String("http://" + env.Endpoints.AWS), Credentials: env.EC2.Options().Credentials,
	})
	testenv.Eventually(t, soon, "no parameters of the cell", func(ctx context.Context) error {
		left, err := parameters.GetParametersByPath(ctx, &ssm.GetParametersByPathInput{Path: aws.String("/kip/cells/" + cell.Status.InstanceID)})
		if err == nil && len(left.Parameters) > 0 {
			err = fmt.Errorf("there are %d", len(left.Parameters))
		}
		return err
	})
}

// A class that names no agent gets the operator's.
func TestOperatorsOwnAgent(t *testing.T) {
	t.Parallel()
	env := environment(t)
	runningIn(t, env, newClass(t, env, "own-agent", func(c *v1beta1.CellClass) { c.Spec.Itzo = v1beta1.ItzoSpec{} }))
}

// What users write into cloud-init is done on the cell, in whatever form.
func TestUsersCloudInit(t *testing.T) {
	t.Parallel()
	env := environment(t)
	m := newMirror(t, env, nil)
	class := newClass(t, env, "cloud-init", func(c *v1beta1.CellClass) {
		c.Spec.CloudInit = fmt.Sprintf(`#cloud-config
hostname: forty-two
users:
- {name: ada, ssh_authorized_keys: [ssh-ed25519 AAAA ada]}
ssh_authorized_keys: [ssh-ed25519 BBBB ops]
write_files:
- {path: /srv/plain, content: "plain\n"}
- {path: /srv/encoded, content: ZW5jb2RlZAo=, encoding: b64}
- {path: /srv/packed, content: H4sIAAAAAAACAytITM5OTeECAEPgQS8HAAAA, encoding: gz+b64}
some_module_of_the_future: {a: b}
runcmd:
- (hostname; cat /srv/plain /srv/encoded /srv/packed ~ada/.ssh/authorized_keys /root/.ssh/authorized_keys) >/srv/report
- [curl, -s, --data-binary, "@/srv/report", %s/report]
`, m.url) + strings.Repeat("# a long comment that compresses well\n", 1000)
	})
	runningIn(t, env, class)
	want := "forty-two\nplain\nencoded\npacked\nssh-ed25519 AAAA ada\nssh-ed25519 BBBB ops\n"
	if got := m.report(t, "report"); got != want {
		t.Errorf("the cell reports %q, want %q", got, want)
	}
}

// The first Kip's way to an image of one's own: runcmd downloads the programs and starts the agent.
func TestOldStyleImage(t *testing.T) {
	t.Parallel()
	env := environment(t)
	none := filepath.Join(t.TempDir(), "none")
	if err := os.WriteFile(none, []byte("#!/bin/sh\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	m := newMirror(t, env, map[string]string{
		"itzo": filepath.Join(env.BinDir, "itzo"), "kube-router": none, "tosi": none,
		"pause-v9-amd64": filepath.Join(env.BinDir, "pause"), "pause-v9-arm64": filepath.Join(env.BinDir, "pause"),
		"itzo-v9-amd64": filepath.Join(env.BinDir, "itzo"), "itzo-v9-arm64": filepath.Join(env.BinDir, "itzo"),
	})
	class := newClass(t, env, "old-style", func(c *v1beta1.CellClass) {
		c.Spec.Itzo = v1beta1.ItzoSpec{URL: m.url, Version: "v9"}
		c.Spec.CloudInit = strings.ReplaceAll(`runcmd:
- wget -O /usr/local/bin/itzo URL/itzo
- wget -O /usr/local/bin/kube-router URL/kube-router
- wget -O /usr/local/bin/tosi URL/tosi
- chmod 755 /usr/local/bin/*
- mount --make-rprivate /
- /usr/local/bin/itzo -v=2 > /var/log/itzo.log 2>&1 &
`, "URL", m.url)
	})
	runningIn(t, env, class)
	for _, name := range []string{"itzo", "kube-router", "tosi"} {
		if !m.wasAsked(name) {
			t.Errorf("%s was not downloaded", name)
		}
	}
}

func (m *mirror) wasAsked(name string) bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, asked := range m.asked {
		if asked == name {
			return true
		}
	}
	return false
}

// The sample for Ubuntu's images, filled in.
func TestUbuntuSample(t *testing.T) {
	t.Parallel()
	env := environment(t)
	content, err := os.ReadFile(filepath.Join(env.Root, "config", "samples", "byo-ubuntu.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	class := &v1beta1.CellClass{}
	if err := yaml.UnmarshalStrict(content, class); err != nil {
		t.Fatal(err)
	}
	works := newClass(t, env, "ubuntu")
	class.Spec.AWS.Subnets, class.Spec.Itzo = works.Spec.AWS.Subnets, works.Spec.Itzo
	cell := runningIn(t, env, class)
	images, err := env.EC2.DescribeImages(t.Context(), &ec2.DescribeImagesInput{ImageIds: []string{cell.Status.ImageID}})
	if err != nil || len(images.Images) != 1 {
		t.Fatal(errors.Join(err, fmt.Errorf("%d images", len(images.Images))))
	}
	if owner := aws.ToString(images.Images[0].OwnerId); owner != "099720109477" {
		t.Errorf("the image is %s's", owner)
	}
}
