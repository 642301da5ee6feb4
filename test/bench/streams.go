package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
	corev1 "k8s.io/api/core/v1"

	"kip.elotl.co/hack/dev"
	"kip.elotl.co/test/testenv"
)

const (
	// streamsBound is for all that is measured of streams.
	streamsBound = 20 * time.Minute
	megabyte     = 1_000_000
	// logSize is as much as is kept in one file.
	logSize = 9 * megabyte
)

// serving has a file to download, writes a log, and goes on.
const serving = `mkdir -p /www && head -c %[1]d /dev/zero >/www/blob && httpd -p 127.0.0.1:8080 -h /www
yes "$(head -c 999 /dev/zero | tr '\0' x)" | head -c %[2]d; touch /www/written; sleep 1000000`

// streamsCommand measures what goes through kubectl's streams.
func streamsCommand() *cobra.Command {
	var o streamOptions
	cmd := &cobra.Command{
		Use: "streams", Short: "Measure exec, logs and port-forward of a pod on a real cell beside a plain TLS copy (as root)",
		Args: cobra.NoArgs, SilenceUsage: true, SilenceErrors: true,
		RunE: func(cmd *cobra.Command, _ []string) error { return runStreams(cmd, o) },
	}
	cmd.Flags().StringVar(&o.root, "root", ".", "root directory of the repository")
	cmd.Flags().IntVar(&o.megabytes, "megabytes", 100, "how much goes through each")
	cmd.Flags().IntVar(&o.rounds, "rounds", 5, "how often each is measured, in turn")
	return cmd
}

type streamOptions struct {
	root              string
	megabytes, rounds int
}

func runStreams(cmd *cobra.Command, o streamOptions) error {
	ctx, cancel := context.WithTimeout(cmd.Context(), streamsBound)
	defer cancel()
	progress := cmd.ErrOrStderr()
	e, err := testenv.New(o.root, "stream", false)
	if err != nil {
		return err
	}
	if err := errors.Join(e.Down(ctx, progress), e.Up(ctx, progress)); err != nil {
		return err
	}
	rates, err := measureStreams(ctx, e, o, progress)
	if err != nil {
		return fmt.Errorf("%w (the environment in %s is still up)", err, e.Dir)
	}
	if err := e.Down(ctx, progress); err != nil {
		return err
	}
	return reportStreams(cmd.OutOrStdout(), o, rates)
}

// way is one by which bytes go between this machine and the pod.
type way struct {
	name string
	// beside names the way without Kubernetes that it is compared with.
	beside string
	// run gives how many bytes have gone.
	run func(context.Context) (int64, error)
}

const plainOut, plainIn = "plain TLS copy, from the cell", "plain TLS copy, to the cell"

func measureStreams(ctx context.Context, e dev.Environment, o streamOptions, progress io.Writer) (map[string][]float64, error) {
	env, err := testenv.Connect(ctx, e)
	if err != nil {
		return nil, err
	}
	size := int64(o.megabytes) * megabyte
	agent := agentMeasurement{env}
	pod := agent.pod("bench-streams", fmt.Sprintf(serving, size, logSize), corev1.RestartPolicyAlways)
	if err := env.Create(ctx, pod); err != nil {
		return nil, err
	}
	if err := agent.running(ctx, pod); err != nil {
		return nil, err
	}
	s := streams{env: env, pod: pod, size: size}
	if err := s.written(ctx); err != nil {
		return nil, err
	}
	plain, err := newPlainCopy(ctx, e, size)
	if err != nil {
		return nil, err
	}
	defer plain.Close()
	rates := map[string][]float64{}
	for round := range o.rounds {
		for _, w := range s.ways(plain) {
			begin := time.Now()
			n, err := w.run(ctx)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", w.name, err)
			}
			rates[w.name] = append(rates[w.name], float64(n)/megabyte/time.Since(begin).Seconds())
		}
		fmt.Fprintf(progress, "round %d of %d\n", round+1, o.rounds)
	}
	return rates, nil
}

// streams measures with the program kubectl.
type streams struct {
	env  *testenv.Env
	pod  *corev1.Pod
	size int64
}

func (s streams) ways(plain *plainCopy) []way {
	return []way{
		{plainOut, "", plain.receive},
		{"exec, from the cell", plainOut, s.execOut},
		{fmt.Sprintf("logs (%d MB)", logSize/megabyte), plainOut, s.logs},
		{"port-forward, from the cell", plainOut, s.forward},
		{plainIn, "", plain.send},
		{"exec, to the cell", plainIn, s.execIn},
	}
}

func (s streams) kubectl(ctx context.Context, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(ctx, filepath.Join(s.env.BinDir, "kubectl"), append([]string{"--namespace", s.pod.Namespace}, args...)...)
	cmd.Env = []string{"PATH=/usr/bin:/bin", "KUBECONFIG=" + s.env.Kubeconfig(), "HOME=" + s.env.Dir}
	cmd.Stderr = os.Stderr
	return cmd
}

// written waits until the pod has written its log.
func (s streams) written(ctx context.Context) error {
	return testenv.Poll(ctx, func(ctx context.Context) error {
		return s.kubectl(ctx, "exec", s.pod.Name, "--", "test", "-e", "/www/written").Run()
	})
}

func (s streams) execOut(ctx context.Context) (int64, error) {
	got := &counted{}
	cmd := s.kubectl(ctx, "exec", s.pod.Name, "--", "cat", "/www/blob")
	cmd.Stdout = got
	err := cmd.Run()
	return got.n, errors.Join(err, got.want(s.size))
}

func (s streams) execIn(ctx context.Context) (int64, error) {
	var said bytes.Buffer
	cmd := s.kubectl(ctx, "exec", "-i", s.pod.Name, "--", "wc", "-c")
	cmd.Stdin, cmd.Stdout = io.LimitReader(zeros{}, s.size), &said
	if err := cmd.Run(); err != nil {
		return 0, err
	}
	if got := string(bytes.TrimSpace(said.Bytes())); got != fmt.Sprint(s.size) {
		return 0, fmt.Errorf("%s of %d bytes have arrived", got, s.size)
	}
	return s.size, nil
}

func (s streams) logs(ctx context.Context) (int64, error) {
	got := &counted{}
	cmd := s.kubectl(ctx, "logs", s.pod.Name)
	cmd.Stdout = got
	err := cmd.Run()
	return got.n, errors.Join(err, got.want(logSize))
}

var forwarding = regexp.MustCompile(`Forwarding from (127\.0\.0\.1:\d+)`)

func (s streams) forward(ctx context.Context) (int64, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	cmd := s.kubectl(ctx, "port-forward", "pod/"+s.pod.Name, ":8080")
	out, err := cmd.StdoutPipe()
	if err != nil {
		return 0, err
	}
	if err := cmd.Start(); err != nil {
		return 0, err
	}
	defer func() { cancel(); _ = cmd.Wait() }()
	said := make([]byte, 256)
	n, err := out.Read(said)
	if err != nil {
		return 0, fmt.Errorf("waiting for kubectl port-forward: %w", err)
	}
	match := forwarding.FindSubmatch(said[:n])
	if match == nil {
		return 0, fmt.Errorf("kubectl port-forward says %q", said[:n])
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+string(match[1])+"/blob", http.NoBody)
	if err != nil {
		return 0, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	got := &counted{}
	_, err = io.Copy(got, response.Body)
	return got.n, errors.Join(err, got.want(s.size))
}

// counted counts what is written to it.
type counted struct{ n int64 }

func (c *counted) Write(p []byte) (int, error) {
	c.n += int64(len(p))
	return len(p), nil
}

func (c *counted) want(size int64) error {
	if c.n != size {
		return fmt.Errorf("got %d bytes, want %d", c.n, size)
	}
	return nil
}

// zeros has no end.
type zeros struct{}

func (zeros) Read(p []byte) (int, error) {
	clear(p)
	return len(p), nil
}

func reportStreams(out io.Writer, o streamOptions, rates map[string][]float64) error {
	table := tabwriter.NewWriter(out, 0, 0, 2, ' ', 0)
	fmt.Fprintf(table, "%d MB, %d rounds\tmedian\tleast–most\tof the plain copy's\n", o.megabytes, o.rounds)
	median := func(name string) float64 { return slices.Sorted(slices.Values(rates[name]))[len(rates[name])/2] }
	for _, w := range (streams{}).ways(nil) {
		ratio := ""
		if w.beside != "" {
			ratio = fmt.Sprintf("%.0f %%", 100*median(w.name)/median(w.beside))
		}
		fmt.Fprintf(table, "%s\t%.0f MB/s\t%.0f–%.0f\t%s\n", w.name, median(w.name), slices.Min(rates[w.name]), slices.Max(rates[w.name]), ratio)
	}
	return table.Flush()
}
