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
	"sonde.example/internal/testenv"
)

// machine is a machine of its own, as far as its processes can tell: a network with the devices eth0 and eth1, which are the
// two ends of one cable, and its own users, programs and files below /etc, /usr/local and /var. Only systemctl and sudo are
// stand-ins. It needs root.
type machine struct {
	*testing.T
	ctx   context.Context
	pid   string // of a process that keeps the namespaces
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
mount -t tmpfs tmpfs /run
mkdir /run/sshd
ip link set lo up
ip link add eth0 address 02:00:00:00:00:01 type veth peer name eth1 address 02:00:00:00:00:02
for end in eth0 eth1; do
  sysctl -qw "net.ipv6.conf.$end.disable_ipv6=1"
  ip link set "$end" up
done
echo '127.0.0.1 localhost sonde.example.net' > /etc/hosts
echo ready
exec sleep infinity
`

func newMachine(t *testing.T) *machine { return newMachineFor(t, patience) }

// newMachineFor makes one for tests that take long.
func newMachineFor(t *testing.T, long time.Duration) *machine {
	t.Helper()
	testenv.Service(t, "netns")
	ctx, cancel := context.WithTimeout(context.WithoutCancel(t.Context()), long)
	t.Cleanup(cancel)
	m := &machine{T: t, ctx: ctx, dir: t.TempDir(), stubs: t.TempDir(), units: map[string]*process{}}
	holder := exec.CommandContext(ctx, "unshare", "--net", "--mount", "bash", "-euc", machineScript, "bash", t.TempDir())
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
	return m.commandIn(m.pid, name, args...)
}

func (m *machine) commandIn(pid, name string, args ...string) *exec.Cmd {
	cmd := exec.CommandContext(m.ctx, "nsenter", append([]string{"--target", pid, "--net", "--mount", "--wdns=" + m.dir, name}, args...)...)
	cmd.Env = m.env
	return cmd
}

// addresses that a machine and its neighbour have once there is one.
const (
	ownAddress       = "10.77.0.1"
	neighbourAddress = "10.77.0.2"
)

// neighbour gives eth1, the other end of the cable, to a machine of its own that has the same files, and both an address. It
// returns a process there.
func (m *machine) neighbour() (pid string) {
	m.Helper()
	holder := m.command("unshare", "--net", "bash", "-euc", "ip link set lo up; echo ready; exec sleep infinity")
	output, err := holder.StdoutPipe()
	if err != nil {
		m.Fatal(err)
	}
	if err := holder.Start(); err != nil {
		m.Fatal(err)
	}
	m.Cleanup(func() {
		_ = holder.Process.Kill()
		_ = holder.Wait()
	})
	if line, _ := bufio.NewReader(output).ReadString('\n'); line != "ready\n" {
		m.Fatal("no neighbour")
	}
	pid = fmt.Sprint(holder.Process.Pid)
	m.must("ip link set eth1 netns " + pid + "; ip address add " + ownAddress + "/24 dev eth0")
	up := m.commandIn(pid, "bash", "-euc", "sysctl -qw net.ipv6.conf.eth1.disable_ipv6=1; ip link set eth1 up; ip address add "+neighbourAddress+"/24 dev eth1")
	if out, err := up.CombinedOutput(); err != nil {
		m.Fatalf("neighbour: %v\n%s", err, out)
	}
	return pid
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

// end ends a process as an operator does, and wants it to end well.
func (m *machine) end(p *process) {
	m.Helper()
	if err := p.Process.Signal(syscall.SIGTERM); err != nil {
		m.Fatal(err)
	}
	select {
	case <-p.done:
	case <-m.ctx.Done():
		m.Fatalf("does not end: %s\n%s", strings.Join(p.Args, " "), tailOf(p.log.String()))
	}
	if p.err != nil {
		m.Errorf("%s ended with %v:\n%s", strings.Join(p.Args, " "), p.err, tailOf(p.log.String()))
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
	m.end(unit)
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
	args = append(args, strings.Fields(string(settings))...)
	args = append(args, strings.Fields(unit["ExecStart"])...)
	m.units[name] = m.spawn(m.command("setpriv", args...))
}

// waitReady waits until a unit says that it is ready.
func (m *machine) waitReady(name string) {
	m.Helper()
	m.waitReadyIn(m.pid, m.units[name], adminPorts(name)...)
}

// waitReadyIn asks a process, in the network of another one, at its admin ports.
func (m *machine) waitReadyIn(pid string, p *process, ports ...string) {
	m.Helper()
	for _, port := range ports {
		m.eventually(strings.Join(p.Args, " ")+" is ready", func() bool {
			select {
			case <-p.done:
				m.Fatalf("ended with %v: %s\n%s", p.err, strings.Join(p.Args, " "), tailOf(p.log.String()))
			default:
			}
			return m.commandIn(pid, "curl", "-sS", "--fail", "--max-time", "2", "http://127.0.0.1:"+port+"/readyz").Run() == nil
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
