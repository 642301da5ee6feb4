package firstboot

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"kip.elotl.co/hack/localaws/firstboot/userdata"
)

// user makes one user as cloud-init does. One who is there already keeps
// everything but gets the keys.
func (s *system) user(ctx context.Context, u userdata.User) error {
	if _, err := findAccount(s.root, u.Name); err != nil {
		for _, group := range u.Groups {
			if _, err := findGroup(s.root, group); err != nil {
				s.step("group "+group, s.run(ctx, "groupadd", group))
			}
		}
		if err := s.run(ctx, useradd(u)...); err != nil {
			return err
		}
	}
	var errs []error
	if len(u.Sudo) > 0 {
		errs = append(errs, s.sudo(u))
	}
	if len(u.SSHAuthorizedKeys) > 0 {
		errs = append(errs, s.authorize(u.Name, u.SSHAuthorizedKeys))
	}
	return errors.Join(errs...)
}

func useradd(u userdata.User) []string {
	argv := []string{"useradd"}
	add := func(flag, value string) {
		if value != "" {
			argv = append(argv, flag, value)
		}
	}
	add("--comment", u.Gecos)
	add("--home-dir", u.HomeDir)
	add("--shell", u.Shell)
	add("--gid", u.PrimaryGroup)
	add("--groups", strings.Join(u.Groups, ","))
	add("--uid", u.UID)
	add("--password", u.HashedPassword)
	if u.System {
		argv = append(argv, "--system")
	}
	if u.System || u.NoCreateHome {
		argv = append(argv, "--no-create-home")
	} else {
		argv = append(argv, "--create-home")
	}
	return append(argv, u.Name)
}

func (s *system) sudo(u userdata.User) error {
	var rules strings.Builder
	for _, rule := range u.Sudo {
		fmt.Fprintf(&rules, "%s %s\n", u.Name, rule)
	}
	return s.writeFile(userdata.File{
		Path: "/etc/sudoers.d/90-cloud-init-users", Content: []byte(rules.String()), Mode: 0o440, Append: true,
	})
}

// authorize lets the keys log in as the user.
func (s *system) authorize(name string, keys []string) error {
	a, err := findAccount(s.root, name)
	if err != nil {
		return err
	}
	dir := s.path(filepath.Join(a.home, ".ssh"))
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return err
	}
	if err := os.Chown(dir, a.uid, a.gid); err != nil {
		return err
	}
	return s.writeFile(userdata.File{
		Path: filepath.Join(a.home, ".ssh", "authorized_keys"), Content: []byte(strings.Join(keys, "\n") + "\n"),
		Owner: fmt.Sprintf("%d:%d", a.uid, a.gid), Mode: 0o600, Append: true,
	})
}
