package world

import (
	"regexp"
	"slices"

	"kip.elotl.co/hack/localaws/awserr"
)

// profileARN is the name of an instance profile in full: with its account, and
// a path before its name.
var profileARN = regexp.MustCompile(`^arn:aws[a-z-]*:iam::(\d{12}):instance-profile/(?:[\w+=,.@-]+/)*([\w+=,.@-]{1,128})$`)

// resolveProfile finds the instance profile: one that the account does not
// have is refused in the same words as one that cannot be.
func (w *World) resolveProfile(req LaunchRequest, p *plan) error {
	switch {
	case req.ProfileARN == "" && req.ProfileName == "":
	case req.ProfileARN != "" && req.ProfileName != "":
		return awserr.New("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	case req.ProfileARN != "":
		m := profileARN.FindStringSubmatch(req.ProfileARN)
		if m == nil || m[1] != w.Catalog.Account || !slices.Contains(w.Catalog.Profiles, m[2]) {
			return awserr.New("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN", req.ProfileARN)
		}
		p.profileARN = req.ProfileARN
	default:
		if !slices.Contains(w.Catalog.Profiles, req.ProfileName) {
			return awserr.New("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", req.ProfileName)
		}
		p.profileARN = "arn:aws:iam::" + w.Catalog.Account + ":instance-profile/" + req.ProfileName
	}
	return nil
}
