//go:build !race

package cli_test

// simulatedMinutes is how long the simulated stream lasts.
const simulatedMinutes = 40
