//go:build unix

package file

import (
	"context"
	"errors"
	"os"

	"golang.org/x/sys/unix"
)

// pollMilliseconds is how long a wait for a pipe or terminal goes on before it looks at the context.
const pollMilliseconds = 100

// wait returns when a read of f will not block, or when ctx ends. The descriptor may be shared with other processes, so
// its mode is left alone.
func wait(ctx context.Context, f *os.File) error {
	polled := []unix.PollFd{{Fd: int32(f.Fd()), Events: unix.POLLIN}}
	for {
		if err := ctx.Err(); err != nil {
			return err
		}
		n, err := unix.Poll(polled, pollMilliseconds)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return err
		}
		if n > 0 {
			return nil
		}
	}
}
