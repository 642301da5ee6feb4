package main

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"path/filepath"
	"strconv"
	"strings"
)

// readConstants lists the values of each string type of the package that has constants, by the type's name, in the order of the source: what
// the API calls an enumeration.
func readConstants(dir string) (map[string][]string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), filepath.Join(dir, "types.go"), nil, parser.SkipObjectResolution)
	if err != nil {
		return nil, fmt.Errorf("reading the API's constants: %w", err)
	}
	constants := map[string][]string{}
	for _, decl := range file.Decls {
		group, ok := decl.(*ast.GenDecl)
		if !ok || group.Tok != token.CONST {
			continue
		}
		for _, spec := range group.Specs {
			name, value, ok := typedString(spec)
			// Those that end so begin the names of many others.
			if ok && value != "" && !strings.HasSuffix(value, "-") {
				constants[name] = append(constants[name], value)
			}
		}
	}
	return constants, nil
}

func typedString(spec ast.Spec) (typeName, value string, ok bool) {
	constant, ok := spec.(*ast.ValueSpec)
	if !ok || len(constant.Values) != 1 {
		return "", "", false
	}
	named, ok := constant.Type.(*ast.Ident)
	if !ok || named.Name == "string" {
		return "", "", false
	}
	literal, ok := constant.Values[0].(*ast.BasicLit)
	if !ok || literal.Kind != token.STRING {
		return "", "", false
	}
	value, err := strconv.Unquote(literal.Value)
	return named.Name, value, err == nil
}
