// Command catalogue makes the table of On-demand prices that is built into the
// operator, from the figures that Karpenter's provider for AWS exports
// (pkg/providers/pricing, Apache-2.0): their date stands in its source. It
// writes to standard output.
package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

const (
	module   = "github.com/aws/karpenter-provider-aws@v1.14.1"
	source   = "pkg/providers/pricing/zz_generated.pricing_aws.go"
	variable = "InitialOnDemandPricesAWS"
	region   = "us-east-1"
)

func main() {
	if err := run(context.Background(), os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "catalogue:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, out io.Writer) error {
	dir, err := download(ctx)
	if err != nil {
		return fmt.Errorf("downloading %s: %w", module, err)
	}
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, source), nil, parser.ParseComments)
	if err != nil {
		return err
	}
	date, err := generated(file)
	if err != nil {
		return err
	}
	prices, err := pricesIn(file)
	if err != nil {
		return err
	}
	return write(out, date, prices)
}

// download gives the directory of the module's source.
func download(ctx context.Context) (string, error) {
	answer, err := exec.CommandContext(ctx, "go", "mod", "download", "-json", module).Output()
	if err != nil {
		return "", err
	}
	var downloaded struct{ Dir string }
	err = json.Unmarshal(answer, &downloaded)
	return downloaded.Dir, err
}

// generated finds the day in the comment "generated at 2026-07-06T14:20:29Z for us-east-1".
func generated(file *ast.File) (string, error) {
	said := regexp.MustCompile(`generated at (\d{4}-\d\d-\d\d)T\S+ for ` + region)
	for _, group := range file.Comments {
		if found := said.FindStringSubmatch(group.Text()); found != nil {
			return found[1], nil
		}
	}
	return "", errors.New("the source does not say when it was made")
}

// pricesIn reads the map of the region: type to price, as written.
func pricesIn(file *ast.File) (map[string]string, error) {
	regions := literalOf(file)
	if regions == nil {
		return nil, fmt.Errorf("the source has no %s", variable)
	}
	for _, element := range regions.Elts {
		pair, ok := element.(*ast.KeyValueExpr)
		if !ok || text(pair.Key) != region {
			continue
		}
		prices := map[string]string{}
		list, ok := pair.Value.(*ast.CompositeLit)
		if !ok {
			break
		}
		for _, entry := range list.Elts {
			name, price := priceIn(entry)
			if name == "" {
				return nil, fmt.Errorf("%s: an entry of region %s is not a type and its price", variable, region)
			}
			prices[name] = price
		}
		return prices, nil
	}
	return nil, fmt.Errorf("%s has no region %s", variable, region)
}

// priceIn is a type and its price, as written; without a name where the entry
// is something else.
func priceIn(entry ast.Expr) (name, price string) {
	pair, ok := entry.(*ast.KeyValueExpr)
	if !ok {
		return "", ""
	}
	value, ok := pair.Value.(*ast.BasicLit)
	if !ok || value.Kind != token.FLOAT && value.Kind != token.INT {
		return "", ""
	}
	return text(pair.Key), value.Value
}

func literalOf(file *ast.File) *ast.CompositeLit {
	var found *ast.CompositeLit
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && spec.Names[0].Name == variable {
			found, _ = spec.Values[0].(*ast.CompositeLit)
		}
		return found == nil
	})
	return found
}

func text(e ast.Expr) string {
	literal, ok := e.(*ast.BasicLit)
	if !ok {
		return ""
	}
	s, err := strconv.Unquote(literal.Value)
	if err != nil {
		return ""
	}
	return s
}

func write(out io.Writer, date string, prices map[string]string) error {
	w := bufio.NewWriter(out)
	fmt.Fprintln(w, region, date)
	names := make([]string, 0, len(prices))
	for name := range prices {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		fmt.Fprintln(w, name, withoutZeros(prices[name]))
	}
	return w.Flush()
}

// withoutZeros shortens 0.096000 to 0.096.
func withoutZeros(price string) string {
	if !strings.Contains(price, ".") {
		return price
	}
	return strings.TrimRight(strings.TrimRight(price, "0"), ".")
}
