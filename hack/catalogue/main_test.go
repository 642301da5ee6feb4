package main

import (
	"go/parser"
	"go/token"
	"strings"
	"testing"
)

const generatedSource = `package pricing

// generated at 2026-07-06T14:20:29Z for us-east-1

var InitialOnDemandPricesAWS = map[string]map[string]float64{
	// us-east-1
	"us-east-1": {
		// m5 family
		"m5.large": 0.096000, "c5.metal": 10.000000, "a1.large": 20, "z1.tiny": 0.0052,
	},
	"us-west-2": {"m5.large": 1},
}
`

func tableOf(source string) (string, error) {
	file, err := parser.ParseFile(token.NewFileSet(), "source.go", source, parser.ParseComments)
	if err != nil {
		return "", err
	}
	date, err := generated(file)
	if err != nil {
		return "", err
	}
	prices, err := pricesIn(file)
	if err != nil {
		return "", err
	}
	var out strings.Builder
	err = write(&out, date, prices)
	return out.String(), err
}

func TestTable(t *testing.T) {
	got, err := tableOf(generatedSource)
	if err != nil {
		t.Fatal(err)
	}
	if want := "us-east-1 2026-07-06\na1.large 20\nc5.metal 10\nm5.large 0.096\nz1.tiny 0.0052\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestSourcesThatHaveChanged(t *testing.T) {
	for what, change := range map[string][2]string{
		"does not say when":  {"generated at", "made at"},
		"has no Initial":     {"InitialOnDemandPricesAWS", "Prices"},
		"has no region":      {`"us-east-1": {`, `"eu-west-1": {`},
		"not a type and its": {"0.096000", "price()"},
	} {
		if _, err := tableOf(strings.Replace(generatedSource, change[0], change[1], 1)); err == nil || !strings.Contains(err.Error(), what) {
			t.Errorf("%v: %v", change, err)
		}
	}
}
