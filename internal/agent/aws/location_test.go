package aws

import (
	"strings"
	"testing"
)

func TestLocate(t *testing.T) {
	for host, want := range map[string]location{
		"123456789012.dkr.ecr.eu-central-1.amazonaws.com":             {region: "eu-central-1"},
		"123456789012.DKR.ECR.us-gov-west-1.amazonaws.com":            {region: "us-gov-west-1"},
		"123456789012.dkr.ecr-fips.us-east-1.amazonaws.com":           {region: "us-east-1", fips: true},
		"123456789012.dkr.ecr.cn-north-1.amazonaws.com.cn":            {region: "cn-north-1"},
		"123456789012.dkr-ecr.us-west-2.on.aws":                       {region: "us-west-2", dualStack: true},
		"123456789012.dkr-ecr-fips.us-west-2.on.aws":                  {region: "us-west-2", fips: true, dualStack: true},
		"123456789012.dkr-ecr.cn-north-1.on.amazonwebservices.com.cn": {region: "cn-north-1", dualStack: true},
		"123456789012.dkr.ecr.us-iso-east-1.c2s.ic.gov":               {region: "us-iso-east-1"},
		"123456789012.dkr.ecr.eusc-de-east-1.amazonaws.eu":            {region: "eusc-de-east-1"},
		"12345678901.dkr.ecr.us-east-1.amazonaws.com":                 {},
		"1234567890123.dkr.ecr.us-east-1.amazonaws.com":               {},
		"12345678901x.dkr.ecr.us-east-1.amazonaws.com":                {},
		"123456789012.dkr.ecr.us-east-1.amazonaws.com.evil.example":   {},
		"123456789012.dkr.ecr.us-east-1.evil.example":                 {},
		"123456789012.dkr.ecr.evil.example/.us-east-1.amazonaws.com":  {},
		"123456789012.dkr.ecr.evil@x.amazonaws.com":                   {},
		"123456789012.dkr.ecr..amazonaws.com":                         {},
		"123456789012.dkr.ecr.amazonaws.com":                          {},
		"123456789012.dkr.ecr.us-east-1.amazonaws.com:443":            {},
		"123456789012.ecr.us-east-1.amazonaws.com":                    {},
		"public.ecr.aws": {},
		"docker.io":      {},
		"":               {},
	} {
		if got, ok := locate(host); got != want || ok != (want != location{}) {
			t.Errorf("%q: %+v, %t, want %+v", host, got, ok, want)
		}
	}
}

// FuzzLocate: no name of an image leads anywhere but to an endpoint of AWS.
func FuzzLocate(f *testing.F) {
	f.Add("123456789012.dkr.ecr.eu-central-1.amazonaws.com")
	f.Add("123456789012.dkr-ecr-fips.us-west-2.on.aws")
	f.Fuzz(func(t *testing.T, host string) {
		at, ok := locate(host)
		if ok && (at.region == "" || strings.Trim(at.region, "-0123456789abcdefghijklmnopqrstuvwxyz") != "") {
			t.Errorf("%q: region %q", host, at.region)
		}
	})
}
