package cli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"time"

	"sonde.example/confsync"
	"sonde.example/confsync/change"
	"sonde.example/internal/config"
	"sonde.example/internal/service"
)

// agentName is the id in the agent's certificate, and so the name of its row.
const agentName = "local"

// seed makes the rows that are missing, and writes what --capture says into the agent's, as an operator would. It fails when
// nothing says what to capture.
func (e *everything) seed(ctx context.Context) (err error) {
	t, err := confsync.OpenTables(ctx, e.database())
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, t.Close()) }()
	before, err := agentStatus(ctx, t)
	if err != nil {
		return err
	}
	e.lastBoot = before.Get("boot_id")
	all, err := rows(ctx, t)
	if err != nil {
		return err
	}
	for _, role := range []string{config.RoleCollector, config.RoleInference} {
		if indexOf(all, role, config.DefaultName) < 0 {
			if err := t.Set(ctx, change.ServiceConfig, keyOf(role, config.DefaultName), nil); err != nil {
				return err
			}
		}
	}
	columns := map[string]*string{}
	if device := strings.Join(e.captures, ","); device != "" && len(e.files()) == 0 {
		columns["device"] = &device
	}
	i := indexOf(all, config.RoleAgent, agentName)
	if i < 0 || !unchanged(all[i].Settings, columns) {
		if err := t.Set(ctx, change.AgentConfig, agentName, columns); err != nil {
			return err
		}
	}
	if len(e.captures) > 0 || i >= 0 && captures(all, all[i]) {
		return nil
	}
	return usageError{fmt.Errorf("nothing to capture: say it once with --capture, for example --capture eth0, "+
		"or in the agent's row: sonde config set %s device=eth0 --wait 0%s", agentName, e.stateFlag())}
}

// captures tells whether a row, or its group, says what to capture, or that nothing is to be.
func captures(all []row, r row) bool {
	if text(r.Settings["enabled"]) == "0" || text(r.Settings["device"]) != "" {
		return true
	}
	i := indexOf(all, kindGroup, text(r.Settings["group_name"]))
	return i >= 0 && text(all[i].Settings["device"]) != ""
}

// stateFlag is how an operator's command finds this state.
func (e *everything) stateFlag() string {
	if e.state == stateFolder() {
		return ""
	}
	return " --state " + quoted(e.state)
}

// greet tells who has just started it on a terminal what runs, and what to type next.
func (e *everything) greet(took time.Duration, trouble string) {
	capturing := e.capturing()
	if trouble != "" {
		capturing = "not yet: " + printable(trouble)
	}
	sudo := ""
	program := os.Args[0] // as it was called, so that it can be typed again
	if _, ok := service.Environment("SUDO_USER"); ok {
		sudo, program = "sudo ", "sudo "+program
	}
	flags := e.stateFlag()
	if address := e.agent.Collectors[0]; address != "127.0.0.1:7443" {
		flags += " --collector " + address
	}
	fmt.Fprintf(e.err, `sonde runs, ready after %.1f s; Ctrl-C ends it, and it goes on from there when it is started again.

  capturing  %s
  state      %s: results.db, config.db, certs, etcd

In another terminal:

  %[4]s tail%[5]s
  %[4]s results%[5]s
  %[4]s account%[5]s
  %[4]s agents%[5]s
  %[4]s config set %[6]s filter='tcp port 443'%[7]s
  %[8]ssqlite3 %[9]s "UPDATE agent_config SET filter = '' WHERE name = '%[6]s'"

`, took.Seconds(), capturing, e.state, program, flags, agentName, e.stateFlag(), sudo, quoted(e.path("config.db")))
}

// capturing says what is captured, as far as it is known before the agent has answered.
func (e *everything) capturing() string {
	if len(e.captures) == 0 {
		return "what the row of agent " + agentName + " says"
	}
	return strings.Join(e.captures, ", ")
}
