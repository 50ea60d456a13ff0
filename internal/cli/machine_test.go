package cli_test

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"sonde.example/internal/service"
	"sonde.example/internal/testenv/netns"
)

// machine is a machine of its own, as far as its processes can tell: a network with the devices eth0 and eth1, which are the
// two ends of one cable, and its own users, programs and files below /etc, /usr/local and /var. Only systemctl and sudo are
// stand-ins. It needs root.
type machine struct {
	*testing.T
	ctx   context.Context
	net   *netns.Namespace
	pid   string // of a process that keeps its files
	dir   string // where commands are run
	stubs string
	env   []string
	units map[string]*process
}

// adminPorts tell where a unit says that it is ready.
func adminPorts(unit string) []string {
	return map[string][]string{
		"sonde-collector": {"9464"}, "sonde-inference": {"9465"}, "sonde-confsync": {"9466"}, "sonde-agent": {"9467"},
		"sonde-all": {"9464", "9465", "9466", "9467"},
	}[unit]
}

const machineScript = `
mount --make-rprivate /
mount -t tmpfs tmpfs "$1"
for d in etc usr/local var; do
  mkdir -p "$1/upper/$d" "$1/work/$d"
  mount -t overlay overlay -o "lowerdir=/$d,upperdir=$1/upper/$d,workdir=$1/work/$d" "/$d"
done
mkdir -p /run/sshd
echo '127.0.0.1 localhost sonde.example.net' > /etc/hosts
echo ready
exec sleep infinity
`

func newMachine(t *testing.T) *machine { return newMachineFor(t, patience) }

// newMachineFor makes one for tests that take long.
func newMachineFor(t *testing.T, long time.Duration) *machine {
	m := newBareMachine(t, long)
	netns.Veth(m.net, "eth0", m.net, "eth1")
	m.must("ip link set eth0 address " + hardwareAddress)
	return m
}

// hardwareAddress is eth0's.
const hardwareAddress = "02:00:00:00:00:01"

// newMachineWithNeighbour makes two machines that share their files, and returns the network of the other one. A cable joins
// eth0 of the one and eth1 of the other.
func newMachineWithNeighbour(t *testing.T, long time.Duration) (*machine, *netns.Namespace) {
	m, neighbour := newBareMachine(t, long), netns.New(t)
	netns.Veth(m.net, "eth0", neighbour, "eth1")
	m.net.IP("address", "add", ownAddress+"/24", "dev", "eth0")
	neighbour.IP("address", "add", neighbourAddress+"/24", "dev", "eth1")
	return m, neighbour
}

// Addresses on the cable between two machines.
const (
	ownAddress       = "10.77.0.1"
	neighbourAddress = "10.77.0.2"
)

func newBareMachine(t *testing.T, long time.Duration) *machine {
	t.Helper()
	network := netns.New(t)
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), long)
	t.Cleanup(cancel)
	m := &machine{T: t, ctx: ctx, net: network, dir: t.TempDir(), stubs: t.TempDir(), units: map[string]*process{}}
	holder := exec.CommandContext(ctx, "unshare", "--mount", "bash", "-euc", machineScript, "bash", t.TempDir())
	var complaints bytes.Buffer
	holder.Stderr = &complaints
	output, err := holder.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	if line, _ := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		t.Fatalf("no machine: %s", complaints.String())
	}
	m.pid = fmt.Sprint(holder.Process.Pid)
	for name, text := range map[string]string{
		"sudo":      "#!/bin/bash\nif [[ $1 == -u ]]; then user=$2; shift 2; exec setpriv --reuid=$user --regid=$user --init-groups \"$@\"; fi\nexec \"$@\"\n",
		"systemctl": "#!/bin/bash\necho \"$@\" >> " + filepath.Join(m.stubs, "requests") + "\n",
	} {
		if err := os.WriteFile(filepath.Join(m.stubs, name), []byte(text), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Chmod(m.stubs, 0o755); err != nil {
		t.Fatal(err)
	}
	path, _ := service.Environment("PATH")
	m.env = []string{"PATH=" + m.stubs + ":/usr/local/bin:" + path, "HOME=" + m.dir}
	return m
}

// command is a command in the machine.
func (m *machine) command(name string, args ...string) *exec.Cmd {
	return m.commandIn(m.net, name, args...)
}

// commandIn is a command with the machine's files in another network.
func (m *machine) commandIn(network *netns.Namespace, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.ctx, "nsenter", append([]string{
		"--target", m.pid, "--mount", "--net=/run/netns/" + network.Name, "--wdns=" + m.dir, name,
	}, args...)...)
	cmd.Env = m.env
	return cmd
}

// spawn leaves a command running until the test ends.
func (m *machine) spawn(cmd *exec.Cmd) *process {
	m.Helper()
	p := &process{Cmd: cmd, log: &logBuffer{}, done: make(chan struct{})}
	p.Stderr, p.Stdout = p.log, p.log
	if err := p.Start(); err != nil {
		m.Fatal(err)
	}
	go func() {
		p.err = p.Wait()
		close(p.done)
	}()
	m.Cleanup(func() {
		p.kill()
		if m.Failed() {
			m.Logf("%s:\n%s", strings.Join(p.Args, " "), tailOf(p.log.String()))
		}
	})
	return p
}

// end ends a process as an operator does, and wants it to exit with 0.
func (m *machine) end(p *process) {
	m.Helper()
	if m.terminate(p); p.err != nil {
		m.Errorf("%s ended with %v:\n%s", strings.Join(p.Args, " "), p.err, tailOf(p.log.String()))
	}
}

// terminate sends SIGTERM and waits until the process has ended, however that was.
func (m *machine) terminate(p *process) {
	m.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		m.Fatal(err)
	}
	select {
	case <-p.done:
	case <-m.ctx.Done():
		m.Fatalf("does not end: %s\n%s", strings.Join(p.Args, " "), tailOf(p.log.String()))
	}
}

// bash types a command and returns what it said. Afterwards what it asked of systemctl is done.
func (m *machine) bash(command string) (string, error) {
	var output bytes.Buffer
	cmd := m.command("bash", "-euo", "pipefail", "-c", command)
	cmd.Stdout, cmd.Stderr = &output, &output
	err := cmd.Run()
	m.systemctl()
	return output.String(), err
}

// must types a command that has to end well.
func (m *machine) must(command string) string {
	m.Helper()
	output, err := m.bash(command)
	if err != nil {
		m.Fatalf("%s\n%v\n%s", command, err, output)
	}
	return output
}

// systemctl does what was asked of it.
func (m *machine) systemctl() {
	m.Helper()
	path := filepath.Join(m.stubs, "requests")
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return
	}
	if err := errors.Join(err, os.Remove(path)); err != nil {
		m.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		verb, rest, _ := strings.Cut(strings.TrimSpace(line), " ")
		names := strings.Fields(strings.ReplaceAll(rest, "--now", ""))
		for _, name := range names {
			switch verb {
			case "disable":
				m.stop(name)
			case "restart":
				m.stop(name)
				m.startUnit(name)
			case "enable":
				m.startUnit(name)
			case "daemon-reload":
			default:
				m.Errorf("systemctl %s", line)
			}
		}
		for _, name := range names {
			if verb != "disable" {
				m.waitReady(name)
			}
		}
	}
}

// stop ends a unit as systemd does.
func (m *machine) stop(name string) {
	m.Helper()
	unit := m.units[name]
	if unit == nil {
		m.Fatalf("%s is not running", name)
	}
	m.terminate(unit)
	// etcd closes everything and then sends itself the signal again, which systemd takes for a clean end, too. All others exit.
	if clean := unit.err == nil || name == "sonde-etcd" && isTerminated(unit.err); !clean {
		m.Errorf("%s ended with %v:\n%s", name, unit.err, tailOf(unit.log.String()))
	}
	delete(m.units, name)
}

// unitFile is what the machine makes of a unit.
type unitFile map[string]string

func (m *machine) readUnit(name string) unitFile {
	m.Helper()
	text, err := os.ReadFile(filepath.Join("/proc", m.pid, "root/etc/systemd/system", name+".service"))
	if err != nil {
		m.Fatal(err)
	}
	unit := unitFile{}
	for line := range strings.Lines(string(text)) {
		if key, value, ok := strings.Cut(strings.TrimSpace(line), "="); ok && !strings.HasPrefix(key, "#") {
			unit[key] = value
		}
	}
	return unit
}

// startUnit runs a unit's command, as the user, with the capabilities and in the environment that it says.
func (m *machine) startUnit(name string) {
	m.Helper()
	unit := m.readUnit(name)
	state := "/var/lib/" + unit["StateDirectory"]
	m.must("install -d -m 0755 /var/lib/sonde && install -d -o " + unit["User"] + " -g " + unit["Group"] + " -m " + unit["StateDirectoryMode"] + " " + state)
	settings, err := os.ReadFile(filepath.Join("/proc", m.pid, "root", strings.TrimPrefix(unit["EnvironmentFile"], "-")))
	if err != nil {
		m.Fatal(err)
	}
	capability := "-all"
	args := []string{"--reuid=" + unit["User"], "--regid=" + unit["Group"], "--init-groups", "--no-new-privs"}
	if word, ok := strings.CutPrefix(unit["AmbientCapabilities"], "CAP_"); ok {
		word = strings.ToLower(word)
		capability += ",+" + word
		args = append(args, "--inh-caps=+"+word, "--ambient-caps=+"+word)
	}
	args = append(args, "--bounding-set="+capability, "env", "-i", "PATH=/usr/local/bin:/usr/bin:/bin")
	args = append(args, strings.Fields(unit["Environment"])...)
	args = append(args, strings.Fields(string(settings))...)
	args = append(args, strings.Fields(unit["ExecStart"])...)
	m.units[name] = m.spawn(m.command("setpriv", args...))
}

// waitReady waits until a unit says that it is ready.
func (m *machine) waitReady(name string) {
	m.Helper()
	m.waitReadyIn(m.net, m.units[name], adminPorts(name)...)
}

// waitReadyIn asks a process, in the network of another one, at its admin ports.
func (m *machine) waitReadyIn(network *netns.Namespace, p *process, ports ...string) {
	m.Helper()
	for _, port := range ports {
		m.eventually(strings.Join(p.Args, " ")+" is ready", func() bool {
			select {
			case <-p.done:
				m.Fatalf("ended with %v: %s\n%s", p.err, strings.Join(p.Args, " "), tailOf(p.log.String()))
			default:
			}
			return m.commandIn(network, "curl", "-sS", "--fail", "--max-time", "2", "http://127.0.0.1:"+port+"/readyz").Run() == nil
		})
	}
}

// eventually looks until something is so.
func (m *machine) eventually(what string, so func() bool) {
	m.Helper()
	ticker := time.NewTicker(50 * time.Millisecond)
	defer ticker.Stop()
	for !so() {
		select {
		case <-ticker.C:
		case <-m.ctx.Done():
			m.Fatalf("not in time: %s", what)
		}
	}
}
