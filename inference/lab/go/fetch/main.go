// Command fetch gets pages with net/http: fetch [-http1] [-tls12] [-post BYTES] URL...; the certificate of the authority that it
// trusts is in the file that $CA names. "fetch version" prints Go's version.
package main

import (
	"bytes"
	"crypto/tls"
	"crypto/x509"
	"flag"
	"fmt"
	"io"
	"log"
	"net/http"
	"os"
	"runtime"
)

func main() {
	http1 := flag.Bool("http1", false, "HTTP/1.1 only")
	tls12 := flag.Bool("tls12", false, "TLS 1.2 at most")
	post := flag.Int("post", 0, "send so many bytes")
	flag.Parse()
	if flag.Arg(0) == "version" {
		fmt.Println(runtime.Version())
		return
	}
	pem, err := os.ReadFile(os.Getenv("CA"))
	if err != nil {
		log.Fatal(err)
	}
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	config := &tls.Config{RootCAs: pool}
	if *tls12 {
		config.MaxVersion = tls.VersionTLS12
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config, ForceAttemptHTTP2: !*http1}}
	for _, url := range flag.Args() {
		var answer *http.Response
		if *post > 0 {
			answer, err = client.Post(url, "application/octet-stream", bytes.NewReader(make([]byte, *post)))
		} else {
			answer, err = client.Get(url)
		}
		if err != nil {
			log.Fatal(err)
		}
		n, err := io.Copy(io.Discard, answer.Body)
		if err != nil {
			log.Fatal(err)
		}
		if err := answer.Body.Close(); err != nil {
			log.Fatal(err)
		}
		fmt.Println(answer.Proto, answer.StatusCode, n)
	}
}
