package world

import (
	"kip.elotl.co/hack/localaws/awserr"
)

// resolveProfile finds the instance profile: one that the account does not
// have is refused in the same words as one that cannot be.
func (w *World) resolveProfile(req LaunchRequest, p *plan) error {
	switch {
	case req.ProfileARN == "" && req.ProfileName == "":
	case req.ProfileARN != "" && req.ProfileName != "":
		return awserr.New("InvalidParameterCombination", "The parameter 'iamInstanceProfile.name' may not be used in combination with 'iamInstanceProfile.arn'")
	case req.ProfileARN != "":
		found, ok := w.IAM.ByARN(req.ProfileARN)
		if !ok {
			return awserr.New("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.arn is invalid. Invalid IAM Instance Profile ARN", req.ProfileARN)
		}
		p.profileARN, p.profileID = req.ProfileARN, found.ID
	default:
		found, err := w.IAM.Profile(req.ProfileName)
		if err != nil {
			return awserr.New("InvalidParameterValue", "Value (%s) for parameter iamInstanceProfile.name is invalid. Invalid IAM Instance Profile name", req.ProfileName)
		}
		p.profileARN, p.profileID = w.IAM.ProfileARN(found), found.ID
	}
	return w.checkRole(p.profileARN)
}

// checkRole refuses a profile from which an instance would get nothing.
func (w *World) checkRole(arn string) error {
	profile, ok := w.IAM.ByARN(arn)
	if _, has := w.IAM.RoleOf(profile.Name); ok && !has {
		return awserr.New("InvalidParameterValue", `IAM Instance Profile "%s" has no associated IAM Roles`, arn)
	}
	return nil
}
