package e2e

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/aws/aws-sdk-go-v2/aws"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/controller-runtime/pkg/client"

	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/test/testenv"
)

// A Cell that a user applies boots, becomes Ready, and its instance ends when it is deleted.
func TestCellAlone(t *testing.T) {
	t.Parallel()
	env := environment(t)
	class := readyClass(t, env, "cell-alone")
	cell := readyCell(t, env, class, "alone")
	live, err := env.LiveInstances(t.Context(), class.Name)
	if err != nil {
		t.Fatal(err)
	}
	if len(live) != 1 || aws.ToString(live[0].InstanceId) != cell.Status.InstanceID || aws.ToString(live[0].PrivateIpAddress) != cell.Status.IP {
		t.Errorf("EC2 has %d instances of the class; the Cell says %s at %s", len(live), cell.Status.InstanceID, cell.Status.IP)
	}
	if cell.Status.Agent == nil || cell.Status.Agent.Version == "" || cell.Status.Node != v1beta1.NodeName(class.Name) {
		t.Errorf("agent %+v on node %q", cell.Status.Agent, cell.Status.Node)
	}
	if err := remove(t.Context(), env, cell); err != nil {
		t.Fatal(err)
	}
	if err := nothingLeft(t.Context(), env, class, []string{cell.Status.InstanceID}); err != nil {
		t.Errorf("the Cell is gone, but %v", err)
	}
}

func readyCell(t *testing.T, env *testenv.Env, class *v1beta1.CellClass, name string) *v1beta1.Cell {
	t.Helper()
	cell := &v1beta1.Cell{ObjectMeta: metav1.ObjectMeta{Name: class.Name + "-" + name}, Spec: v1beta1.CellSpec{CellClassName: class.Name}}
	create(t, env, cell)
	testenv.Eventually(t, soon, "cell Ready", func(ctx context.Context) error { return ready(ctx, env, cell) })
	return cell
}

func ready(ctx context.Context, env *testenv.Env, cell *v1beta1.Cell) error {
	if err := env.Get(ctx, client.ObjectKeyFromObject(cell), cell); err != nil {
		return err
	}
	for _, c := range cell.Status.Conditions {
		if c.Type == v1beta1.ConditionReady {
			if c.Status == metav1.ConditionTrue {
				return nil
			}
			return fmt.Errorf("not Ready: %s: %s", c.Reason, c.Message)
		}
	}
	return errors.New("no condition Ready")
}
