package firstboot

import (
	"context"
	"os"
	"time"
)

// service is a daemon of the image that is started again when it ends.
type service struct {
	name string
	argv []string
	env  []string
	log  string
}

// The image's services, as an AMI's systemd would start them.
func imageServices() []service {
	return []service{{
		name: "containerd", argv: []string{"containerd"}, log: "/var/log/containerd.log",
		// Cells mount no securityfs, so profiles could not be loaded. This is
		// how containerd learns that it is not to try.
		env: []string{"container=cell"},
	}}
}

// restartDelay is the pause before a service that ended is started again.
const restartDelay = time.Second

type services struct {
	procs *processes
	c     *console
}

func newServices(procs *processes, c *console) *services { return &services{procs: procs, c: c} }

func (s *services) startAll(ctx context.Context) {
	for _, svc := range imageServices() {
		if !found(svc.argv[0]) {
			s.c.printf("the image has no %s", svc.name)
			continue
		}
		go s.keep(ctx, svc)
	}
}

// keep runs a service until the context ends.
func (s *services) keep(ctx context.Context, svc service) {
	for ctx.Err() == nil {
		err := s.once(ctx, svc)
		if ctx.Err() != nil {
			return
		}
		s.c.printf("%s ended: %v", svc.name, err)
		select {
		case <-ctx.Done():
		case <-time.After(restartDelay):
		}
	}
}

func (s *services) once(ctx context.Context, svc service) error {
	log, err := os.OpenFile(svc.log, os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o640)
	if err != nil {
		return err
	}
	defer log.Close()
	return s.procs.run(ctx, command{argv: svc.argv, env: svc.env, output: log})
}
