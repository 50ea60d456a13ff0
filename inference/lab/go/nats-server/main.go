// Command nats-server is NATS's own server with the few flags that a recipe needs.
package main

import (
	"flag"
	"fmt"
	"log"

	"github.com/nats-io/nats-server/v2/server"
)

func main() {
	address := flag.String("a", "0.0.0.0", "address to listen at")
	port := flag.Int("p", 4222, "port to listen at")
	version := flag.Bool("version", false, "print the version")
	flag.Parse()
	if *version {
		fmt.Println("nats-server", server.VERSION)
		return
	}
	s, err := server.NewServer(&server.Options{Host: *address, Port: *port})
	if err != nil {
		log.Fatal(err)
	}
	s.Start()
	s.WaitForShutdown()
}
