package etcd

import (
	"path"
	"strconv"

	clientv3 "go.etcd.io/etcd/client/v3"
)

// A ZooKeeper client sees, of a node that has children, how often one was created or deleted (its pzxid and cversion). etcd
// keeps no such thing, so whoever creates or deletes a key keeps it, in the same transaction: a record for the parent, under
// a prefix of its own, that counts creates. A create counts one up; a delete writes the same count again, which moves the
// record's revision; an update leaves it alone. So a front end that speaks ZooKeeper over this tree needs no migration.

// counterPrefix keeps the records apart from every root: a root's first part is a name, and no name has a colon.
const counterPrefix = "/sonde:creates"

// counterKey is where the creates below a key's parent are counted.
func counterKey(key string) string { return counterPrefix + path.Dir(key) }

// counter is a record as it was read.
type counter struct {
	creates     uint64
	modRevision int64 // 0: there is none yet
}

func readCounter(response *clientv3.GetResponse) counter {
	if len(response.Kvs) == 0 {
		return counter{}
	}
	// What is no number was written by somebody else; counting goes on from nothing.
	creates, _ := strconv.ParseUint(string(response.Kvs[0].Value), 10, 64)
	return counter{creates, response.Kvs[0].ModRevision}
}

func (c counter) unchanged(key string) clientv3.Cmp {
	return clientv3.Compare(clientv3.ModRevision(key), "=", c.modRevision)
}

func (c counter) put(key string) clientv3.Op {
	return clientv3.OpPut(key, strconv.FormatUint(c.creates, 10))
}
