package devcluster

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	authenticationv1 "k8s.io/api/authentication/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/client-go/kubernetes"
	"k8s.io/client-go/rest"
	"k8s.io/client-go/tools/clientcmd"
	clientcmdapi "k8s.io/client-go/tools/clientcmd/api"

	"kip.elotl.co/hack/proc/atomicfile"
)

// RESTConfig is access as cluster administrator, without client-side rate limit.
func (c *Cluster) RESTConfig() (*rest.Config, error) {
	config, err := clientcmd.BuildConfigFromFlags("", c.AdminKubeconfig())
	if err != nil {
		return nil, fmt.Errorf("reading the administrator's kubeconfig: %w", err)
	}
	config.QPS = -1
	return config, nil
}

// KubeconfigForServiceAccount writes to path a kubeconfig that is the ServiceAccount, which must exist. Its token, good for expiry (at least
// ten minutes), lies beside it in path + ".token". Called again it writes a new token only: a client that holds the kubeconfig reads the
// token file again every minute, and goes on.
func (c *Cluster) KubeconfigForServiceAccount(ctx context.Context, namespace, name, path string, expiry time.Duration) error {
	if err := c.writeServiceAccountKubeconfig(ctx, namespace, name, path, expiry); err != nil {
		return fmt.Errorf("kubeconfig for ServiceAccount %s/%s: %w", namespace, name, err)
	}
	return nil
}

func (c *Cluster) writeServiceAccountKubeconfig(ctx context.Context, namespace, name, path string, expiry time.Duration) error {
	path, err := filepath.Abs(path)
	if err != nil {
		return err
	}
	client, err := c.client()
	if err != nil {
		return err
	}
	seconds := int64(expiry.Seconds())
	request := &authenticationv1.TokenRequest{Spec: authenticationv1.TokenRequestSpec{ExpirationSeconds: &seconds}}
	token, err := client.CoreV1().ServiceAccounts(namespace).CreateToken(ctx, name, request, metav1.CreateOptions{})
	if err != nil {
		return fmt.Errorf("requesting a token: %w", err)
	}
	tokenFile := path + ".token"
	if _, err := atomicfile.Write(tokenFile, []byte(token.Status.Token), 0o600); err != nil {
		return err
	}
	return c.writeKubeconfig(path, namespace, &clientcmdapi.AuthInfo{TokenFile: tokenFile})
}

// writeCertKubeconfig writes a kubeconfig that authenticates by the certificate of that name.
func (c *Cluster) writeCertKubeconfig(path, certName string) error {
	cert, err := os.ReadFile(c.pki.store.CertFile(certName))
	if err != nil {
		return err
	}
	key, err := os.ReadFile(c.pki.store.KeyFile(certName))
	if err != nil {
		return err
	}
	return c.writeKubeconfig(path, "", &clientcmdapi.AuthInfo{ClientCertificateData: cert, ClientKeyData: key})
}

func (c *Cluster) writeKubeconfig(path, namespace string, user *clientcmdapi.AuthInfo) error {
	ca, err := os.ReadFile(c.CAFile())
	if err != nil {
		return err
	}
	const name = "kip-dev"
	config := clientcmdapi.NewConfig()
	config.Clusters[name] = &clientcmdapi.Cluster{Server: c.URLs()[0], CertificateAuthorityData: ca}
	config.AuthInfos[name] = user
	config.Contexts[name] = &clientcmdapi.Context{Cluster: name, AuthInfo: name, Namespace: namespace}
	config.CurrentContext = name
	data, err := clientcmd.Write(*config)
	if err != nil {
		return fmt.Errorf("encoding %s: %w", path, err)
	}
	_, err = atomicfile.Write(path, data, 0o600)
	return err
}

// writeConfigs writes what the components and the administrator read.
func (c *Cluster) writeConfigs() error {
	_, err := atomicfile.Write(c.path("scheduler.yaml"), c.schedulerConfig(), 0o600)
	return errors.Join(err,
		c.writeCertKubeconfig(c.AdminKubeconfig(), adminCert),
		c.writeCertKubeconfig(c.path("controller-manager.kubeconfig"), controllerCert),
		c.writeCertKubeconfig(c.path("scheduler.kubeconfig"), schedulerCert),
	)
}

func (c *Cluster) client() (kubernetes.Interface, error) {
	config, err := c.RESTConfig()
	if err != nil {
		return nil, err
	}
	return kubernetes.NewForConfig(config)
}
