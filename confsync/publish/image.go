package publish

import (
	"cmp"
	"slices"

	"sonde.example/confsync/change"
	"sonde.example/internal/config"
)

// target names a daemon; a group has no role.
type target struct{ role, name string }

// rowID tells rows apart.
type rowID struct {
	table change.Table
	id    int64
}

// image is the tables as they stand. Every row is in it, the wrong ones too.
type image struct {
	rows    map[rowID]change.Row
	byName  map[target][]rowID // of agents and services, by ID; more than one only where a key is missing in the schema
	members map[string]map[target]bool
	groups  map[string][]rowID
}

func newImage() *image {
	return &image{
		rows: map[rowID]change.Row{}, byName: map[target][]rowID{}, members: map[string]map[target]bool{}, groups: map[string][]rowID{},
	}
}

// put takes a row as it now is, and notes in touched whose configuration may differ. A row that came late, after a newer one,
// changes nothing; it returns false.
func (m *image) put(row change.Row, touched map[target]bool) bool {
	id := rowID{row.Table, row.ID}
	old, known := m.rows[id]
	if known && row.Rev < old.Rev {
		return false
	}
	if known {
		m.remove(id, &old, touched)
	}
	if row.Deleted {
		return true
	}
	m.rows[id] = row
	name := nameOf(&row)
	if row.Table == change.AgentGroup {
		m.groups[name.name] = insert(m.groups[name.name], id)
		m.touchMembers(name.name, touched)
		return true
	}
	m.byName[name] = insert(m.byName[name], id)
	touched[name] = true
	if group := groupOf(&row); group != "" {
		if m.members[group] == nil {
			m.members[group] = map[target]bool{}
		}
		m.members[group][name] = true
	}
	return true
}

func (m *image) remove(id rowID, row *change.Row, touched map[target]bool) {
	delete(m.rows, id)
	name := nameOf(row)
	if row.Table == change.AgentGroup {
		m.groups[name.name] = without(m.groups[name.name], id)
		m.touchMembers(name.name, touched)
		return
	}
	if m.byName[name] = without(m.byName[name], id); len(m.byName[name]) == 0 {
		delete(m.byName, name)
	}
	touched[name] = true
	if group := groupOf(row); group != "" {
		delete(m.members[group], name)
	}
}

func (m *image) touchMembers(group string, touched map[target]bool) {
	for member := range m.members[group] {
		touched[member] = true
	}
}

// row returns the row that counts for a daemon, and how many others name it, too.
func (m *image) row(name target) (row change.Row, others int, ok bool) {
	ids := m.byName[name]
	if len(ids) == 0 {
		return change.Row{}, 0, false
	}
	return m.rows[ids[0]], len(ids) - 1, true
}

// group returns the row of an agent's group.
func (m *image) group(name string) (change.Row, bool) {
	ids := m.groups[name]
	if len(ids) == 0 {
		return change.Row{}, false
	}
	return m.rows[ids[0]], true
}

func groupOf(row *change.Row) string {
	if v := row.Columns["group_name"]; row.Table == change.AgentConfig && v != nil {
		return *v
	}
	return ""
}

func insert(ids []rowID, id rowID) []rowID {
	at, there := slices.BinarySearchFunc(ids, id, func(a, b rowID) int { return cmp.Compare(a.id, b.id) })
	if there {
		return ids
	}
	return slices.Insert(ids, at, id)
}

func without(ids []rowID, id rowID) []rowID {
	return slices.DeleteFunc(ids, func(o rowID) bool { return o == id })
}

// key is where a daemon's configuration is published.
func (t target) key(keys config.Keys) string { return keys.Config(t.role, t.name) }
