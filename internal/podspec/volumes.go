package podspec

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strings"

	corev1 "k8s.io/api/core/v1"
	utilerrors "k8s.io/apimachinery/pkg/util/errors"
	"k8s.io/apimachinery/pkg/util/validation/field"

	"kip.elotl.co/internal/itzo"
	"kip.elotl.co/internal/podfields"
)

// Objects gives the content of what a pod refers to, all in the pod's
// namespace. An object that does not exist is nil without an error.
type Objects interface {
	ConfigMap(name string) (*corev1.ConfigMap, error)
	Secret(name string) (*corev1.Secret, error)
	// Token is a service-account token bound to the pod.
	Token(source *corev1.ServiceAccountTokenProjection) (string, error)
	// Cell is what the pod's cell has.
	Cell() (podfields.Cell, error)
}

// Package is the content of one volume.
type Package struct {
	// Name is the volume's.
	Name  string
	Files []itzo.PackageFile
}

// Kind is a kind of object that a pod refers to.
type Kind string

// The kinds.
const (
	KindConfigMap Kind = "ConfigMap"
	KindSecret    Kind = "Secret"
)

// MissingError says that a volume or an environment needs an object, or a key
// of one, that does not exist. It may come to exist.
type MissingError struct {
	Path *field.Path
	Kind Kind
	Name string
	Key  string // empty when the whole object is missing
	// Mounts tells in the kubelet's words of each volume that cannot be made; the
	// first lacks this. None: an environment does.
	Mounts []string
}

func (e *MissingError) Error() string {
	if len(e.Mounts) > 0 {
		return strings.Join(e.Mounts, "\n")
	}
	if e.Key != "" {
		return fmt.Sprintf("%s: %s %q has no key %q", e.Path, e.Kind, e.Name, e.Key)
	}
	return fmt.Sprintf("%s: %s %q does not exist", e.Path, e.Kind, e.Name)
}

// asMountError is what a kubelet says of it where a volume lacks it.
func (e *MissingError) asMountError() error {
	switch {
	case e.Key == "":
		return fmt.Errorf("%s %q not found", strings.ToLower(string(e.Kind)), e.Name)
	case e.Kind == KindSecret:
		return fmt.Errorf("references non-existent secret key: %s", e.Key)
	}
	return fmt.Errorf("configmap references non-existent config key: %s", e.Key)
}

// Packages makes the content of every volume that is delivered to the cell:
// configMap, secret, downwardAPI and projected ones, in the spec's order. A
// MissingError is about all of them.
func Packages(pod *corev1.Pod, objects Objects) ([]Package, error) {
	var packages []Package
	var lacking *MissingError
	for i := range pod.Spec.Volumes {
		made, err := PackageOf(pod, i, objects)
		missing := (*MissingError)(nil)
		switch {
		case errors.As(err, &missing) && lacking == nil:
			lacking = missing
		case missing != nil:
			lacking.Mounts = append(lacking.Mounts, missing.Mounts...)
		case err != nil:
			return nil, err
		case made != nil:
			packages = append(packages, *made)
		}
	}
	if lacking != nil {
		return nil, lacking
	}
	return packages, nil
}

// PackageOf makes the content of the pod's volume of that index; nil when it is
// of a kind that is not delivered.
func PackageOf(pod *corev1.Pod, index int, objects Objects) (*Package, error) {
	volume := &pod.Spec.Volumes[index]
	builder := &volumeBuilder{pod: pod, objects: objects}
	delivered, err := builder.add(volume, field.NewPath("spec", "volumes").Index(index))
	if err != nil || !delivered {
		return nil, err
	}
	if len(builder.missing) > 0 {
		return nil, builder.lacking(volume.Name)
	}
	return &Package{Name: volume.Name, Files: owned(pod, builder.sorted())}, nil
}

// Delivered says whether the content of a volume is delivered to the cell.
func Delivered(volume *corev1.Volume) bool {
	return volume.ConfigMap != nil || volume.Secret != nil || volume.DownwardAPI != nil || volume.Projected != nil
}

type volumeBuilder struct {
	pod     *corev1.Pod
	objects Objects
	files   []itzo.PackageFile
	missing []*MissingError
}

// lacking is about all that the volume of that name lacks.
func (b *volumeBuilder) lacking(volume string) *MissingError {
	errs := make([]error, len(b.missing))
	for i, missing := range b.missing {
		errs[i] = missing.asMountError()
	}
	failed := podfields.MountError{Volume: volume, Err: utilerrors.NewAggregate(errs)}
	lacking := b.missing[0]
	lacking.Mounts = []string{failed.Error()}
	return lacking
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
	user := fsUser(b.pod)
	if user != nil || fsGroup(b.pod) != nil {
		// Nobody but the pod's own user and group needs it.
		mode = 0o600
	}
	b.file(source.Path, []byte(token), mode)
	if user != nil {
		b.files[len(b.files)-1].UID = int(*user)
	}
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
	b.keys(content, &MissingError{Path: at, Kind: KindConfigMap, Name: name}, items, optional, mode)
	return nil
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
	b.keys(content, &MissingError{Path: at, Kind: KindSecret, Name: name}, items, optional, mode)
	return nil
}

// keys places the keys of an object, or notes the first that is missing; nil
// content: the object does not exist.
func (b *volumeBuilder) keys(content map[string][]byte, missing *MissingError, items []corev1.KeyToPath, optional *bool, mode int64) {
	mayMiss := isTrue(optional)
	if content == nil {
		if !mayMiss {
			b.missing = append(b.missing, missing)
		}
		return
	}
	if len(items) == 0 {
		for key, value := range content {
			b.file(key, value, mode)
		}
		return
	}
	for i, item := range items {
		value, ok := content[item.Key]
		if !ok {
			if mayMiss {
				continue
			}
			missing.Path, missing.Key = missing.Path.Child("items").Index(i), item.Key
			b.missing = append(b.missing, missing)
			return
		}
		itemMode := mode
		if item.Mode != nil {
			itemMode = int64(*item.Mode)
		}
		b.file(item.Path, value, itemMode)
	}
}

func (b *volumeBuilder) file(name string, data []byte, mode int64) {
	b.files = append(b.files, itzo.PackageFile{Path: path.Clean(name), Mode: mode, Data: data})
}

func isTrue(value *bool) bool { return value != nil && *value }

// modeOf is the mode of a volume's files; the API server has filled it in.
func modeOf(mode *int32) int64 {
	if mode == nil {
		return 0o644
	}
	return int64(*mode)
}
