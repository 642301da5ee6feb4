package firstboot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"kip.elotl.co/hack/localaws/firstboot/userdata"
)

// fixture is an image in a directory, with programs that are only noted.
type fixture struct {
	*system
	ran      [][]string
	logged   []string
	hostname string
	fail     string // the program that fails
}

func newFixture(t *testing.T) *fixture {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("needs root: gives files to other users")
	}
	f := &fixture{}
	f.system = &system{
		root: t.TempDir(),
		run: func(_ context.Context, argv ...string) error {
			f.ran = append(f.ran, argv)
			if argv[0] == f.fail {
				return errors.New("exit status 1")
			}
			if argv[0] == "useradd" {
				f.addUser(t, argv[len(argv)-1])
			}
			return nil
		},
		sethostname: func(name string) error { f.hostname = name; return nil },
		log:         func(format string, args ...any) { f.logged = append(f.logged, fmt.Sprintf(format, args...)) },
	}
	f.put(t, "/etc/passwd", "root:x:0:0:root:/root:/bin/sh\nweb:x:33:44::/var/www:/bin/false\nbroken\n", 0o644)
	f.put(t, "/etc/group", "root:x:0:\nweb:x:44:\nadm:x:4:web\n", 0o644)
	f.put(t, "/etc/hosts", "127.0.0.1 localhost\n", 0o644)
	f.put(t, "/usr/share/zoneinfo/Europe/Vienna", "TZif", 0o644)
	return f
}

func (f *fixture) put(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	full := f.path(path)
	if err := errors.Join(os.MkdirAll(filepath.Dir(full), 0o755), os.WriteFile(full, []byte(content), mode)); err != nil {
		t.Fatal(err)
	}
}

func (f *fixture) addUser(t *testing.T, name string) {
	t.Helper()
	passwd := f.read(t, "/etc/passwd") + name + ":x:1000:1000::/home/" + name + ":/bin/sh\n"
	f.put(t, "/etc/passwd", passwd, 0o644)
}

func (f *fixture) read(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(f.path(path))
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func (f *fixture) requireFile(t *testing.T, path, content string, mode fs.FileMode, uid, gid int) {
	t.Helper()
	if got := f.read(t, path); got != content {
		t.Errorf("%s holds %q, want %q", path, got, content)
	}
	info, err := os.Stat(f.path(path))
	if err != nil {
		t.Fatal(err)
	}
	gotUID, gotGID := ownerOf(info)
	if info.Mode() != mode || gotUID != uid || gotGID != gid {
		t.Errorf("%s is %v of %d:%d, want %v of %d:%d", path, info.Mode(), gotUID, gotGID, mode, uid, gid)
	}
}

func TestWriteFile(t *testing.T) {
	f := newFixture(t)
	f.put(t, "/etc/old", "a rather long old content", 0o644)
	f.put(t, "/etc/log", "one\n", 0o644)
	f.apply(t.Context(), userdata.Config{Files: []userdata.File{
		{Path: "/etc/old", Content: []byte("new"), Mode: 0o600},
		{Path: "/etc/log", Content: []byte("two\n"), Mode: 0o644, Append: true},
		{Path: "/a/b/c", Content: []byte("x"), Mode: fs.ModeSetuid | 0o755, Owner: "web:adm"},
		{Path: "/a/numeric", Content: []byte("x"), Mode: 0o640, Owner: "7:8"},
		{Path: "/a/group", Mode: 0o640, Owner: ":web"},
		{Path: "../../climb", Content: []byte("x"), Mode: 0o644},
		{Path: "/a/nobody", Content: []byte("x"), Mode: 0o644, Owner: "stranger"},
		{Path: "/etc/old/below", Content: []byte("x"), Mode: 0o644},
	}})
	f.requireFile(t, "/etc/old", "new", 0o600, 0, 0)
	f.requireFile(t, "/etc/log", "one\ntwo\n", 0o644, 0, 0)
	f.requireFile(t, "/a/b/c", "x", fs.ModeSetuid|0o755, 33, 4)
	f.requireFile(t, "/a/numeric", "x", 0o640, 7, 8)
	f.requireFile(t, "/a/group", "", 0o640, 0, 44)
	f.requireFile(t, "/climb", "x", 0o644, 0, 0)
	if _, err := os.Stat(f.path("/a/nobody")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a file of nobody was written: %v", err)
	}
	if len(f.logged) != 2 || !strings.Contains(f.logged[0], "/a/nobody") || !strings.Contains(f.logged[1], "/etc/old/below") {
		t.Errorf("logged %q", f.logged)
	}
}

func TestOrder(t *testing.T) {
	f := newFixture(t)
	f.apply(t.Context(), userdata.Config{
		BootCommands: "#!/bin/sh\n", Hostname: "cell.example", FQDN: "cell.other.example", Timezone: "Europe/Vienna",
		Users:   []userdata.User{{Name: "ada", Groups: []string{"adm", "new"}, SSHAuthorizedKeys: []string{"k1", "k2"}}},
		Files:   []userdata.File{{Path: "/home/ada/late", Owner: "ada", Mode: 0o600, Defer: true}},
		Scripts: []userdata.Script{{Name: "part-001", Body: []byte("one")}, {Name: "runcmd", Body: []byte("two")}},
		Unknown: []string{"packages"}, Problems: []string{"runcmd: entry 0"},
		SSHAuthorizedKeys: []string{"rootkey"},
	})
	scripts := f.path("/var/lib/cloud/instance/scripts")
	want := [][]string{
		{scripts + "/bootcmd"}, {"groupadd", "new"}, {"useradd", "--groups", "adm,new", "--create-home", "ada"},
		{scripts + "/part-001"}, {scripts + "/runcmd"},
	}
	if diff := cmp.Diff(want, f.ran); diff != "" {
		t.Errorf("ran (-want +got):\n%s", diff)
	}
	if f.hostname != "cell" {
		t.Errorf("host name %q", f.hostname)
	}
	f.requireFile(t, "/etc/hostname", "cell\n", 0o644, 0, 0)
	f.requireFile(t, "/etc/hosts", "127.0.0.1 localhost\n127.0.1.1 cell.other.example cell\n", 0o644, 0, 0)
	f.requireFile(t, "/home/ada/late", "", 0o600, 1000, 0)
	f.requireFile(t, "/home/ada/.ssh/authorized_keys", "k1\nk2\n", 0o600, 1000, 1000)
	f.requireFile(t, "/root/.ssh/authorized_keys", "rootkey\n", 0o600, 0, 0)
	f.requireFile(t, "/var/lib/cloud/instance/scripts/runcmd", "two", 0o700, 0, 0)
	if target, err := os.Readlink(f.path("/etc/localtime")); err != nil || target != "/usr/share/zoneinfo/Europe/Vienna" {
		t.Errorf("local time %q, %v", target, err)
	}
	if want := []string{"user data: packages is not supported, ignored", "user data: runcmd: entry 0"}; !slices.Equal(f.logged, want) {
		t.Errorf("logged %q", f.logged)
	}
}

func TestFailuresAreLoggedAndPassed(t *testing.T) {
	f := newFixture(t)
	f.fail = "useradd"
	f.apply(t.Context(), userdata.Config{
		Timezone: "../../etc/passwd", Users: []userdata.User{{Name: "ada"}, {Name: "web", Sudo: []string{"ALL"}}},
		Scripts: []userdata.Script{{Name: "runcmd", Body: []byte("x")}},
	})
	if len(f.logged) != 2 || !strings.HasPrefix(f.logged[0], "timezone:") || !strings.HasPrefix(f.logged[1], "user ada:") {
		t.Errorf("logged %q", f.logged)
	}
	if len(f.ran) != 2 { // web exists, the script runs nevertheless
		t.Errorf("ran %q", f.ran)
	}
	f.requireFile(t, "/etc/sudoers.d/90-cloud-init-users", "web ALL\n", 0o440, 0, 0)
}

func TestHostname(t *testing.T) {
	tests := []struct {
		name string
		cfg  userdata.Config
		want string
	}{
		{"none", userdata.Config{}, ""},
		{"name", userdata.Config{Hostname: "a"}, "a"},
		{"name with domain", userdata.Config{Hostname: "a.b.c"}, "a"},
		{"full name alone", userdata.Config{FQDN: "x.y"}, "x"},
		{"preserved", userdata.Config{Hostname: "a", PreserveHostname: true}, ""},
	}
	for _, tt := range tests {
		f := newFixture(t)
		if err := f.system.hostname(tt.cfg); err != nil || f.hostname != tt.want {
			t.Errorf("%s: %q, %v", tt.name, f.hostname, err)
		}
	}
}

func TestUseradd(t *testing.T) {
	tests := []struct {
		name string
		user userdata.User
		want []string
	}{
		{"plain", userdata.User{Name: "a"}, []string{"useradd", "--create-home", "a"}},
		{"system", userdata.User{Name: "a", System: true}, []string{"useradd", "--system", "--no-create-home", "a"}},
		{"everything", userdata.User{
			Name: "a", Gecos: "A B", HomeDir: "/h", Shell: "/bin/sh", PrimaryGroup: "g", Groups: []string{"x", "y"}, UID: "7",
			HashedPassword: "$6$", NoCreateHome: true,
		}, []string{
			"useradd", "--comment", "A B", "--home-dir", "/h", "--shell", "/bin/sh", "--gid", "g", "--groups", "x,y", "--uid", "7",
			"--password", "$6$", "--no-create-home", "a",
		}},
	}
	for _, tt := range tests {
		if diff := cmp.Diff(tt.want, useradd(tt.user)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", tt.name, diff)
		}
	}
}
