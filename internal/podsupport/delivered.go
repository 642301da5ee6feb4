package podsupport

import (
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/validation/field"
)

// delivered allows the volumes whose files are made by the operator; the agent
// gets them as packages. What they refer to says podspec.
func (c *checker) delivered(volume *corev1.Volume, path *field.Path) {
	if source := take(&volume.ConfigMap); source != nil {
		path := path.Child("configMap")
		source.Name, source.Optional, source.DefaultMode = "", nil, nil
		c.keys(take(&source.Items), path)
		c.leftovers(source, path)
	}
	if source := take(&volume.Secret); source != nil {
		path := path.Child("secret")
		source.SecretName, source.Optional, source.DefaultMode = "", nil, nil
		c.keys(take(&source.Items), path)
		c.leftovers(source, path)
	}
	if source := take(&volume.DownwardAPI); source != nil {
		path := path.Child("downwardAPI")
		source.DefaultMode = nil
		c.fields(take(&source.Items), path)
		c.leftovers(source, path)
	}
	if projected := take(&volume.Projected); projected != nil {
		path := path.Child("projected")
		projected.DefaultMode = nil
		for i := range projected.Sources {
			c.projection(&projected.Sources[i], path.Child("sources").Index(i))
		}
		projected.Sources = nil
		c.leftovers(projected, path)
	}
}

func (c *checker) projection(source *corev1.VolumeProjection, path *field.Path) {
	if from := take(&source.ConfigMap); from != nil {
		path := path.Child("configMap")
		from.Name, from.Optional = "", nil
		c.keys(take(&from.Items), path)
		c.leftovers(from, path)
	}
	if from := take(&source.Secret); from != nil {
		path := path.Child("secret")
		from.Name, from.Optional = "", nil
		c.keys(take(&from.Items), path)
		c.leftovers(from, path)
	}
	if from := take(&source.DownwardAPI); from != nil {
		path := path.Child("downwardAPI")
		c.fields(take(&from.Items), path)
		c.leftovers(from, path)
	}
	if from := take(&source.ServiceAccountToken); from != nil {
		from.Audience, from.ExpirationSeconds, from.Path = "", nil, ""
		c.leftovers(from, path.Child("serviceAccountToken"))
	}
	// podspec refuses these.
	source.ClusterTrustBundle, source.PodCertificate = nil, nil
	c.leftovers(source, path)
}

func (c *checker) keys(items []corev1.KeyToPath, path *field.Path) {
	for i := range items {
		items[i].Key, items[i].Path, items[i].Mode = "", "", nil
		c.leftovers(&items[i], path.Child("items").Index(i))
	}
}

func (c *checker) fields(items []corev1.DownwardAPIVolumeFile, path *field.Path) {
	for i := range items {
		items[i].Path, items[i].Mode, items[i].FieldRef, items[i].ResourceFieldRef = "", nil, nil, nil
		c.leftovers(&items[i], path.Child("items").Index(i))
	}
}
