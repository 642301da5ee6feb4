package podsupport

import (
	"strconv"
	"strings"
)

// booted says whether the agent can tell what its cell has. Before a cell is up,
// what depends on that is allowed: its agent decides.
func (c *checker) booted() bool { return c.agent.Runtime.Version != "" }

// runtimeAtLeast says whether the cell's runtime is containerd of at least
// that version. What cannot be read is taken for old: better to refuse what
// would have worked than to have it ignored.
func (c *checker) runtimeAtLeast(major, minor int) bool {
	if c.agent.Runtime.Name != "containerd" {
		return false
	}
	gotMajor, gotMinor, ok := parseVersion(c.agent.Runtime.Version)
	return ok && (gotMajor > major || gotMajor == major && gotMinor >= minor)
}

// parseVersion reads "1.6.20~ds1" and "v2.1.3-rc.1" alike.
func parseVersion(version string) (major, minor int, ok bool) {
	parts := strings.SplitN(strings.TrimPrefix(version, "v"), ".", 3)
	if len(parts) < 2 {
		return 0, 0, false
	}
	major, errMajor := strconv.Atoi(parts[0])
	minor, errMinor := strconv.Atoi(parts[1])
	return major, minor, errMajor == nil && errMinor == nil
}
