package etcd

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"

	"sonde.example/internal/confstore"
)

// conflicts is how often a write is tried again when somebody else counted at the same time.
const conflicts = 64

// Put implements confstore.Client.
func (s *Store) Put(ctx context.Context, key string, value []byte) error {
	if err := confstore.CheckValue(key, value); err != nil {
		return err
	}
	ctx, done := s.while(ctx)
	defer done()
	parent := counterKey(key)
	exists := clientv3.Compare(clientv3.CreateRevision(key), ">", 0)
	missing := clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
	put := clientv3.OpPut(key, string(value))
	for range conflicts {
		response, err := s.client.Txn(ctx).If(exists).Then(put).Else(clientv3.OpGet(parent)).Commit()
		if err != nil {
			return s.explain(ctx, "put "+key, err)
		}
		if response.Succeeded {
			return nil
		}
		count := readCounter((*clientv3.GetResponse)(response.Responses[0].GetResponseRange()))
		unchanged := count.unchanged(parent)
		count.creates++
		response, err = s.client.Txn(ctx).If(missing, unchanged).Then(put, count.put(parent)).Commit()
		if err != nil {
			return s.explain(ctx, "put "+key, err)
		}
		if response.Succeeded {
			return nil
		}
	}
	return fmt.Errorf("etcd: put %s: others wrote beside it all the time", key)
}

// leaseSeconds is how long a leader may be silent.
const leaseSeconds = 10

func (s *Store) checkpointKey() string { return s.root + "/confsync/checkpoint" }

// Lead implements confstore.Store.
func (s *Store) Lead(ctx context.Context, candidate string) (confstore.Term, error) {
	ctx, done := s.while(ctx)
	defer done()
	living, end := context.WithCancel(context.WithoutCancel(ctx))
	type made struct {
		session *concurrency.Session
		err     error
	}
	granted := make(chan made, 1)
	go func() { // it takes no context that ends before the session does
		session, err := concurrency.NewSession(s.client, concurrency.WithTTL(leaseSeconds), concurrency.WithContext(living))
		granted <- made{session, err}
	}()
	var session made
	select {
	case session = <-granted:
	case <-ctx.Done():
		end()
		<-granted
		return nil, s.explain(ctx, "lease", ctx.Err())
	}
	if session.err != nil {
		end()
		return nil, s.explain(ctx, "lease", session.err)
	}
	t := &term{
		store: s, session: session.session, end: end,
		election: concurrency.NewElection(session.session, s.root+"/confsync/leader"),
	}
	err := t.election.Campaign(ctx, candidate)
	if err == nil {
		_, err = t.Checkpoint(ctx)
	}
	if err != nil {
		return nil, errors.Join(s.explain(ctx, "election", err), t.leave(context.WithoutCancel(ctx)))
	}
	return t, nil
}

// term is one leadership. The leader's key was created at a revision that no other leader's was: that is the fence.
type term struct {
	store    *Store
	session  *concurrency.Session
	election *concurrency.Election
	end      context.CancelFunc
	seen     int64 // revision of the checkpoint this term knows; 0: there is none
	left     bool
}

var _ confstore.Term = (*term)(nil)

// Checkpoint implements confstore.Term.
func (t *term) Checkpoint(ctx context.Context) ([]byte, error) {
	ctx, done := t.store.while(ctx)
	defer done()
	response, err := t.store.client.Get(ctx, t.store.checkpointKey())
	if err != nil {
		return nil, t.store.explain(ctx, "get checkpoint", err)
	}
	if len(response.Kvs) == 0 {
		t.seen = 0
		return nil, nil
	}
	t.seen = response.Kvs[0].ModRevision
	return response.Kvs[0].Value, nil
}

// Publish implements confstore.Term.
func (t *term) Publish(ctx context.Context, changes []confstore.Change, checkpoint []byte) error {
	if err := confstore.CheckPublish(changes); err != nil {
		return err
	}
	ctx, done := t.store.while(ctx)
	defer done()
	if checkpoint == nil {
		checkpoint = []byte{}
	}
	changes = append(slices.Clip(changes), confstore.Change{Key: t.store.checkpointKey(), Value: checkpoint})
	for range conflicts {
		done, err := t.try(ctx, changes)
		if done || err != nil {
			return err
		}
	}
	return errors.New("etcd: publish: others wrote beside it all the time")
}

// try makes one transaction of the changes and of what is counted beside them. It was not done when a count was moved by
// somebody else meanwhile.
func (t *term) try(ctx context.Context, changes []confstore.Change) (done bool, err error) {
	s := t.store
	look := make([]clientv3.Op, 0, len(changes))
	for _, c := range changes {
		look = append(look, clientv3.OpGet(c.Key, clientv3.WithCountOnly()))
	}
	there, err := s.client.Txn(ctx).Then(look...).Commit()
	if err != nil {
		return false, s.explain(ctx, "publish", err)
	}
	counters, err := t.counters(ctx, changes)
	if err != nil {
		return false, err
	}
	leads := clientv3.Compare(clientv3.CreateRevision(t.election.Key()), "=", t.election.Rev())
	known := clientv3.Compare(clientv3.ModRevision(s.checkpointKey()), "=", t.seen)
	compares := []clientv3.Cmp{leads, known}
	var writes []clientv3.Op
	touched := map[string]bool{}
	for i, c := range changes {
		exists := there.Responses[i].GetResponseRange().GetCount() > 0
		parent := counterKey(c.Key)
		switch {
		case c.Value == nil && !exists:
			continue
		case c.Value == nil:
			writes = append(writes, clientv3.OpDelete(c.Key))
			touched[parent] = true
		case !exists:
			counters[parent].creates++
			touched[parent] = true
			fallthrough
		default:
			writes = append(writes, clientv3.OpPut(c.Key, string(c.Value)))
		}
		if c.Key != s.checkpointKey() { // its revision is compared anyway
			compares = append(compares, existence(c.Key, exists))
		}
	}
	for _, parent := range slices.Sorted(maps.Keys(touched)) {
		compares = append(compares, clientv3.Compare(clientv3.ModRevision(parent), "=", counters[parent].modRevision))
		writes = append(writes, counters[parent].put(parent))
	}
	response, err := s.client.Txn(ctx).If(compares...).Then(writes...).Else(
		clientv3.OpTxn([]clientv3.Cmp{leads, known}, nil, nil)).Commit()
	if err != nil {
		return false, s.explain(ctx, "publish", err)
	}
	if response.Succeeded {
		t.seen = response.Header.Revision
		return true, nil
	}
	if !response.Responses[0].GetResponseTxn().GetSucceeded() {
		return false, confstore.ErrFenced
	}
	return false, nil
}

func existence(key string, exists bool) clientv3.Cmp {
	if exists {
		return clientv3.Compare(clientv3.CreateRevision(key), ">", 0)
	}
	return clientv3.Compare(clientv3.CreateRevision(key), "=", 0)
}

// counters reads the records of all parents.
func (t *term) counters(ctx context.Context, changes []confstore.Change) (map[string]*counter, error) {
	all := map[string]*counter{}
	for _, c := range changes {
		parent := counterKey(c.Key)
		if all[parent] != nil {
			continue
		}
		response, err := t.store.client.Get(ctx, parent)
		if err != nil {
			return nil, t.store.explain(ctx, "publish", err)
		}
		count := readCounter(response)
		all[parent] = &count
	}
	return all, nil
}

// Lost implements confstore.Term.
func (t *term) Lost() <-chan struct{} { return t.session.Done() }

// Resign implements confstore.Term.
func (t *term) Resign(ctx context.Context) error {
	return t.store.explain(ctx, "resign", t.leave(ctx))
}

// leave gives the lease back, and with it the leader's key or the place in the queue.
func (t *term) leave(ctx context.Context) error {
	if t.left {
		return nil
	}
	t.left = true
	defer t.end()
	ctx, done := t.store.while(ctx)
	defer done()
	ctx, cancel := context.WithTimeout(ctx, dialTimeout)
	defer cancel()
	t.session.Orphan() // stops renewing
	_, err := t.store.client.Revoke(ctx, t.session.Lease())
	return err
}
