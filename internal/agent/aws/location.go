package aws

import (
	"slices"
	"strings"
)

// location is which of ECR's endpoints gives tokens for a registry.
type location struct {
	region          string
	fips, dualStack bool
}

// accountDigits is how long the number of an account is.
const accountDigits = 12

// registryDomains are those of private registries, by partition, and whether the
// names have addresses of both families
// (docs.aws.amazon.com/AmazonECR/latest/userguide/ecr-requests.html).
func registryDomains() map[string]bool {
	return map[string]bool{
		"amazonaws.com": false, "amazonaws.com.cn": false, "amazonaws.eu": false,
		"sc2s.sgov.gov": false, "c2s.ic.gov": false, "cloud.adc-e.uk": false, "csp.hci.ic.gov": false,
		"on.aws": true, "on.amazonwebservices.com.cn": true, "on.amazonwebservices.eu": true,
	}
}

// locate reads a registry's host: <account>.dkr.ecr[-fips].<region>.<domain>, or
// <account>.dkr-ecr[-fips].<region>.<domain> of dual-stack names. Public registries
// (public.ecr.aws) are not among them: they need no token.
func locate(host string) (location, bool) {
	account, rest, _ := strings.Cut(strings.ToLower(host), ".")
	if len(account) != accountDigits || strings.Trim(account, "0123456789") != "" {
		return location{}, false
	}
	service, found := "", false
	for _, service = range []string{"dkr.ecr", "dkr.ecr-fips", "dkr-ecr", "dkr-ecr-fips"} {
		var after string
		if after, found = strings.CutPrefix(rest, service+"."); found {
			rest = after
			break
		}
	}
	region, domain, _ := strings.Cut(rest, ".")
	dualStack, known := registryDomains()[domain]
	if !found || !known || !isRegion(region) {
		return location{}, false
	}
	return location{region: region, fips: strings.HasSuffix(service, "-fips"), dualStack: dualStack}, true
}

func isRegion(text string) bool {
	return text != "" && text[0] != '-' && !slices.ContainsFunc([]byte(text), func(b byte) bool {
		return b != '-' && (b < '0' || b > '9') && (b < 'a' || b > 'z')
	})
}
