package cellclass

import (
	"testing"

	corev1 "k8s.io/api/core/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/hack/localaws/faults"
)

// TestCloudInitFrom: what is missing is waited for, and a change is seen.
func TestCloudInitFrom(t *testing.T) {
	b := newBench(t).start()
	ref := v1beta1.KeyReference{Name: b.name, Key: "user-data"}
	class := b.class(func(s *v1beta1.CellClassSpec) { s.CloudInitFrom = &v1beta1.CloudInitSource{ConfigMapKeyRef: &ref} })
	b.unready(class, v1beta1.ReasonCloudInitNotFound, "spec.cloudInitFrom.configMapKeyRef", "ConfigMap default/"+b.name+" does not exist")
	config := &corev1.ConfigMap{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: b.name}, Data: map[string]string{"other": ""}}
	b.create(config)
	b.unready(class, v1beta1.ReasonCloudInitNotFound, `has no key "user-data"`)
	edit(b, config, func(c *corev1.ConfigMap) { c.Data["user-data"] = "#cloud-config\nruncmd: 5\n" })
	b.unready(class, v1beta1.ReasonInvalidCloudInit, "spec.cloudInitFrom.configMapKeyRef: ConfigMap default/"+b.name+` key "user-data": line 2, column 9: runcmd is a number`)
	edit(b, config, func(c *corev1.ConfigMap) { c.Data["user-data"] = "#!/bin/sh\n" })
	b.ready(class)
	edit(b, class, func(c *v1beta1.CellClass) {
		c.Spec.CloudInitFrom = &v1beta1.CloudInitSource{SecretKeyRef: &ref}
	})
	b.unready(class, v1beta1.ReasonCloudInitNotFound, "spec.cloudInitFrom.secretKeyRef", "Secret default/"+b.name+" does not exist")
	b.create(&corev1.Secret{ObjectMeta: metav1.ObjectMeta{Namespace: "default", Name: b.name}, Data: map[string][]byte{"user-data": []byte("{}")}})
	b.ready(class)
}

func TestImagesByParameter(t *testing.T) {
	b := newBench(t).start()
	const al2023 = "/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-"
	class := b.class(func(s *v1beta1.CellClassSpec) {
		s.BootImageSpec = v1beta1.BootImageSpec{SSMParameters: al2023 + "x86_64 " + al2023 + "arm64"}
	})
	is := b.ready(class)
	if images := is.Status.Images; len(images) != 2 || images[0].ID != "ami-0a11ce00000000002" || images[1].ID != "ami-0a11ce00000000003" {
		t.Errorf("images %+v", images)
	}
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.BootImageSpec.SSMParameters = al2023 + "sparc" })
	b.unready(class, v1beta1.ReasonImageNotFound, "spec.bootImageSpec.ssmParameters", al2023+"sparc")
	b.cloud.Spoil(t, faults.Plan{Errors: []faults.Refusal{{Action: "GetParameters", Code: "AccessDeniedException"}}})
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.BootImageSpec.SSMParameters = al2023 + "x86_64" })
	b.unready(class, v1beta1.ReasonNotAuthorized, "spec.bootImageSpec.ssmParameters", "ssm:GetParameters")
}

func TestInstanceProfileOfAClass(t *testing.T) {
	b := newBench(t).start()
	class := b.class(func(s *v1beta1.CellClassSpec) { s.DefaultIAMPermissions = "nobodys" })
	b.unready(class, v1beta1.ReasonProfileNotFound, "spec.defaultIAMPermissions", `"nobodys"`)
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.DefaultIAMPermissions = "web" })
	is := b.ready(class)
	if p := is.Status.InstanceProfile; p == nil || p.RoleID == "" || p.ARN == "" {
		t.Errorf("profile %+v", p)
	}
	if _, err := b.cloud.Account.Roles.CreateProfile("empty", "/"); err != nil {
		t.Fatal(err)
	}
	edit(b, class, func(c *v1beta1.CellClass) { c.Spec.DefaultIAMPermissions = "empty" })
	b.unready(class, v1beta1.ReasonProfileNotFound, "spec.defaultIAMPermissions", `"empty" has no role`)
}

// TestNoAgent: without a place to download it from, the operator must serve one.
func TestNoAgent(t *testing.T) {
	for name, serves := range map[string]bool{"serves": true, "serves none": false} {
		t.Run(name, func(t *testing.T) {
			b := newBench(t)
			b.wrap = func(o *Options) { o.ServesAgent = serves }
			b.start()
			class := b.class(func(s *v1beta1.CellClassSpec) { s.Itzo = v1beta1.ItzoSpec{} })
			if serves {
				b.ready(class)
			} else {
				b.unready(class, v1beta1.ReasonNoAgent, "spec.itzo.url", "--agent-dir")
			}
		})
	}
}
