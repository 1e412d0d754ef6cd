package split

import (
	"fmt"
	"net"
	"net/url"
	"strings"

	"parallax"
)

// Outside is a splitter that stands in front of Parallax or beside it, and gets the
// step too. One of its blocks says what it is.
type Outside struct {
	Name    string   `yaml:"name" doc:"what it is called in the API and in metrics; haproxy and so on when empty"`
	HAProxy *HAProxy `yaml:"haproxy" doc:"an HAProxy that compares a hash of the user with an entry of a map, or one that splits by the weights of two servers"`
	Nginx   *Nginx   `yaml:"nginx" doc:"an nginx that splits with split_clients, in a file that Parallax writes; each step is a reload"`
	Webhook *Webhook `yaml:"webhook" doc:"anything else that takes the step by a signed POST and tells it by GET (docs/split.md)"`
}

// HAProxy is an entry of a map that an HAProxy reads the step from, or two servers of
// a backend.
type HAProxy struct {
	Socket string `yaml:"socket" doc:"its runtime socket with level admin: a path such as /run/haproxy/admin.sock, or host:port"`
	Master bool   `yaml:"master" doc:"the socket is that of the master (haproxy -W -S): the step then also reaches workers of before a reload, which still serve connections that were open"`
	Map    string `yaml:"map" doc:"the map's file as haproxy.cfg names it, such as /etc/haproxy/split.map"`
	Key    string `yaml:"key" doc:"the entry that holds the step in basis points; candidate when empty"`
	File   string `yaml:"file" doc:"the same file as Parallax sees it: the step is written there too, so that a restart of HAProxy does not forget it; empty: map for a socket that is a path, none for host:port; none: nowhere, and the step is pushed again after a restart"`

	Weights *Weights `yaml:"weights" doc:"instead of map: two servers of one backend, by whose weights new users are split; those with a cookie stay where they are, until a rollback takes the candidate's server out"`
}

// Weights are two servers of one backend of an HAProxy.
type Weights struct {
	Backend   string `yaml:"backend" doc:"the backend's name"`
	Primary   string `yaml:"primary" doc:"the name of the server that leads to Parallax, or the primary"`
	Candidate string `yaml:"candidate" doc:"the name of the server that is the candidate"`
}

// NoFile in [HAProxy].File says that the map's file cannot be written from here.
const NoFile = "none"

// WithDefaults returns h with what its empty keys stand for.
func (h HAProxy) WithDefaults() HAProxy {
	if h.Key == "" {
		h.Key = "candidate"
	}
	if h.File == "" {
		h.File = NoFile
		if h.Network() == "unix" {
			h.File = h.Map
		}
	}
	return h
}

// Network is the network of the socket: unix or tcp.
func (h HAProxy) Network() string {
	if strings.Contains(h.Socket, "/") {
		return "unix"
	}
	return "tcp"
}

// Nginx is a file that an nginx includes, and how to have it read again.
type Nginx struct {
	File   string   `yaml:"file" doc:"the file that nginx.conf includes in its http block; Parallax writes it, so that it holds nothing else"`
	Prefix string   `yaml:"prefix" doc:"what the variables begin with: nginx.conf sets $PREFIX_user, the file $PREFIX_leg and $PREFIX_step; parallax when empty"`
	Status string   `yaml:"status" doc:"URL of a location that answers with $PREFIX_step, such as http://127.0.0.1:8089/parallax/step"`
	PID    string   `yaml:"pid" doc:"file with the process id of nginx's master, which is sent SIGHUP, and whose workers of before are waited for; /run/nginx.pid when empty and there is no reload"`
	Test   []string `yaml:"test" doc:"command that tests the configuration before each reload; [nginx, -t] when empty"`
	Reload []string `yaml:"reload" doc:"command that reloads nginx instead of a signal, such as [systemctl, reload, nginx]; with pid, workers of before are waited for nevertheless"`
}

// WithDefaults returns n with what its empty keys stand for.
func (n Nginx) WithDefaults() Nginx {
	if n.Prefix == "" {
		n.Prefix = "parallax"
	}
	if len(n.Test) == 0 {
		n.Test = []string{"nginx", "-t"}
	}
	if n.PID == "" && len(n.Reload) == 0 {
		n.PID = "/run/nginx.pid"
	}
	return n
}

func (n Nginx) validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if n.File == "" {
		fault("file", "is empty", "name the file that nginx.conf includes, such as /etc/nginx/parallax.conf")
	}
	if strings.Trim(n.Prefix, "abcdefghijklmnopqrstuvwxyz0123456789_") != "" {
		fault("prefix", fmt.Sprintf("%q cannot begin a variable", n.Prefix), "write a-z, 0-9 and underscore")
	}
	if u, err := url.Parse(n.Status); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		fault("status", fmt.Sprintf("%q is not a URL", n.Status), "write http://127.0.0.1:8089/parallax/step, and the location for it in nginx.conf")
	}
	return faults
}

// Webhook is a URL that the step is posted to, and got from.
type Webhook struct {
	URL        string `yaml:"url" doc:"where the step is posted, and asked for with GET; https unless it is this machine"`
	SecretFile string `yaml:"secret_file" doc:"file with the secret that requests are signed with, 16 bytes or more; it is read for each of them, so that it can be replaced"`
}

func (w Webhook) validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if u, err := url.Parse(w.URL); err != nil || u.Host == "" || u.Scheme != "http" && u.Scheme != "https" {
		fault("url", "is not a URL", "write it like https://edge.example/step")
	} else if u.User != nil {
		fault("url", "has a name or a password in it", "requests are signed; leave them out")
	} else if u.Scheme == "http" && !local(u.Hostname()) {
		fault("url", "answers could be forged on the way", "write https; http is for this machine")
	}
	if w.SecretFile == "" {
		fault("secret_file", "is empty", "name a file with a secret of 16 bytes or more, such as the output of openssl rand -hex 32")
	}
	return faults
}

// local reports whether a host is this machine.
func local(host string) bool {
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// Called is the splitter's name.
func (o Outside) Called() string {
	switch {
	case o.Name != "":
		return o.Name
	case o.HAProxy != nil:
		return "haproxy"
	case o.Nginx != nil:
		return "nginx"
	case o.Webhook != nil:
		return "webhook"
	}
	return ""
}

// UnderFile has paths that may be written as seen from the configuration's file
// resolved by under.
func (c Config) UnderFile(under func(path *string)) {
	for _, o := range c.Push {
		if o.HAProxy != nil && o.HAProxy.File != NoFile {
			under(&o.HAProxy.File)
		}
		if o.Nginx != nil {
			under(&o.Nginx.File)
			under(&o.Nginx.PID)
		}
		if o.Webhook != nil {
			under(&o.Webhook.SecretFile)
		}
	}
}

// validateOutside returns what is wrong with a list of splitters.
func validateOutside(list []Outside) []parallax.Fault {
	var faults []parallax.Fault
	names := map[string]int{}
	for i, o := range list {
		found := o.validate()
		if first, ok := names[o.Called()]; ok && o.Called() != "" {
			found = append(found, parallax.Fault{Path: "name", Text: fmt.Sprintf("%q is the name of push[%d] too", o.Called(), first), Hint: "give each of them a name"})
		}
		names[o.Called()] = i
		faults = append(faults, parallax.Under(fmt.Sprintf("[%d]", i), found)...)
	}
	return faults
}

func (o Outside) validate() []parallax.Fault {
	var faults []parallax.Fault
	if len(o.Name) > 63 || strings.Trim(o.Name, "abcdefghijklmnopqrstuvwxyz0123456789._-") != "" {
		faults = append(faults, parallax.Fault{Path: "name", Text: fmt.Sprintf("cannot use %q as a name", o.Name), Hint: "write up to 63 of a-z, 0-9, dot, dash and underscore"})
	}
	if kinds := o.kinds(); kinds != 1 {
		text := "does not say what it is"
		if kinds > 1 {
			text = "is several things at once"
		}
		faults = append(faults, parallax.Fault{Text: text, Hint: "write one of haproxy, nginx and webhook, such as haproxy: {socket: /run/haproxy/admin.sock, map: /etc/haproxy/split.map}"})
	}
	if o.HAProxy != nil {
		faults = append(faults, parallax.Under("haproxy", o.HAProxy.validate())...)
	}
	if o.Nginx != nil {
		faults = append(faults, parallax.Under("nginx", o.Nginx.validate())...)
	}
	if o.Webhook != nil {
		faults = append(faults, parallax.Under("webhook", o.Webhook.validate())...)
	}
	return faults
}

// kinds counts the blocks that say what o is.
func (o Outside) kinds() int {
	n := 0
	for _, there := range []bool{o.HAProxy != nil, o.Nginx != nil, o.Webhook != nil} {
		if there {
			n++
		}
	}
	return n
}

func (h HAProxy) validate() []parallax.Fault {
	var faults []parallax.Fault
	fault := func(path, text, hint string) {
		faults = append(faults, parallax.Fault{Path: path, Text: text, Hint: hint})
	}
	if _, _, err := net.SplitHostPort(h.Socket); err != nil && h.Network() == "tcp" {
		fault("socket", fmt.Sprintf("%q is neither a path nor host:port", h.Socket), "write what `stats socket` in haproxy.cfg says, such as /run/haproxy/admin.sock")
	}
	switch w := h.Weights; {
	case w != nil && h.Map+h.Key+h.File != "":
		fault("weights", "there is a map too", "leave out one of them: weights, unless users are to be split by servers")
	case w != nil:
		return append(faults, parallax.Under("weights", w.validate())...)
	case h.Map == "":
		fault("map", "is empty", "name the file that haproxy.cfg names, such as /etc/haproxy/split.map")
	}
	for _, word := range []struct{ path, text string }{{"map", h.Map}, {"key", h.Key}} {
		if strings.ContainsAny(word.text, special) {
			fault(word.path, meant(word.text), "write it without spaces, quotes, semicolons, backslashes, < and #")
		}
	}
	return faults
}

// special has the characters that mean something in HAProxy's commands.
const special = " \t\r\n;\\\"'<#"

func meant(text string) string {
	return fmt.Sprintf("%q has a character that means something in HAProxy's commands", text)
}

func (w Weights) validate() []parallax.Fault {
	var faults []parallax.Fault
	for _, word := range []struct{ path, text string }{{"backend", w.Backend}, {"primary", w.Primary}, {"candidate", w.Candidate}} {
		switch {
		case word.text == "":
			faults = append(faults, parallax.Fault{Path: word.path, Text: "is empty", Hint: "name it as haproxy.cfg does"})
		case strings.ContainsAny(word.text, special+"/"):
			faults = append(faults, parallax.Fault{Path: word.path, Text: meant(word.text), Hint: "name it as haproxy.cfg does"})
		}
	}
	return faults
}
