package cell

import (
	"kip.elotl.co/api/v1beta1"
	"kip.elotl.co/internal/catalogue"
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

// offeringOf is what an attempt has claimed.
func (c *Controller) offeringOf(attempt *v1beta1.LaunchAttempt) selection.Offering {
	offering := selection.Offering{
		InstanceType: attempt.InstanceType,
		Zone:         attempt.Zone,
		SubnetID:     attempt.SubnetID,
		Market:       marketOf(attempt.LaunchType),
	}
	if index := c.Catalogue.Index(); index != nil {
		kind, _ := index.Type(attempt.InstanceType)
		offering.VCPUs = kind.VCPUs()
	}
	return offering
}

// world is what is known of the capacity for cells of a class.
func (c *Controller) world(class *v1beta1.CellClass) catalogue.World {
	if class == nil {
		return c.capacity.For(catalogue.Hardware{})
	}
	return c.capacity.For(catalogue.Hardware{
		Tenancy: class.Spec.AWS.Tenancy, VolumeType: class.Spec.AWS.RootVolume.Type, Class: class.UID, Generation: class.Generation,
	})
}
