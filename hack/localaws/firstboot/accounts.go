package firstboot

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// account is a line of passwd.
type account struct {
	name, home string
	uid, gid   int
}

// accounts reads the image's users. Lines that make no sense are skipped.
func accounts(root string) ([]account, error) {
	lines, err := database(root, "passwd", 7)
	if err != nil {
		return nil, err
	}
	var all []account
	for _, f := range lines {
		uid, errUID := strconv.Atoi(f[2])
		gid, errGID := strconv.Atoi(f[3])
		if errUID == nil && errGID == nil {
			all = append(all, account{name: f[0], uid: uid, gid: gid, home: f[5]})
		}
	}
	return all, nil
}

func findAccount(root, name string) (account, error) {
	all, err := accounts(root)
	if err != nil {
		return account{}, err
	}
	for _, a := range all {
		if a.name == name || strconv.Itoa(a.uid) == name {
			return a, nil
		}
	}
	return account{}, fmt.Errorf("no user %q", name)
}

func findGroup(root, name string) (int, error) {
	if gid, err := strconv.Atoi(name); err == nil && gid >= 0 {
		return gid, nil
	}
	lines, err := database(root, "group", 4)
	if err != nil {
		return 0, err
	}
	for _, f := range lines {
		if f[0] == name {
			return strconv.Atoi(f[2])
		}
	}
	return 0, fmt.Errorf("no group %q", name)
}

// owner resolves user, user:group or :group; what is left out is root, and
// numbers need no entry.
func owner(root, spec string) (uid, gid int, err error) {
	user, group, _ := strings.Cut(spec, ":")
	if user != "" {
		if n, convErr := strconv.Atoi(user); convErr == nil && n >= 0 {
			uid = n
		} else {
			a, err := findAccount(root, user)
			if err != nil {
				return 0, 0, err
			}
			uid = a.uid
		}
	}
	if group != "" {
		gid, err = findGroup(root, group)
	}
	return uid, gid, err
}

// database splits a file of /etc into lines of at least n fields.
func database(root, file string, n int) ([][]string, error) {
	data, err := os.ReadFile(filepath.Join(root, "etc", file))
	if err != nil {
		return nil, err
	}
	var lines [][]string
	for line := range strings.Lines(string(data)) {
		if fields := strings.Split(strings.TrimRight(line, "\n"), ":"); len(fields) >= n {
			lines = append(lines, fields)
		}
	}
	return lines, nil
}
