package certs

import (
	"crypto/ecdsa"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"slices"

	"kip.elotl.co/hack/proc/atomicfile"
)

// read returns a certificate and its key; that they belong together is checked.
func (s Store) read(name string) (*x509.Certificate, *ecdsa.PrivateKey, error) {
	key, err := s.readKey(name)
	if err != nil {
		return nil, nil, err
	}
	der, err := readPEM(s.CertFile(name), "CERTIFICATE")
	if err != nil {
		return nil, nil, err
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		return nil, nil, err
	}
	if public, ok := cert.PublicKey.(*ecdsa.PublicKey); !ok || !public.Equal(key.Public()) {
		return nil, nil, fmt.Errorf("%s is not the key of %s", s.KeyFile(name), s.CertFile(name))
	}
	return cert, key, nil
}

func (s Store) readKey(name string) (*ecdsa.PrivateKey, error) {
	der, err := readPEM(s.KeyFile(name), "PRIVATE KEY")
	if err != nil {
		return nil, err
	}
	key, err := x509.ParsePKCS8PrivateKey(der)
	if err != nil {
		return nil, err
	}
	if key, ok := key.(*ecdsa.PrivateKey); ok {
		return key, nil
	}
	return nil, fmt.Errorf("%s holds a %T", s.KeyFile(name), key)
}

func (s Store) writeKey(name string, key *ecdsa.PrivateKey) error {
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return err
	}
	return writePEM(s.KeyFile(name), "PRIVATE KEY", der, 0o600)
}

func readPEM(path, kind string) ([]byte, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	block, _ := pem.Decode(data)
	if block == nil || block.Type != kind {
		return nil, errors.New(path + " holds no " + kind)
	}
	return block.Bytes, nil
}

func writePEM(path, kind string, der []byte, perm fs.FileMode) error {
	_, err := atomicfile.Write(path, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}), perm)
	return err
}

// is says whether cert holds what is asked for, in any order.
func (l Leaf) is(cert *x509.Certificate) bool {
	return cert.Subject.CommonName == l.CommonName &&
		sameSet(cert.Subject.Organization, l.Groups) &&
		sameSet(cert.DNSNames, l.DNSNames) &&
		sameSet(addresses(cert.IPAddresses), addresses(l.IPs)) &&
		slices.Equal(cert.ExtKeyUsage, l.Usages)
}

func addresses(ips []net.IP) []string {
	out := make([]string, len(ips))
	for i, ip := range ips {
		out[i] = ip.String()
	}
	return out
}

func sameSet(a, b []string) bool {
	a, b = slices.Sorted(slices.Values(a)), slices.Sorted(slices.Values(b))
	return slices.Equal(slices.Compact(a), slices.Compact(b))
}
