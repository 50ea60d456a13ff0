//go:build !race

package collector_test

// simulatedMinutes is how long the stream beside the trickle lasts.
const simulatedMinutes = 40
