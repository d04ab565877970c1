package main

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"fmt"
	"net"
	"net/http"
	"os"
	"strings"
	"time"
)

// client speaks to the API server with the node's own certificate.
type client struct {
	server string
	http   *http.Client
}

// connect reads the file by which kubeadm lets the kubelet in. It is read by lines: kubeadm writes each key once, and a
// reader of YAML would be the only library here.
func connect(path string) (*client, error) {
	text, err := os.ReadFile(path)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for line := range strings.Lines(string(text)) {
		if key, value, isPair := strings.Cut(strings.TrimSpace(line), ": "); isPair {
			values[key] = value
		}
	}
	authority, err := base64.StdEncoding.DecodeString(values["certificate-authority-data"])
	if err != nil {
		return nil, fmt.Errorf("%s: certificate-authority-data: %w", path, err)
	}
	trusted := x509.NewCertPool()
	certificate, key := values["client-certificate"], values["client-key"]
	if values["server"] == "" || certificate == "" || key == "" || !trusted.AppendCertsFromPEM(authority) {
		return nil, fmt.Errorf("%s names no server, no client-certificate, no client-key or no authority", path)
	}
	security := &tls.Config{
		RootCAs:    trusted,
		MinVersion: tls.VersionTLS12,
		// The kubelet replaces the file in time.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			read, err := tls.LoadX509KeyPair(certificate, key)
			return &read, err
		},
	}
	// A server that went without a word is noticed by these, not by the end of the watch.
	alive := net.KeepAliveConfig{Enable: true, Idle: 5 * time.Second, Interval: 5 * time.Second, Count: 3}
	dialer := &net.Dialer{Timeout: 5 * time.Second, KeepAliveConfig: alive}
	transport := &http.Transport{
		DialContext: dialer.DialContext, TLSClientConfig: security, TLSHandshakeTimeout: 10 * time.Second,
		ResponseHeaderTimeout: 30 * time.Second,
	}
	return &client{server: values["server"], http: &http.Client{Transport: transport}}, nil
}

func pause(done context.Context, length time.Duration) {
	select {
	case <-done.Done():
	case <-time.After(length):
	}
}
