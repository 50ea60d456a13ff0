//go:build race

package cli_test

// simulatedMinutes is fewer than without the race detector, which makes a megabyte's way a hundred times longer.
const simulatedMinutes = 3
