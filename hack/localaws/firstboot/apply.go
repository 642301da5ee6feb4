package firstboot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"kip.elotl.co/hack/localaws/firstboot/userdata"
)

// system is what user data is applied to.
type system struct {
	// root is the directory that stands for /.
	root string
	// run runs a program of the image and waits for it; its output goes where
	// scripts' output goes.
	run func(ctx context.Context, argv ...string) error
	// sethostname changes the running system's name.
	sethostname func(string) error
	// log takes one line; no values of user data go in.
	log func(format string, args ...any)
}

func newSystem(procs *processes, out *os.File, log func(string, ...any)) *system {
	return &system{
		root: "/",
		log:  log,
		run: func(ctx context.Context, argv ...string) error {
			return procs.run(ctx, command{argv: argv, output: out})
		},
		sethostname: func(name string) error { return unix.Sethostname([]byte(name)) },
	}
}

// apply does what user data asks for, in cloud-init's order. One step that
// fails is logged and keeps nothing else from being done.
func (s *system) apply(ctx context.Context, cfg userdata.Config) {
	for _, key := range cfg.Unknown {
		s.log("user data: %s is not supported, ignored", key)
	}
	for _, problem := range cfg.Problems {
		s.log("user data: %s", problem)
	}
	if cfg.BootCommands != "" {
		s.step("bootcmd", s.script(ctx, userdata.Script{Name: "bootcmd", Body: []byte(cfg.BootCommands)}))
	}
	s.writeFiles(cfg.Files, false)
	s.step("hostname", s.hostname(cfg))
	s.step("timezone", s.timezone(cfg.Timezone))
	for _, u := range cfg.Users {
		s.step("user "+u.Name, s.user(ctx, u))
	}
	if len(cfg.SSHAuthorizedKeys) > 0 {
		s.step("ssh_authorized_keys", s.authorize("root", cfg.SSHAuthorizedKeys))
	}
	s.writeFiles(cfg.Files, true)
	for _, script := range cfg.Scripts {
		s.step("script "+script.Name, s.script(ctx, script))
	}
}

func (s *system) step(what string, err error) {
	if err != nil {
		s.log("%s: %v", what, err)
	}
}

func (s *system) path(p string) string { return filepath.Join(s.root, filepath.Clean("/"+p)) }

func (s *system) writeFiles(files []userdata.File, deferred bool) {
	for _, f := range files {
		if f.Defer == deferred {
			s.step("write_files "+f.Path, s.writeFile(f))
		}
	}
}

func (s *system) writeFile(f userdata.File) error {
	uid, gid, err := owner(s.root, f.Owner)
	if err != nil {
		return fmt.Errorf("owner: %w", err)
	}
	path := s.path(f.Path)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return err
	}
	how := os.O_TRUNC
	if f.Append {
		how = os.O_APPEND
	}
	// Not readable by others at any time, whatever the mode will be.
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|how, 0o600)
	if err != nil {
		return err
	}
	defer file.Close()
	if _, err := file.Write(f.Content); err != nil {
		return err
	}
	if err := file.Chown(uid, gid); err != nil {
		return err
	}
	return errors.Join(file.Chmod(f.Mode), file.Close())
}

// hostname sets the name that user data gives; without one the image's stays.
func (s *system) hostname(cfg userdata.Config) error {
	name, full := cfg.Hostname, cfg.FQDN
	if name == "" {
		name = full
	}
	name, _, _ = strings.Cut(name, ".")
	if name == "" || cfg.PreserveHostname {
		return nil
	}
	if err := s.sethostname(name); err != nil {
		return err
	}
	if full == "" {
		full = name
	}
	hosts := fmt.Sprintf("127.0.1.1 %s %s\n", full, name)
	return errors.Join(
		s.writeFile(userdata.File{Path: "/etc/hostname", Content: []byte(name + "\n"), Mode: 0o644}),
		s.writeFile(userdata.File{Path: "/etc/hosts", Content: []byte(hosts), Mode: 0o644, Append: true}),
	)
}

func (s *system) timezone(zone string) error {
	if zone == "" {
		return nil
	}
	target := "/usr/share/zoneinfo" + filepath.Clean("/"+zone)
	if info, err := os.Stat(s.path(target)); err != nil || !info.Mode().IsRegular() {
		return fmt.Errorf("the image has no zone of that name")
	}
	link := s.path("/etc/localtime")
	if err := os.Remove(link); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	return errors.Join(
		os.Symlink(target, link),
		s.writeFile(userdata.File{Path: "/etc/timezone", Content: []byte(zone + "\n"), Mode: 0o644}),
	)
}

// script runs an executable text and waits for it; what it leaves in the
// background goes on.
func (s *system) script(ctx context.Context, script userdata.Script) error {
	file := userdata.File{Path: filepath.Join("/var/lib/cloud/instance/scripts", script.Name), Content: script.Body, Mode: 0o700}
	if err := s.writeFile(file); err != nil {
		return err
	}
	return s.run(ctx, s.path(file.Path))
}
