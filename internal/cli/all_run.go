package cli

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	healthv1 "google.golang.org/grpc/health/grpc_health_v1"

	"sonde.example/agent"
	"sonde.example/collector"
	"sonde.example/confsync"
	"sonde.example/inference"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore/etcd/embedded"
	"sonde.example/internal/mtls"
	"sonde.example/internal/retry"
	"sonde.example/internal/telemetry"
)

// run brings everything up from the bottom, and takes it down from the top, which is the order of the data: what the agent
// has read is stored before anything below it ends.
func (e *everything) run(ctx context.Context) (err error) {
	began := time.Now()
	log, err := telemetry.NewLogger(e.err, e.log)
	if err != nil {
		return usageError{err}
	}
	if err := e.checkDevices(); err != nil {
		return err
	}
	release, err := takeState(e.state)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, release()) }()
	certs, err := mtls.EnsureDevelopment(e.path("certs"), mtls.DevelopmentOptions{Agent: agentName, Hosts: e.hosts()})
	if err != nil {
		return err
	}
	s := newStack(ctx)
	defer func() { err = errors.Join(err, s.end()) }()
	if err := e.start(s, certs, log); err != nil {
		return err
	}
	conn, err := operator(certs.Operator, e.agent.Collectors[0])
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, conn.Close()) }()
	if err := serves(s.over, conn); err != nil {
		return unlessOver(s, err)
	}
	trouble, err := e.settled(s.over)
	if err != nil {
		return unlessOver(s, err)
	}
	if isTerminal(e.err) {
		e.greet(time.Since(began), trouble)
	}
	<-s.over.Done()
	return nil
}

// settleFor is how long the agent may take to say what became of its row.
const settleFor = 3 * time.Second

// settled waits until the tables say what became of the agent's row, and returns what is wrong with it.
func (e *everything) settled(ctx context.Context) (trouble string, err error) {
	if e.agent.ConfigStore == "" {
		return "", nil
	}
	t, err := confsync.OpenTables(ctx, e.database())
	if err != nil {
		return "", err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	ctx, cancel := context.WithTimeout(ctx, settleFor)
	defer cancel()
	for {
		status, err := agentStatus(ctx, t)
		switch {
		case ctx.Err() != nil:
			return "the agent has not said yet", nil
		case err != nil:
			return "", err
		case status.Get("boot_id") == e.lastBoot:
		case status.Get("state") == "APPLIED":
			return "", nil
		case status.Get("state") == "FAILED":
			return status.Get("field") + ": " + status.Get("error"), nil
		}
		if retry.Sleep(ctx, lookEvery) != nil {
			return "the agent has not said yet", nil
		}
	}
}

// agentStatus is what the tables say of the agent; nothing when it has never said anything.
func agentStatus(ctx context.Context, t *confsync.Tables) (confsync.Record, error) {
	all, err := t.Status(ctx, config.RoleAgent, agentName)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	return all[0], nil
}

// checkDevices tells of a device that is not there; one that comes later is named in the agent's row.
func (e *everything) checkDevices() error {
	if len(e.files()) > 0 {
		return nil
	}
	for _, device := range e.captures {
		name := strings.TrimPrefix(device, config.SchemeAFPacket)
		if _, err := net.InterfaceByName(name); err == nil {
			continue
		}
		all, err := net.Interfaces()
		if err != nil {
			return fmt.Errorf("--capture: %w", err)
		}
		names := make([]string, len(all))
		for i := range all {
			names[i] = all[i].Name
		}
		return fmt.Errorf("--capture: there is no device %q; there are %s", printable(name), strings.Join(names, ", "))
	}
	return nil
}

// unlessOver drops an error that says only that a daemon has ended, which will say itself why.
func unlessOver(s *stack, err error) error {
	if s.over.Err() != nil {
		return nil
	}
	return err
}

// start opens and starts the daemons, each with a registry of its own, as it has in a process of its own.
func (e *everything) start(s *stack, certs mtls.Development, log *slog.Logger) error {
	store, err := embedded.Open(s.over, embedded.Options{Dir: e.path("etcd"), Listen: e.store, TLS: certs.Service, Log: log})
	if err != nil {
		return fmt.Errorf("--etcd-listen: %w", err)
	}
	s.start(store)
	url := "etcd://" + reachable(store.Addr())
	e.confsync.ConfigStore, e.inference.ConfigStore, e.collector.ConfigStore = url, url, url
	if e.agent.ConfigStore != "" {
		e.agent.ConfigStore = url
	}

	syncer, err := confsync.Open(s.over, e.confsync, log, telemetry.NewRegistry(), confsync.Options{})
	if err != nil {
		return inFlagsOf("confsync", err)
	}
	// The tables are there now, and what is seeded is published before anybody asks for it.
	if err := e.seed(s.over); err != nil {
		return errors.Join(err, syncer.Close())
	}
	s.start(syncer)
	models, err := inference.Open(s.over, e.inference, log, telemetry.NewRegistry())
	if err != nil {
		return inFlagsOf("inference", err)
	}
	s.start(models)
	e.collector.Inference = reachable(models.Addr())
	sessions, err := collector.Open(s.over, e.collector, log, telemetry.NewRegistry())
	if err != nil {
		return inFlagsOf("collector", err)
	}
	s.start(sessions)
	e.agent.Collectors = []string{reachable(sessions.Addr())}
	sniffer, err := agent.Open(s.over, e.agent, log, telemetry.NewRegistry(), agent.Options{})
	if err != nil {
		return inFlagsOf("agent", err)
	}
	s.start(sniffer)
	return nil
}

// reachable is how this process calls what listens at an address.
func reachable(address net.Addr) string {
	host, port, err := net.SplitHostPort(address.String())
	if ip := net.ParseIP(host); err == nil && ip.IsUnspecified() {
		return net.JoinHostPort("localhost", port)
	}
	return address.String()
}

// hosts are the names and addresses that the daemons' certificate has to have beside this machine's loopback.
func (e *everything) hosts() []string {
	hosts := slices.Clone(e.names)
	for _, listen := range []string{e.collector.Listen, e.inference.Listen, e.store} {
		host, _, err := net.SplitHostPort(listen)
		if ip := net.ParseIP(host); err != nil || host == "" || host == "localhost" || ip != nil && (ip.IsLoopback() || ip.IsUnspecified()) {
			continue
		}
		hosts = append(hosts, host)
	}
	return hosts
}

// serves waits until the collector takes what agents send and has a model to classify it with.
func serves(ctx context.Context, conn *grpc.ClientConn) error {
	watch, err := healthv1.NewHealthClient(conn).Watch(ctx, &healthv1.HealthCheckRequest{}, grpc.WaitForReady(true))
	if err != nil {
		return err
	}
	for {
		answer, err := watch.Recv()
		if err != nil {
			return err
		}
		if answer.GetStatus() == healthv1.HealthCheckResponse_SERVING {
			return nil
		}
	}
}
