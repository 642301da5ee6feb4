package install

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"time"
)

const (
	downloadTimeout = 10 * time.Minute
	// maxDownload bounds a file, in bytes.
	maxDownload = 1 << 30
)

// url is where the cell's agents are downloaded from.
func (i *Installer) url() (string, error) {
	url, err := i.parameter("itzo_url")
	if err == nil && url == "" {
		err = errors.New("there is no itzo_url to download from")
	}
	return strings.TrimRight(url, "/"), err
}

// download fetches name from the URL to path, in one step. Its digest is checked
// where sha256sums has one for the file that is called sum there.
func (i *Installer) download(ctx context.Context, name, sum, path string, mode fs.FileMode) error {
	url, err := i.url()
	if err != nil {
		return err
	}
	want, err := i.digest(sum)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, downloadTimeout)
	defer cancel()
	file, err := os.CreateTemp(filepath.Dir(path), "."+filepath.Base(path)+"-*")
	if err != nil {
		return fmt.Errorf("downloading %s: %w", name, err)
	}
	defer os.Remove(file.Name())
	defer file.Close()
	is, err := get(ctx, url+"/"+name, file)
	if err != nil {
		return err
	}
	if want != "" && is != want {
		return fmt.Errorf("%s/%s: its SHA-256 digest is %s, itzo.sha256 of the class says %s", url, name, is, want)
	}
	if err := errors.Join(file.Chmod(mode), file.Sync(), os.Rename(file.Name(), path)); err != nil {
		return fmt.Errorf("installing %s: %w", path, err)
	}
	return nil
}

// get writes what is at the URL, and answers its SHA-256 digest.
func get(ctx context.Context, url string, w io.Writer) (string, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", fmt.Errorf("downloading: %w", err)
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("downloading %s: %s", url, response.Status)
	}
	digest := sha256.New()
	size, err := io.Copy(io.MultiWriter(w, digest), io.LimitReader(response.Body, maxDownload+1))
	if err == nil && size > maxDownload {
		err = fmt.Errorf("it has more than %d bytes", maxDownload)
	}
	if err != nil {
		return "", fmt.Errorf("downloading %s: %w", url, err)
	}
	return fmt.Sprintf("%x", digest.Sum(nil)), nil
}

// digest finds a file's in sha256sums, which sha256sum could read; empty when it
// has none.
func (i *Installer) digest(name string) (string, error) {
	sums, err := i.parameter("sha256sums")
	if err != nil {
		return "", err
	}
	for line := range strings.Lines(sums) {
		if fields := strings.Fields(line); len(fields) == 2 && fields[1] == name {
			return strings.ToLower(fields[0]), nil
		}
	}
	return "", nil
}
