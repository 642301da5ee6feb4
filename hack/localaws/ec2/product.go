package ec2

import (
	"crypto/sha256"
	"encoding/base32"
	"fmt"
	"maps"
	"strconv"
	"strings"

	"kip.elotl.co/hack/localaws/catalog"
)

// product is one entry of the price list, in the form of the documents of
// AWS's price list service (format version aws_v1).
type product struct {
	Product struct {
		ProductFamily string            `json:"productFamily"`
		Attributes    map[string]string `json:"attributes"`
		SKU           string            `json:"sku"`
	} `json:"product"`
	ServiceCode string `json:"serviceCode"`
	Terms       struct {
		OnDemand map[string]term
		Reserved map[string]term `json:",omitempty"`
	} `json:"terms"`
	Version         string `json:"version"`
	PublicationDate string `json:"publicationDate"`
}

type term struct {
	PriceDimensions map[string]priceDimension `json:"priceDimensions"`
	SKU             string                    `json:"sku"`
	EffectiveDate   string                    `json:"effectiveDate"`
	OfferTermCode   string                    `json:"offerTermCode"`
	TermAttributes  map[string]string         `json:"termAttributes"`
}

type priceDimension struct {
	Unit         string            `json:"unit"`
	BeginRange   string            `json:"beginRange"`
	EndRange     string            `json:"endRange"`
	Description  string            `json:"description"`
	AppliesTo    []string          `json:"appliesTo"`
	RateCode     string            `json:"rateCode"`
	PricePerUnit map[string]string `json:"pricePerUnit"`
}

// Codes of AWS's price list: of the terms of on-demand and of one reserved
// offer, and of rates by the hour.
const (
	onDemandTerm = "JRTCKXETXF"
	reservedTerm = "4NA7Y494T4"
	hourlyRate   = "6YS6EN2CT7"
	published    = "2026-11-01T00:00:00Z"
)

// dedicatedShare is what a dedicated instance costs more than a shared one,
// reservedShare what a reserved one costs.
const dedicatedShare, reservedShare = 1.1, 0.63

func newProduct(region string, t catalog.InstanceType, os, tenancy, status string) product {
	var p product
	p.ServiceCode, p.Version, p.PublicationDate = "AmazonEC2", "20261101000000", published
	p.Product.SKU = sku(t.Name, os, tenancy, status)
	p.Product.ProductFamily = "Compute Instance"
	if t.BareMetal() {
		p.Product.ProductFamily = "Compute Instance (bare metal)"
	}
	p.Product.Attributes = attributes(region, t)
	maps.Copy(p.Product.Attributes, map[string]string{"operatingSystem": os, "tenancy": tenancy, "capacitystatus": status})
	perHour := t.PricePerHour()
	if os == "Windows" {
		perHour += windowsPerVCPU * float64(t.VCPUs)
	}
	if tenancy == "Dedicated" {
		perHour *= dedicatedShare
	}
	if status == "AllocatedCapacityReservation" {
		perHour = 0 // paid for as the reservation
	}
	what := fmt.Sprintf("per %s %s %s Instance Hour", tenancy, os, t.Name)
	p.Terms.OnDemand = hourly(p.Product.SKU, onDemandTerm, what, perHour, nil)
	if status == "Used" {
		p.Terms.Reserved = hourly(p.Product.SKU, reservedTerm, what, perHour*reservedShare,
			map[string]string{"LeaseContractLength": "1yr", "OfferingClass": "standard", "PurchaseOption": "No Upfront"})
	}
	return p
}

func attributes(region string, t catalog.InstanceType) map[string]string {
	current, storage := "No", "EBS only"
	if t.CurrentGeneration {
		current = "Yes"
	}
	for _, d := range t.Disks {
		storage = fmt.Sprintf("%d x %d NVMe SSD", d.Count, d.SizeGB)
	}
	return map[string]string{
		"instanceType": t.Name, "regionCode": region, "location": region, "locationType": "AWS Region", "servicecode": "AmazonEC2",
		"servicename": "Amazon Elastic Compute Cloud", "marketoption": "OnDemand", "preInstalledSw": "NA", "licenseModel": "No License required",
		"operation": "RunInstances", "usagetype": "BoxUsage:" + t.Name, "currentGeneration": current, "storage": storage,
		"vcpu": strconv.Itoa(t.VCPUs), "memory": strconv.FormatFloat(float64(t.MemoryMiB)/1024, 'f', -1, 64) + " GiB",
		"availabilityzone": "NA", "instancesku": sku(t.Name),
	}
}

func hourly(sku, code, what string, perHour float64, attributes map[string]string) map[string]term {
	if attributes == nil {
		attributes = map[string]string{}
	}
	price := strconv.FormatFloat(perHour, 'f', 10, 64)
	rate := sku + "." + code + "." + hourlyRate
	return map[string]term{sku + "." + code: {
		SKU: sku, EffectiveDate: published, OfferTermCode: code, TermAttributes: attributes,
		PriceDimensions: map[string]priceDimension{rate: {
			Unit: "Hrs", BeginRange: "0", EndRange: "Inf", Description: "$" + price + " " + what, AppliesTo: []string{}, RateCode: rate,
			PricePerUnit: map[string]string{"USD": price},
		}},
	}}
}

// sku is the code of what the parts say: 16 capitals and digits.
func sku(parts ...string) string {
	sum := sha256.Sum256([]byte(strings.Join(parts, " ")))
	return base32.StdEncoding.EncodeToString(sum[:10])
}

// field is what filters know a product's properties by.
func (p product) field(name string) (string, bool) {
	switch name {
	case "productFamily":
		return p.Product.ProductFamily, true
	case "sku":
		return p.Product.SKU, true
	case "ServiceCode", "serviceCode":
		return p.ServiceCode, true
	}
	value, ok := p.Product.Attributes[name]
	return value, ok
}
