package itzo

import (
	"archive/tar"
	"compress/gzip"
	"fmt"
	"io"
	"path"
	"strings"
)

// packageRoot is what the name of every entry of a package must begin with;
// agents skip entries that do not.
const packageRoot = "ROOTFS/"

// PackageFile is one regular file of a package, or the package's directory.
type PackageFile struct {
	// Dir says that it is the directory; it has no Path and no Data, and comes
	// before the files.
	Dir bool `json:",omitempty"`
	// Path is relative, without "..".
	Path string
	// Mode is the permission bits, e.g. 0o644; of the directory also SetGID, with
	// which all that is below belongs to its group. Old agents clear 0o022.
	Mode     int64
	UID, GID int
	Data     []byte
}

// SetGID is the bit of a mode that hands a directory's group on (tar(5), inode(7)).
const SetGID = 0o2000

// WritePackage writes a package: the gzip-compressed tar that deploy takes. No
// files at all make an empty directory, which volumes need to exist.
func WritePackage(w io.Writer, files []PackageFile) error {
	return writePackage(w, files, nil)
}

// PackageOwner is whose the directory of a package is to be.
type PackageOwner struct{ UID, GID int }

// WriteOwnedPackage is WritePackage for agents of the first Kip, which let
// nobody but the owner and root enter the directory.
func WriteOwnedPackage(w io.Writer, owner PackageOwner, files []PackageFile) error {
	return writePackage(w, files, &tar.Header{Typeflag: tar.TypeDir, Name: packageRoot, Mode: 0o700, Uid: owner.UID, Gid: owner.GID})
}

func writePackage(w io.Writer, files []PackageFile, directory *tar.Header) error {
	compressed := gzip.NewWriter(w)
	archive := tar.NewWriter(compressed)
	if directory != nil {
		if err := archive.WriteHeader(directory); err != nil {
			return fmt.Errorf("packing the directory: %w", err)
		}
	}
	for _, file := range files {
		header := &tar.Header{Typeflag: tar.TypeDir, Name: packageRoot, Mode: file.Mode, Uid: file.UID, Gid: file.GID}
		if !file.Dir {
			if err := CheckPackagePath(file.Path); err != nil {
				return err
			}
			header.Typeflag, header.Name, header.Size = tar.TypeReg, packageRoot+file.Path, int64(len(file.Data))
		}
		if err := archive.WriteHeader(header); err != nil {
			return fmt.Errorf("packing %s: %w", file.Path, err)
		}
		if _, err := archive.Write(file.Data); err != nil {
			return fmt.Errorf("packing %s: %w", file.Path, err)
		}
	}
	if err := archive.Close(); err != nil {
		return fmt.Errorf("ending package: %w", err)
	}
	if err := compressed.Close(); err != nil {
		return fmt.Errorf("ending package: %w", err)
	}
	return nil
}

// CheckPackagePath refuses a path that is not relative, clean and inside the
// package.
func CheckPackagePath(name string) error {
	if name == "" || name == "." || name == ".." || strings.HasPrefix(name, "/") || strings.HasPrefix(name, "../") ||
		path.Clean(name) != name || strings.ContainsRune(name, 0) {
		return fmt.Errorf("path %q does not stay inside the package", name)
	}
	return nil
}
