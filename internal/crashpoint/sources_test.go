package crashpoint

import (
	"bytes"
	"go/ast"
	"go/parser"
	"go/printer"
	"go/token"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// effects are the calls that change something outside the operator, by the
// controller and how the call is written, and the points around them.
func effects() map[string]string {
	return map[string]string{
		"cell c.Client.Patch":                              "CellFinalizerAdd",
		"cell c.Client.Update":                             "CellFinalizerRemove",
		"cell c.Client.Status().Update":                    "CellStatus",
		"cell c.Cloud.Launch":                              "Launch",
		"cell c.Cloud.Terminate":                           "Terminate",
		"cell c.Cloud.PutSecret":                           "ParameterPut",
		"cell c.Cloud.DeleteSecrets":                       "ParameterDelete",
		"cell c.Cloud.AllowForwarding":                     "Forwarding",
		"cell c.Cloud.CreateRoute":                         "RouteCreate",
		"cell c.Cloud.DeleteRoute":                         "RouteDelete",
		"cell agent.SetCredentials":                        "Credentials",
		"pod c.Client.Create":                              "CellCreate",
		"pod k.Client.Patch":                               "CellClaim",
		"pod c.Client.Delete":                              "CellDelete",
		"pod c.Client.Patch":                               "PodPatch",
		"pod d.agent.Deploy":                               "Volume",
		"pod d.agent.UpdatePod":                            "Dispatch",
		"pod agent.Stop":                                   "Stop",
		"pod agent.Exec":                                   "Stop", // that of an agent of the first Kip
		"pod s.node.CoreV1().Pods(s.pod.Namespace).Patch":  "PodStatus",
		"pod s.node.CoreV1().Pods(s.pod.Namespace).Delete": "PodRemove",
		"standby c.Client.Create":                          "StandbyCreate",
		"standby c.Client.Delete":                          "StandbyDelete",
		`standby c.Client.SubResource("eviction").Create`:  "Evict",
	}
}

// leaves says whether a call goes out of the operator, and may change something
// there that a crash could leave half done.
func leaves(call string) bool {
	const (
		out      = `(\bCloud|\bagent)\.\w+$|(\bClient|\bStatus\(\)|\bSubResource\(.*\)|\bCoreV1\(\)\..*)\.(Create\w*|Update\w*|Patch|Delete\w*|Evict\w*)$`
		harmless = `\bCloud\.(Find\w*|Instance\w*|SecretsBelow|RouteTables|Console|Status|\w+Delay)$|` +
			`\bagent\.(Info|Status|Poll|Generation|Logs|Ping|Handshake)$|\.CreateToken$`
	)
	return regexp.MustCompile(out).MatchString(call) && !regexp.MustCompile(harmless).MatchString(call)
}

// TestEveryEffectHasItsPoints reads the controllers' sources: each call that
// changes something outside is a statement with its points right before and
// after it, and every point that is declared is used.
func TestEveryEffectHasItsPoints(t *testing.T) {
	used := map[string]bool{}
	for _, controller := range []string{"cell", "pod", "standby"} {
		for _, file := range sources(t, filepath.Join("..", "..", "controllers", controller)) {
			checkFile(t, controller, file, used)
		}
	}
	declared := declared(t)
	for _, name := range declared {
		if !used[name] {
			t.Errorf("%s is reached nowhere", name)
		}
	}
	if len(declared) != len(All()) {
		t.Errorf("%d points are declared, All lists %d", len(declared), len(All()))
	}
}

func TestPointsComeInPairs(t *testing.T) {
	all := All()
	for i := 0; i < len(all); i += 2 {
		before, after := string(all[i]), string(all[i+1])
		if effect, ok := strings.CutSuffix(before, ".before"); !ok || after != effect+".after" || slices.Index(all, all[i]) != i {
			t.Errorf("%s and %s are no pair of their own", before, after)
		}
	}
}

// TestChecker: what has no points, or others', is found.
func TestChecker(t *testing.T) {
	for body, wrong := range map[string]bool{
		"crashpoint.Reach(ctx, crashpoint.LaunchBefore, x); i, err := c.Cloud.Launch(ctx, r); crashpoint.Reach(ctx, crashpoint.LaunchAfter, x); use(i, err)": false,
		"crashpoint.Reach(ctx, crashpoint.LaunchBefore, x); i, err := c.Cloud.Launch(ctx, r); use(i, err)":                                                   true,
		"i, err := c.Cloud.Launch(ctx, r); crashpoint.Reach(ctx, crashpoint.LaunchAfter, x); use(i, err)":                                                    true,
		"return c.Cloud.Launch(ctx, r)":                     true,
		"if err := c.Client.Update(ctx, x); err != nil { }": true,
		"go func() { agent.Stop(ctx, r) }()":                true,
		"c.Cloud.PaintBlue(ctx)":                            true,
		"c.Cloud.FindByToken(ctx, token); agent.Info(ctx)":  false,
		"crashpoint.Reach(ctx, crashpoint.TerminateBefore, x); c.Cloud.Launch(ctx, r); crashpoint.Reach(ctx, crashpoint.TerminateAfter, x)": true,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "x.go", "package cell\nfunc f() { "+body+" }", 0)
		if err != nil {
			t.Fatal(err)
		}
		if found := problems("cell", file, map[string]bool{}); (len(found) > 0) != wrong {
			t.Errorf("%s: %v", body, found)
		}
	}
}

func sources(t *testing.T, dir string) []string {
	t.Helper()
	files, err := filepath.Glob(filepath.Join(dir, "*.go"))
	if err != nil || len(files) == 0 {
		t.Fatalf("%s: %d sources, %v", dir, len(files), err)
	}
	return slices.DeleteFunc(files, func(name string) bool { return strings.HasSuffix(name, "_test.go") })
}

func checkFile(t *testing.T, controller, path string, used map[string]bool) {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), path, nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems(controller, file, used) {
		t.Errorf("%s: %s", path, problem)
	}
}

// problems finds the effects of a file without their points.
func problems(controller string, file *ast.File, used map[string]bool) []string {
	var found []string
	ast.Inspect(file, func(n ast.Node) bool {
		for i, statement := range statements(n) {
			for _, call := range callsOf(statement) {
				effect, known := effects()[controller+" "+call]
				switch {
				case !leaves(call):
				case !known:
					found = append(found, call+" is not in the table of effects, and not among what is harmless")
				case pointAt(statements(n), i-1) != effect+"Before" || pointAt(statements(n), i+1) != effect+"After":
					found = append(found, call+" is not a statement between crashpoint.Reach at "+effect+"Before and "+effect+"After")
				default:
					used[effect+"Before"], used[effect+"After"] = true, true
				}
			}
		}
		return true
	})
	return found
}

func statements(n ast.Node) []ast.Stmt {
	switch n := n.(type) {
	case *ast.BlockStmt:
		return n.List
	case *ast.CaseClause:
		return n.Body
	case *ast.CommClause:
		return n.Body
	}
	return nil
}

// callsOf are the functions that a statement calls, but for the blocks in it,
// which have statements of their own.
func callsOf(statement ast.Stmt) []string {
	var calls []string
	ast.Inspect(statement, func(n ast.Node) bool {
		if statements(n) != nil {
			return false
		}
		if call, ok := n.(*ast.CallExpr); ok {
			calls = append(calls, written(call.Fun))
		}
		return true
	})
	return calls
}

func written(n ast.Node) string {
	var out bytes.Buffer
	if err := printer.Fprint(&out, token.NewFileSet(), n); err != nil {
		return err.Error()
	}
	return out.String()
}

// pointAt is the name of the point that the i-th statement reaches, if any.
func pointAt(list []ast.Stmt, i int) string {
	if i < 0 || i >= len(list) {
		return ""
	}
	statement, ok := list[i].(*ast.ExprStmt)
	if !ok {
		return ""
	}
	call, ok := statement.X.(*ast.CallExpr)
	if !ok || written(call.Fun) != "crashpoint.Reach" || len(call.Args) != 3 {
		return ""
	}
	return strings.TrimPrefix(written(call.Args[1]), "crashpoint.")
}

// declared are the names of all constants of type Point.
func declared(t *testing.T) []string {
	t.Helper()
	file, err := parser.ParseFile(token.NewFileSet(), "points.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && spec.Type != nil && written(spec.Type) == "Point" {
			names = append(names, spec.Names[0].Name)
		}
		return true
	})
	return names
}
