package podspec

import (
	"fmt"
	"path"
	"slices"

	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
)

// Objects gives the content of what a pod's volumes refer to, all in the pod's
// namespace. An object that does not exist is nil without an error.
type Objects interface {
	ConfigMap(name string) (*corev1.ConfigMap, error)
	Secret(name string) (*corev1.Secret, error)
	// Token is a service-account token bound to the pod.
	Token(source *corev1.ServiceAccountTokenProjection) (string, error)
}

// Package is the content of one volume.
type Package struct {
	// Name is the volume's.
	Name  string
	Files []itzo.PackageFile
}

// MissingError says that a volume needs an object, or a key of one, that does
// not exist. It may come to exist.
type MissingError struct {
	Path   *field.Path
	Object string // such as ConfigMap "a"
	Key    string // empty when the whole object is missing
}

func (e *MissingError) Error() string {
	if e.Key != "" {
		return fmt.Sprintf("%s: %s has no key %q", e.Path, e.Object, e.Key)
	}
	return fmt.Sprintf("%s: %s does not exist", e.Path, e.Object)
}

// Packages makes the content of every volume that is delivered to the cell:
// configMap, secret, downwardAPI and projected ones, in the spec's order.
func Packages(pod *corev1.Pod, objects Objects) ([]Package, error) {
	var packages []Package
	for i := range pod.Spec.Volumes {
		volume := &pod.Spec.Volumes[i]
		builder := &volumeBuilder{pod: pod, objects: objects}
		at := field.NewPath("spec", "volumes").Index(i)
		delivered, err := builder.add(volume, at)
		if err != nil {
			return nil, err
		}
		if delivered {
			packages = append(packages, Package{Name: volume.Name, Files: builder.sorted()})
		}
	}
	return packages, nil
}

type volumeBuilder struct {
	pod     *corev1.Pod
	objects Objects
	files   []itzo.PackageFile
}

// sorted gives the files by path; of two with the same path the later wins, as
// in a projected volume of the kubelet.
func (b *volumeBuilder) sorted() []itzo.PackageFile {
	byPath := map[string]itzo.PackageFile{}
	for _, file := range b.files {
		byPath[file.Path] = file
	}
	files := make([]itzo.PackageFile, 0, len(byPath))
	for _, file := range byPath {
		files = append(files, file)
	}
	slices.SortFunc(files, func(a, b itzo.PackageFile) int {
		if a.Path < b.Path {
			return -1
		}
		return 1
	})
	return files
}

func (b *volumeBuilder) add(volume *corev1.Volume, at *field.Path) (delivered bool, err error) {
	switch {
	case volume.ConfigMap != nil:
		s := volume.ConfigMap
		return true, b.configMap(s.Name, s.Items, s.Optional, modeOf(s.DefaultMode), at.Child("configMap"))
	case volume.Secret != nil:
		s := volume.Secret
		return true, b.secret(s.SecretName, s.Items, s.Optional, modeOf(s.DefaultMode), at.Child("secret"))
	case volume.DownwardAPI != nil:
		s := volume.DownwardAPI
		return true, b.downward(s.Items, modeOf(s.DefaultMode), at.Child("downwardAPI"))
	case volume.Projected != nil:
		return true, b.projected(volume.Projected, at.Child("projected"))
	}
	return false, nil
}

func (b *volumeBuilder) projected(projected *corev1.ProjectedVolumeSource, at *field.Path) error {
	mode := modeOf(projected.DefaultMode)
	for i := range projected.Sources {
		source, at := &projected.Sources[i], at.Child("sources").Index(i)
		var err error
		switch {
		case source.ConfigMap != nil:
			err = b.configMap(source.ConfigMap.Name, source.ConfigMap.Items, source.ConfigMap.Optional, mode, at.Child("configMap"))
		case source.Secret != nil:
			err = b.secret(source.Secret.Name, source.Secret.Items, source.Secret.Optional, mode, at.Child("secret"))
		case source.DownwardAPI != nil:
			err = b.downward(source.DownwardAPI.Items, mode, at.Child("downwardAPI"))
		case source.ServiceAccountToken != nil:
			err = b.token(source.ServiceAccountToken, mode, at.Child("serviceAccountToken"))
		default:
			err = fmt.Errorf("%s: only configMap, secret, downwardAPI and serviceAccountToken are known", at)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (b *volumeBuilder) token(source *corev1.ServiceAccountTokenProjection, mode int64, at *field.Path) error {
	token, err := b.objects.Token(source)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	b.file(source.Path, []byte(token), mode)
	return nil
}

func (b *volumeBuilder) configMap(name string, items []corev1.KeyToPath, optional *bool, mode int64, at *field.Path) error {
	object, err := b.objects.ConfigMap(name)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	var content map[string][]byte
	if object != nil {
		content = map[string][]byte{}
		for key, value := range object.Data {
			content[key] = []byte(value)
		}
		for key, value := range object.BinaryData {
			content[key] = value
		}
	}
	return b.keys(content, fmt.Sprintf("ConfigMap %q", name), items, optional, mode, at)
}

func (b *volumeBuilder) secret(name string, items []corev1.KeyToPath, optional *bool, mode int64, at *field.Path) error {
	object, err := b.objects.Secret(name)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	var content map[string][]byte
	if object != nil {
		content = object.Data
		if content == nil {
			content = map[string][]byte{}
		}
	}
	return b.keys(content, fmt.Sprintf("Secret %q", name), items, optional, mode, at)
}

// keys places the keys of an object; nil content: it does not exist.
func (b *volumeBuilder) keys(content map[string][]byte, object string, items []corev1.KeyToPath, optional *bool, mode int64, at *field.Path) error {
	mayMiss := optional != nil && *optional
	if content == nil {
		if mayMiss {
			return nil
		}
		return &MissingError{Path: at, Object: object}
	}
	if len(items) == 0 {
		for key, value := range content {
			b.file(key, value, mode)
		}
		return nil
	}
	for i, item := range items {
		value, ok := content[item.Key]
		if !ok {
			if mayMiss {
				continue
			}
			return &MissingError{Path: at.Child("items").Index(i), Object: object, Key: item.Key}
		}
		itemMode := mode
		if item.Mode != nil {
			itemMode = int64(*item.Mode)
		}
		b.file(item.Path, value, itemMode)
	}
	return nil
}

func (b *volumeBuilder) file(name string, data []byte, mode int64) {
	b.files = append(b.files, itzo.PackageFile{Path: path.Clean(name), Mode: mode, Data: data})
}

// modeOf is the mode of a volume's files; the API server has filled it in.
func modeOf(mode *int32) int64 {
	if mode == nil {
		return 0o644
	}
	return int64(*mode)
}
