package etcd

import "time"

// SetLookAgain sets how long a watch is trusted, for tests that cannot wait a minute.
func SetLookAgain(s *Store, d time.Duration) { s.lookAgain = d }
