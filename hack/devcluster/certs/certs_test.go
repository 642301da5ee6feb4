package certs

import (
	"crypto/tls"
	"crypto/x509"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"testing"
	"time"
)

func date(year int, month time.Month) time.Time {
	return time.Date(year, month, 1, 0, 0, 0, 0, time.UTC)
}

var born = date(2026, time.January)

func server() Leaf {
	return Leaf{
		CommonName: "server",
		Groups:     []string{"g1", "g2"},
		DNSNames:   []string{"localhost", "other"},
		IPs:        []net.IP{net.IPv4(127, 0, 0, 1), net.IPv4(10, 0, 0, 1)},
		Usages:     []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
}

func makeLeaf(t *testing.T, s Store, leaf Leaf) string {
	t.Helper()
	ca, err := s.Authority("ca")
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Leaf(ca, "leaf", leaf); err != nil {
		t.Fatal(err)
	}
	return content(t, s.CertFile("leaf")) + content(t, s.KeyFile("leaf"))
}

func content(t *testing.T, path string) string {
	t.Helper()
	data, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(data)
}

func TestLeafIsTrusted(t *testing.T) {
	s := NewStore(filepath.Join(t.TempDir(), "pki"), born)
	makeLeaf(t, s, server())
	pair, err := tls.LoadX509KeyPair(s.CertFile("leaf"), s.KeyFile("leaf"))
	if err != nil {
		t.Fatal(err)
	}
	roots := x509.NewCertPool()
	if !roots.AppendCertsFromPEM([]byte(content(t, s.CertFile("ca")))) {
		t.Fatal("the authority's file holds no certificate")
	}
	for _, name := range []string{"127.0.0.1", "10.0.0.1", "localhost"} {
		_, err := pair.Leaf.Verify(x509.VerifyOptions{Roots: roots, DNSName: name, CurrentTime: born})
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
	client := x509.VerifyOptions{Roots: roots, CurrentTime: born, KeyUsages: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	if _, err := pair.Leaf.Verify(client); err == nil {
		t.Error("a server's certificate passes for a client's")
	}
	for path, want := range map[string]fs.FileMode{s.KeyFile("leaf"): 0o600, s.KeyFile("ca"): 0o600, s.dir: 0o700} {
		info, err := os.Stat(path)
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != want {
			t.Errorf("permissions of %s are %v, want %v", path, info.Mode().Perm(), want)
		}
	}
}

func TestLeafIsKeptOrMadeAnew(t *testing.T) {
	reordered := server()
	reordered.IPs = []net.IP{reordered.IPs[1], reordered.IPs[0].To4()}
	moreIPs := server()
	moreIPs.IPs = append(moreIPs.IPs, net.IPv4(100, 64, 77, 1))
	renamed := server()
	renamed.CommonName = "renamed"
	regrouped := server()
	regrouped.Groups = []string{"g1"}
	client := server()
	client.Usages = []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
	tests := []struct {
		name   string
		now    time.Time
		leaf   Leaf
		damage func(s Store) error
		keeps  bool
	}{
		{name: "same day", now: born, leaf: server(), keeps: true},
		{name: "ten months later", now: date(2026, time.November), leaf: server(), keeps: true},
		{name: "same names in another order", now: born, leaf: reordered, keeps: true},
		{name: "near its end", now: date(2026, time.December).AddDate(0, 0, 10), leaf: server()},
		{name: "after its end", now: date(2028, time.January), leaf: server()},
		{name: "clock set back", now: date(2025, time.January), leaf: server()},
		{name: "another address", now: born, leaf: moreIPs},
		{name: "another name", now: born, leaf: renamed},
		{name: "other groups", now: born, leaf: regrouped},
		{name: "another usage", now: born, leaf: client},
		{name: "new authority", now: born, leaf: server(), damage: func(s Store) error { return os.Remove(s.CertFile("ca")) }},
		{name: "authority near its end", now: date(2034, time.December), leaf: server()},
		{name: "key lost", now: born, leaf: server(), damage: func(s Store) error { return os.Remove(s.KeyFile("leaf")) }},
		{name: "key of another", now: born, leaf: server(), damage: func(s Store) error {
			return os.Rename(s.KeyFile("ca"), s.KeyFile("leaf"))
		}},
		{name: "damaged", now: born, leaf: server(), damage: func(s Store) error {
			return os.WriteFile(s.CertFile("leaf"), []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), 0o644)
		}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			dir := t.TempDir()
			first := makeLeaf(t, NewStore(dir, born), server())
			later := NewStore(dir, tt.now)
			if tt.damage != nil {
				if err := tt.damage(later); err != nil {
					t.Fatal(err)
				}
			}
			second := makeLeaf(t, later, tt.leaf)
			if kept := first == second; kept != tt.keeps {
				t.Errorf("kept = %v, want %v", kept, tt.keeps)
			}
			if third := makeLeaf(t, later, tt.leaf); third != second {
				t.Error("asked once more, it is made anew")
			}
		})
	}
}

func TestAuthorityEnds(t *testing.T) {
	dir := t.TempDir()
	tests := []struct {
		now   time.Time
		keeps bool
	}{
		{date(2026, time.January), false},
		{date(2034, time.June), true},
		{date(2035, time.January), false},
		{date(2035, time.February), true},
	}
	before := ""
	for _, tt := range tests {
		s := NewStore(dir, tt.now)
		ca, err := s.Authority("ca")
		if err != nil {
			t.Fatal(err)
		}
		if !ca.cert.NotAfter.After(tt.now.Add(leafLife)) {
			t.Errorf("%v: ends before what it signs", tt.now)
		}
		now := content(t, s.CertFile("ca"))
		if kept := now == before; kept != tt.keeps {
			t.Errorf("%v: kept = %v, want %v", tt.now, kept, tt.keeps)
		}
		before = now
	}
}

func TestSigningKey(t *testing.T) {
	s := NewStore(t.TempDir(), born)
	pair := func() (string, string) {
		t.Helper()
		if err := s.SigningKey("sa"); err != nil {
			t.Fatal(err)
		}
		return content(t, s.KeyFile("sa")), content(t, s.PublicKeyFile("sa"))
	}
	key, public := pair()
	if err := os.Remove(s.PublicKeyFile("sa")); err != nil {
		t.Fatal(err)
	}
	if key2, public2 := pair(); key2 != key || public2 != public {
		t.Error("the key was replaced")
	}
	if err := os.WriteFile(s.KeyFile("sa"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if key3, public3 := pair(); key3 == key || public3 == public {
		t.Error("a damaged key was kept")
	}
}
