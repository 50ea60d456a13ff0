-- Of {table}. A row is known by its rowid, which is its id. What REPLACE takes away has no DELETE trigger of its own,
-- so whatever has the new row's name is noted before. A number more than needed does no harm: the reader looks at the row.
CREATE TRIGGER {table}_before_insert BEFORE INSERT ON {table} BEGIN
  INSERT INTO config_change (tbl, id, op, at)
    SELECT '{table}', rowid, 'replace', {now} FROM {table} WHERE {same};
END;

CREATE TRIGGER {table}_before_update BEFORE UPDATE ON {table} BEGIN
  INSERT INTO config_change (tbl, id, op, at)
    SELECT '{table}', rowid, 'replace', {now} FROM {table} WHERE {same} AND rowid <> OLD.rowid;
END;

CREATE TRIGGER {table}_after_insert AFTER INSERT ON {table} BEGIN
  INSERT INTO config_change (tbl, id, op, at) VALUES ('{table}', NEW.rowid, 'insert', {now});
  UPDATE {table} SET rev = last_insert_rowid(), updated_at = {now} WHERE rowid = NEW.rowid;
END;

-- Not for what these triggers write themselves, whether triggers are recursive or not: that is the newest number.
CREATE TRIGGER {table}_after_update AFTER UPDATE ON {table}
WHEN NEW.rev IS OLD.rev OR NEW.rev IS NOT (SELECT max(seq) FROM config_change) BEGIN
  INSERT INTO config_change (tbl, id, op, at)
    SELECT '{table}', OLD.rowid, 'delete', {now} WHERE OLD.rowid <> NEW.rowid;
  INSERT INTO config_change (tbl, id, op, at) VALUES ('{table}', NEW.rowid, 'update', {now});
  UPDATE {table} SET rev = last_insert_rowid(), updated_at = {now} WHERE rowid = NEW.rowid;
END;

CREATE TRIGGER {table}_after_delete AFTER DELETE ON {table} BEGIN
  INSERT INTO config_change (tbl, id, op, at) VALUES ('{table}', OLD.rowid, 'delete', {now});
END;
