//go:build linux

package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// nginx is configured as people run it for speed: a worker a core, kept
// connections to the backends, no access log.
const nginxConfig = `
daemon off;
%[5]s
worker_processes auto;
worker_rlimit_nofile %[6]d;
pid %[1]s/nginx.pid;
error_log stderr;
events { worker_connections 20000; }
http {
  access_log off;
  keepalive_requests 1000000000;
  client_max_body_size 64m;
  client_body_temp_path %[1]s/body;
  proxy_temp_path %[1]s/proxy;
  fastcgi_temp_path %[1]s/fastcgi;
  uwsgi_temp_path %[1]s/uwsgi;
  scgi_temp_path %[1]s/scgi;
  proxy_http_version 1.1;
  proxy_set_header Connection "";
  upstream primary { server %[3]s; keepalive 256; keepalive_requests 1000000000; }
  upstream candidate { server %[4]s; keepalive 256; keepalive_requests 1000000000; }
  server {
    listen %[2]s backlog=8192;
    location / { %[7]s proxy_pass http://primary; }
    location = /mirror { internal; proxy_pass http://candidate$request_uri; }
  }
}
`

const haproxyConfig = `
global
  maxconn 4096
defaults
  mode http
  timeout client 60s
  timeout server 60s
  timeout connect 5s
frontend callers
  bind %[1]s
  default_backend primary
backend primary
  http-reuse always
  server primary %[2]s
`

// proxy is something that listens at an address and is measured.
type proxy struct {
	*process
	address string
}

// startNginx starts nginx in front of the primary. With mirror it sends a copy
// of each request to the candidate.
func startNginx(ctx context.Context, l *lab, primary, candidate string, mirror bool) (*proxy, error) {
	name, directive := "nginx", ""
	if mirror {
		name, directive = "nginx-mirror", "mirror /mirror;"
	}
	dir := filepath.Join(l.dir, name)
	if err := os.Mkdir(dir, 0o700); err != nil {
		return nil, fmt.Errorf("cannot start %s: %w", name, err)
	}
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	user := ""
	if os.Geteuid() == 0 {
		user = "user root;" // the workers write uploads into the run's folder
	}
	text := fmt.Sprintf(nginxConfig, dir, address, primary, candidate, user, descriptorsWanted, directive)
	return startProxy(ctx, l, name, address, text, "nginx", "-p", dir, "-e", "stderr", "-c")
}

// startHAProxy starts haproxy in front of the primary.
func startHAProxy(ctx context.Context, l *lab, primary string) (*proxy, error) {
	address, err := freeAddress()
	if err != nil {
		return nil, err
	}
	return startProxy(ctx, l, "haproxy", address, fmt.Sprintf(haproxyConfig, address, primary), "haproxy", "-db", "-f")
}

// startProxy writes a configuration, starts the program with its path as the
// last argument, and waits until it listens.
func startProxy(ctx context.Context, l *lab, name, address, config, program string, args ...string) (*proxy, error) {
	file := filepath.Join(l.dir, name+".conf")
	if err := os.WriteFile(file, []byte(strings.TrimLeft(config, "\n")), 0o600); err != nil {
		return nil, fmt.Errorf("cannot configure %s: %w", name, err)
	}
	p, err := l.start(name, program, append(args, file)...)
	if err != nil {
		return nil, err
	}
	return &proxy{process: p, address: address}, p.listens(ctx, address)
}

// legs are the two backends that everything stands in front of.
type legs struct {
	primary, candidate *proxy
}

// startLegs starts a primary, and a candidate that treats requests as its mode
// says.
func startLegs(l *lab, mode string) (legs, error) {
	primary, err := startLeg(l, thePrimary, answers)
	if err != nil {
		return legs{}, err
	}
	candidate, err := startLeg(l, theCandidate, mode)
	return legs{primary, candidate}, err
}

// Names of the legs. The primary is also what a proxy is measured against.
const (
	thePrimary   = "backend alone"
	theCandidate = "candidate"
)

func startLeg(l *lab, name, mode string) (*proxy, error) {
	p, err := startBackend(l, name, mode)
	if err != nil {
		return nil, err
	}
	address, err := p.line()
	return &proxy{process: p, address: address}, err
}
