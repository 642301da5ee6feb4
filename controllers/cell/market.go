package cell

import (
	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/cloud"
	"kip.elotl.co/internal/selection"
)

// cloudMarket is a market in the words of the cloud, marketOf in those of the
// choice, launchTypeOf in those of the API.
func cloudMarket(t v1beta1.LaunchType) cloud.Market {
	if t == v1beta1.LaunchSpot {
		return cloud.Spot
	}
	return cloud.OnDemand
}

func marketOf(t v1beta1.LaunchType) selection.Market {
	if t == v1beta1.LaunchSpot {
		return selection.Spot
	}
	return selection.OnDemand
}

func launchTypeOf(instance cloud.Instance) v1beta1.LaunchType {
	if instance.Market == cloud.Spot {
		return v1beta1.LaunchSpot
	}
	return v1beta1.LaunchOnDemand
}

func offeringOf(attempt *v1beta1.LaunchAttempt) selection.Offering {
	return selection.Offering{
		InstanceType: attempt.InstanceType,
		Zone:         attempt.Zone,
		SubnetID:     attempt.SubnetID,
		Market:       marketOf(attempt.LaunchType),
	}
}
