// Go's client for the compatibility matrix, of its standard library alone; jobs as support/clients.py describes them.
package main

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
)

var (
	roots = x509.NewCertPool()
	body  []byte
)

type seen struct {
	Id    string `json:"id"`
	Down  string `json:"down,omitempty"`
	Up    string `json:"up,omitempty"`
	Error string `json:"error,omitempty"`
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// One connection and one request that ends it: the answer's content.
func visit(port string, config *tls.Config, head string, content []byte) ([]byte, error) {
	c, err := tls.Dial("tcp", "127.0.0.1:"+port, config)
	if err != nil {
		return nil, err
	}
	defer c.Close()
	if _, err = c.Write(append([]byte(head+"Host: localhost\r\nConnection: close\r\n\r\n"), content...)); err != nil {
		return nil, err
	}
	all, err := io.ReadAll(c)
	_, content, _ = bytes.Cut(all, []byte("\r\n\r\n"))
	return content, err
}

func http1(id, port string, result *seen) error {
	config := &tls.Config{RootCAs: roots, ServerName: "localhost", NextProtos: []string{"http/1.1"},
		ClientSessionCache: tls.NewLRUClientSessionCache(4)}
	content, err := visit(port, config, "GET /down/"+id+" HTTP/1.1\r\n", nil)
	if err != nil {
		return err
	}
	result.Down = digest(content)
	content, err = visit(port, config, fmt.Sprintf("POST /up/%s HTTP/1.1\r\nContent-Length: %d\r\n", id, len(body)), body)
	result.Up = string(content)
	return err
}

func read(response *http.Response, err error) ([]byte, error) {
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	return io.ReadAll(response.Body)
}

func overHttp2(id, port string, result *seen) error {
	transport := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots}, ForceAttemptHTTP2: true}
	defer transport.CloseIdleConnections()
	client, origin := &http.Client{Transport: transport}, "https://localhost:"+port
	content, err := read(client.Get(origin + "/down/" + id))
	if err != nil {
		return err
	}
	result.Down = digest(content)
	content, err = read(client.Post(origin+"/up/"+id, "text/plain", bytes.NewReader(body)))
	result.Up = string(content)
	return err
}

func main() {
	pem, err := os.ReadFile(os.Args[1])
	if err == nil {
		body, err = os.ReadFile(os.Args[2])
	}
	if err != nil {
		panic(err)
	}
	roots.AppendCertsFromPEM(pem)
	lines := bufio.NewScanner(os.Stdin)
	for lines.Scan() {
		job := strings.Fields(lines.Text())
		result := seen{Id: job[0]}
		if job[2] == "h2" {
			err = overHttp2(job[0], job[1], &result)
		} else {
			err = http1(job[0], job[1], &result)
		}
		if err != nil {
			result.Error = err.Error()
		}
		line, _ := json.Marshal(result)
		fmt.Println(string(line))
	}
}
