//go:build chaos

package crashpoint

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"syscall"

	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/log"

	"kip.elotl.co/api/v1beta1"
)

// Reach ends the process by SIGKILL when the plan says so, before anything can
// be cleaned up. A plan that cannot be followed is logged.
func Reach(ctx context.Context, point Point, object metav1.Object) {
	where := os.Getenv(EnvPlan)
	if where == "" {
		return
	}
	data, err := os.ReadFile(where)
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var plan Plan
	if err == nil {
		err = json.Unmarshal(data, &plan)
	}
	if err == nil {
		err = plan.reach(point, keyOf(object))
	}
	if err != nil {
		log.FromContext(ctx).Error(err, "The plan of crashes cannot be followed", "point", point)
	}
}

// keyOf is the namespace/name of the pod that an object is or is for.
func keyOf(object metav1.Object) string {
	if cell, ok := object.(*v1beta1.Cell); ok {
		if cell.Spec.PodRef == nil {
			return cell.Name
		}
		return cell.Spec.PodRef.Namespace + "/" + cell.Spec.PodRef.Name
	}
	return object.GetNamespace() + "/" + object.GetName()
}

func (p Plan) reach(point Point, key string) error {
	var errs []error
	for _, rule := range p.Rules {
		if match, err := path.Match(rule.Key, key); rule.Point != point || rule.Key != "" && (err != nil || !match) {
			continue
		}
		if err := rule.count(filepath.Join(p.Dir, rule.Name), key); err != nil {
			errs = append(errs, fmt.Errorf("rule %s: %w", rule.Name, err))
		}
	}
	return errors.Join(errs...)
}

// count adds a line to the rule's file, and ends the process if that is the
// N-th. The lock of the file ends with the process.
func (r Rule) count(file, key string) error {
	f, err := os.OpenFile(file, os.O_RDWR|os.O_CREATE|os.O_APPEND, 0o644)
	if err != nil {
		return err
	}
	defer f.Close()
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX); err != nil {
		return err
	}
	before, err := os.ReadFile(file)
	if err != nil {
		return err
	}
	if _, err := fmt.Fprintf(f, "%s %s\n", r.Point, key); err != nil {
		return err
	}
	if bytes.Count(before, []byte("\n"))+1 == r.N {
		return errors.Join(syscall.Kill(os.Getpid(), syscall.SIGKILL), errors.New("still here after SIGKILL"))
	}
	return nil
}
