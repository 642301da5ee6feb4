package world

import "kip.elotl.co/hack/localaws/awserr"

// performance is what a volume type can be asked to do
// (docs.aws.amazon.com/ebs/latest/userguide/ebs-volume-types.html).
type performance struct {
	leastIOPS, mostIOPS int // 0 for types that cannot be asked
	perGiB              int // most IOPS for each GiB
	needsIOPS           bool
}

var performances = map[string]performance{
	"gp3": {leastIOPS: 3000, mostIOPS: 80000, perGiB: 500},
	"io1": {leastIOPS: 100, mostIOPS: 64000, perGiB: 50, needsIOPS: true},
	"io2": {leastIOPS: 100, mostIOPS: 256000, perGiB: 1000, needsIOPS: true},
}

// The throughput of gp3 in MiB/s, and how many of these each of its IOPS
// allows.
const leastThroughput, mostThroughput, throughputPerIOPS = 125, 2000, 0.25

// perform checks what is asked of a volume's performance, and fills in what a
// type does unasked.
func perform(v *Volume) error {
	p, ok := performances[v.Type]
	switch {
	case !ok && v.IOPS != 0:
		return awserr.New("InvalidParameterCombination", "The parameter iops is not supported for %s volumes.", v.Type)
	case v.Type != "gp3" && v.Throughput != 0:
		return awserr.New("InvalidParameterCombination", "throughput can only be specified for volumeType gp3.")
	case !ok:
		return nil
	case p.needsIOPS && v.IOPS == 0:
		return awserr.New("MissingParameter", "The request must contain the parameter iops for %s volumes", v.Type)
	}
	if err := p.checkIOPS(v); err != nil || v.Type != "gp3" {
		return err
	}
	return checkThroughput(v)
}

func (p performance) checkIOPS(v *Volume) error {
	if v.IOPS == 0 {
		v.IOPS = p.leastIOPS
	}
	if v.IOPS < p.leastIOPS || v.IOPS > p.mostIOPS {
		return awserr.New("InvalidParameterValue", "Volume iops of %d is invalid; %s volumes must have from %d to %d", v.IOPS, v.Type, p.leastIOPS, p.mostIOPS)
	}
	// What every volume of a type does, does not depend on its size.
	if v.IOPS > p.leastIOPS && v.IOPS > p.perGiB*v.SizeGiB {
		return awserr.New("InvalidParameterValue", "Iops to volume size ratio of %f is too high; maximum is %d", float64(v.IOPS)/float64(v.SizeGiB), p.perGiB)
	}
	return nil
}

func checkThroughput(v *Volume) error {
	if v.Throughput == 0 {
		v.Throughput = leastThroughput
	}
	if v.Throughput < leastThroughput || v.Throughput > mostThroughput {
		return awserr.New("InvalidParameterValue", "Volume throughput of %d MiBps is invalid; gp3 volumes must have from %d to %d", v.Throughput, leastThroughput, mostThroughput)
	}
	if ratio := float64(v.Throughput) / float64(v.IOPS); ratio > throughputPerIOPS {
		return awserr.New("InvalidParameterValue", "Throughput (MiBps) to iops ratio of %f is too high; maximum is %f MiBps per iops", ratio, throughputPerIOPS)
	}
	return nil
}
