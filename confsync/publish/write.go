package publish

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	"sonde.example/confsync/change"
	configv1 "sonde.example/gen/go/sonde/config/v1"
	"sonde.example/internal/config"
	"sonde.example/internal/confstore"
	"sonde.example/internal/retry"
	"sonde.example/internal/telemetry"
)

// errPending says that a filter is not compiled yet.
var errPending = errors.New("filter is being compiled")

// origin says why daemons are touched.
type origin struct {
	operator bool     // their rows, or their group's, were written
	broken   []string // keys that no value can be read from
}

// write is one change on its way: what will be known once it is published.
type write struct {
	change confstore.Change
	name   target
	next   published
	commit time.Time
}

// publish brings the keys of the touched daemons up to date, and the position with them. The caller holds mu.
//
// A row that an operator has touched is published again, though nothing in it has changed, when its daemon has refused it.
func (p *Publisher) publish(ctx context.Context, touched map[target]bool, position change.Position, how origin) error {
	var writes []write
	deletions := 0
	for _, key := range how.broken { // nobody can use it
		writes = append(writes, write{change: confstore.Change{Key: key}})
	}
	for _, name := range slices.SortedFunc(maps.Keys(touched), compareTargets) {
		w, needed, err := p.prepare(name, position, how.operator)
		if err != nil {
			p.refuse(name, err)
			continue
		}
		p.reports.valid(name)
		if !needed {
			continue
		}
		if w.next.deleted && name.role == config.RoleAgent {
			deletions++
		}
		writes = append(writes, w)
	}
	p.o.Metrics.invalidRows.Set(float64(p.reports.invalid()))
	if writes = p.hold(writes, deletions); len(writes) == 0 && p.position == position {
		return nil
	}
	if err := p.commit(ctx, writes, position); err != nil {
		return err
	}
	p.position = position
	return nil
}

func compareTargets(a, b target) int {
	return cmp.Or(cmp.Compare(a.role, b.role), cmp.Compare(a.name, b.name))
}

// hold keeps back deletions of agents that are too many to be meant.
func (p *Publisher) hold(writes []write, deletions int) []write {
	there := 0
	for name, value := range p.known {
		if name.role == config.RoleAgent && !value.deleted {
			there++
		}
	}
	if p.o.ConfirmDeletions || deletions <= holdAtLeast || float64(deletions) <= holdShare*float64(there) {
		p.o.Metrics.held.Set(0)
		return writes
	}
	p.o.Metrics.held.Set(float64(deletions))
	p.log.Error("so many agents would be deleted at once that it is held; start confsync with --confirm-deletions if it is meant",
		"deletions", deletions, "agents", there)
	return slices.DeleteFunc(writes, func(w write) bool { return w.next.deleted && w.name.role == config.RoleAgent })
}

// prepare makes the value of a daemon's key. It is not needed where the key has it already.
func (p *Publisher) prepare(name target, position change.Position, operator bool) (w write, needed bool, err error) {
	before, known := p.known[name]
	row, others, ok := p.image.row(name)
	if !ok {
		if !known || before.deleted {
			return write{}, false, nil
		}
		return write{
			change: confstore.Change{Key: name.key(p.o.Keys)}, name: name, next: published{before.revision, "", true},
		}, true, nil
	}
	if err := config.CheckName(name.name); err != nil {
		return write{}, false, config.Wrong("name", "%w", err)
	}
	if others > 0 {
		p.log.Warn("several rows name one daemon, the first counts", "name", name.name, "others", others)
	}
	w = write{name: name, commit: row.CommitTime}
	w.change.Key = name.key(p.o.Keys)
	w.next.revision = before.revision + 1
	if name.role == config.RoleAgent {
		err = p.agent(&w, &row, position)
	} else {
		err = p.service(&w, &row, position)
	}
	if err != nil {
		return write{}, false, err
	}
	if known && !before.deleted && before.hash == w.next.hash && !(operator && p.reports.failed(name, before.revision)) {
		return write{}, false, nil
	}
	return w, true, nil
}

func (p *Publisher) agent(w *write, row *change.Row, position change.Position) error {
	values := row.Columns
	if group := groupOf(row); group != "" {
		over, ok := p.image.group(group)
		if !ok {
			return config.Wrong("group_name", "there is no group %q", group)
		}
		values = merge(over.Columns, row.Columns)
		if over.CommitTime.After(w.commit) {
			w.commit = over.CommitTime
		}
	}
	c, err := agentConfig(values)
	if err != nil {
		return err
	}
	programs, ok, err := p.compiler.get(c.GetFilter())
	if !ok {
		if p.waiting[c.GetFilter()] == nil {
			p.waiting[c.GetFilter()] = map[target]bool{}
		}
		p.waiting[c.GetFilter()][w.name] = true
		return errPending
	}
	if err != nil {
		return config.Wrong(config.FieldFilter, "%w", err)
	}
	w.next.hash = config.HashAgent(c)
	w.change.Value, err = config.EncodeAgent(&configv1.PublishedAgentConfig{
		Schema: config.Schema, Name: w.name.name, Revision: w.next.revision, Hash: w.next.hash,
		SourcePosition: string(position), CommitTime: stamp(w.commit), Config: c, Programs: programs,
	})
	return err
}

func (p *Publisher) service(w *write, row *change.Row, position change.Position) error {
	c, err := serviceConfig(w.name.role, row.Columns)
	if err != nil {
		return err
	}
	w.next.hash = config.HashService(c)
	w.change.Value, err = config.EncodeService(&configv1.PublishedServiceConfig{
		Schema: config.Schema, Role: w.name.role, Name: w.name.name, Revision: w.next.revision, Hash: w.next.hash,
		SourcePosition: string(position), CommitTime: stamp(w.commit), Config: c,
	})
	return err
}

func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}

// refuse tells that a daemon's row is wrong. What is published stays.
func (p *Publisher) refuse(name target, err error) {
	if errors.Is(err, errPending) {
		return
	}
	p.log.Warn("row is not published", "role", name.role, "name", name.name, telemetry.KeyError, err)
	p.reports.refuse(name, p.known[name].revision, err)
}

// commit publishes writes in parts that a store takes, in order; the position moves with the last. The caller holds mu.
func (p *Publisher) commit(ctx context.Context, writes []write, position change.Position) error {
	for {
		part, last := cut(writes)
		at := p.position
		if last {
			at = position
		}
		if err := p.step(ctx, part, at); err != nil {
			return err
		}
		for _, w := range part {
			if w.name == (target{}) {
				continue
			}
			p.known[w.name] = w.next
			p.o.Metrics.published.Inc()
			if !w.commit.IsZero() {
				p.o.Metrics.sourceLag.Set(max(0, time.Since(w.commit).Seconds()))
			}
			p.log.Info("published", "role", w.name.role, "name", w.name.name, telemetry.KeyConfigRevision, w.next.revision, "deleted", w.next.deleted)
		}
		if last {
			return nil
		}
		writes = writes[len(part):]
	}
}

// cut returns as many writes as a store takes at once, and whether these are all.
func cut(writes []write) (part []write, last bool) {
	size := 0
	for i, w := range writes {
		size += len(w.change.Key) + len(w.change.Value)
		if i == confstore.MaxPublish || i > 0 && size > confstore.MaxPublishBytes {
			return writes[:i], false
		}
	}
	return writes, true
}

// step publishes a part. When the outcome is unknown it reads the checkpoint, which no other step's is like, until it knows.
func (p *Publisher) step(ctx context.Context, part []write, position change.Position) error {
	mine, err := p.checkpoint(position)
	if err != nil {
		return fmt.Errorf("checkpoint: %w", err)
	}
	changes := make([]confstore.Change, len(part))
	for i := range part {
		changes[i] = part[i].change
	}
	for tries := 1; ; tries++ {
		err := p.term.Publish(ctx, changes, mine)
		if err == nil || errors.Is(err, confstore.ErrFenced) || ctx.Err() != nil {
			return err
		}
		p.log.Warn("publish failed, looking whether it has been done", telemetry.KeyError, err)
		if retry.Sleep(ctx, p.retry.Wait(tries)) != nil {
			return ctx.Err()
		}
		there, err := p.term.Checkpoint(ctx)
		if err == nil && bytes.Equal(there, mine) {
			return nil
		}
	}
}
