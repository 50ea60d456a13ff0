//go:build cgo

package onnx

// #include <stdlib.h>
// #ifdef __GLIBC__
// #include <malloc.h>
// static void give_back(void) { malloc_trim(0); }
// #else
// static void give_back(void) {}
// #endif
import "C"

// giveBack gives memory that C has free back to the system. After a session has gone
// that is most of what it held, in pieces between others', and glibc by itself gives
// back only what lies at the end: a service that changes its model now and then would
// hold twice as much (measured: 100 reloads under traffic).
func giveBack() { C.give_back() }
