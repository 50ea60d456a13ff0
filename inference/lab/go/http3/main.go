// Command http3 serves $SITE over HTTP/3 with quic-go, and over HTTP/2 and 1.1 at the same port, or gets pages:
//
//	http3 serve :443
//	http3 get URL...
//	http3 post URL BYTES
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime/debug"
	"strconv"

	"github.com/quic-go/quic-go/http3"
)

func main() {
	if len(os.Args) < 2 {
		log.Fatal("http3 serve|get|post|version ...")
	}
	var err error
	switch arguments := os.Args[2:]; os.Args[1] {
	case "serve":
		err = serve(arguments[0])
	case "get":
		err = get(arguments)
	case "post":
		err = post(arguments[0], arguments[1])
	default:
		version()
	}
	if err != nil {
		log.Fatal(err)
	}
}

func serve(address string) error {
	files := http.FileServer(http.Dir(os.Getenv("SITE")))
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPost {
			n, err := io.Copy(io.Discard, r.Body)
			if err != nil {
				return // the client has gone
			}
			fmt.Fprintln(w, n, "bytes")
			return
		}
		files.ServeHTTP(w, r)
	})
	return http3.ListenAndServeTLS(address, os.Getenv("CERT"), os.Getenv("KEY"), handler)
}

func client() (*http.Client, func() error, error) {
	pem, err := os.ReadFile(os.Getenv("CA"))
	if err != nil {
		return nil, nil, err
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	transport := &http3.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}}
	return &http.Client{Transport: transport}, transport.Close, nil
}

func get(urls []string) error {
	c, done, err := client()
	if err != nil {
		return err
	}
	for _, url := range urls {
		answer, err := c.Get(url)
		if err != nil {
			return err
		}
		n, err := io.Copy(io.Discard, answer.Body)
		if err != nil {
			return err
		}
		fmt.Println(answer.Proto, answer.StatusCode, n)
	}
	return done()
}

func post(url, size string) error {
	n, err := strconv.Atoi(size)
	if err != nil {
		return err
	}
	c, done, err := client()
	if err != nil {
		return err
	}
	answer, err := c.Post(url, "text/plain", bytes.NewReader(make([]byte, n)))
	if err != nil {
		return err
	}
	fmt.Println(answer.Proto, answer.StatusCode)
	return done()
}

func version() {
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, module := range info.Deps {
			if module.Path == "github.com/quic-go/quic-go" {
				fmt.Println("quic-go", module.Version)
			}
		}
	}
}
