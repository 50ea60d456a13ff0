//go:build !linux

// Package netns gives tests network namespaces of their own, which only Linux has.
package netns
