package ec2

import (
	"context"
	"encoding/json"
	"slices"
	"strings"

	"kip.elotl.co/hack/localaws/awserr"
	"kip.elotl.co/hack/localaws/catalog"
)

// productsPage is how many products GetProducts lists at most, and when it is
// not told.
const productsPage = 100

type getProductsInput struct {
	ServiceCode   string
	FormatVersion string
	Filters       []productFilter
	MaxResults    *int
	NextToken     string
}

type productFilter struct{ Type, Field, Value string }

type getProductsResponse struct {
	header        `json:"-"`
	FormatVersion string
	PriceList     []string
	NextToken     string `json:",omitempty"`
}

// getProducts lists the price list of EC2 in this region: each entry is a
// document of its own.
func (s *Server) getProducts(_ context.Context, c *Call) (response, error) {
	var in getProductsInput
	if err := c.decode(&in); err != nil {
		return nil, err
	}
	pages, err := in.paging()
	if err != nil {
		return nil, err
	}
	if in.ServiceCode != "AmazonEC2" {
		return nil, awserr.New("InvalidParameterException", "The service code %q is not one of AmazonEC2", in.ServiceCode)
	}
	if in.FormatVersion != "" && in.FormatVersion != "aws_v1" {
		return nil, awserr.New("InvalidParameterException", "The format version %q is not aws_v1", in.FormatVersion)
	}
	test, err := selectsProducts(in.Filters)
	if err != nil {
		return nil, err
	}
	found, next := page(keep(products(s.World.Catalog), test), pages, func(p product) string { return p.Product.SKU })
	out := &getProductsResponse{FormatVersion: "aws_v1", NextToken: next, PriceList: []string{}}
	for _, p := range found {
		document, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		out.PriceList = append(out.PriceList, string(document))
	}
	return out, nil
}

func (in getProductsInput) paging() (paging, error) {
	out := paging{size: productsPage}
	if in.MaxResults != nil {
		if *in.MaxResults < 1 || *in.MaxResults > productsPage {
			return out, awserr.New("InvalidParameterException", "MaxResults is %d; it must be from 1 to %d", *in.MaxResults, productsPage)
		}
		out.size = *in.MaxResults
	}
	if in.NextToken == "" {
		return out, nil
	}
	after, ok := readToken(in.NextToken)
	if !ok {
		return out, awserr.New("InvalidNextTokenException", "The token %q is not one of this service", in.NextToken)
	}
	out.after = after
	return out, nil
}

// selectsProducts makes a test of filters, all of which a product must pass.
func selectsProducts(filters []productFilter) (func(product) bool, error) {
	for _, f := range filters {
		if f.Field == "" || f.Value == "" {
			return nil, awserr.New("InvalidParameterException", "A filter needs a field and a value")
		}
		if f.Type != "TERM_MATCH" && f.Type != "EQUALS" && f.Type != "CONTAINS" {
			return nil, awserr.New("InvalidParameterException", "The filter type %q is not one of TERM_MATCH, EQUALS, CONTAINS", f.Type)
		}
	}
	return func(p product) bool {
		return !slices.ContainsFunc(filters, func(f productFilter) bool {
			value, ok := p.field(f.Field)
			if f.Type == "CONTAINS" {
				return !ok || !strings.Contains(value, f.Value)
			}
			return !ok || value != f.Value
		})
	}, nil
}

// products are the price list in the order of their SKUs.
func products(c *catalog.Catalog) []product {
	var out []product
	for _, t := range c.Types {
		for _, os := range []string{"Linux", "Windows"} {
			if os == "Windows" && !slices.Contains(t.BootModes, "legacy-bios") {
				continue
			}
			for _, tenancy := range []string{"Shared", "Dedicated"} {
				for _, status := range []string{"Used", "UnusedCapacityReservation", "AllocatedCapacityReservation"} {
					out = append(out, newProduct(c.Region, t, os, tenancy, status))
				}
			}
		}
	}
	slices.SortFunc(out, func(a, b product) int { return strings.Compare(a.Product.SKU, b.Product.SKU) })
	return out
}
